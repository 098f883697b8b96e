package semantics

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func TestShutdownInside(t *testing.T) {
	bothWays(t, "G14 shutdown from inside a handler", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.echo = func(ctx context.Context, text string) (string, error) { return text, w.host.Shutdown(ctx) }
		ref := w.register(t, "shuts-down", p)
		echo(t, ref, "bye") // the answer is sent before the end
		if err := w.host.Wait(within(t)); err != nil {
			t.Errorf("Wait: %v", err)
		}
		p.journal.await(t, "stop")
	})

	// A handler may also give another context, which does not tell where it is; then it waits for itself, but not for ever.
	bothWays(t, "G14 shutdown from inside a handler/with another context", func(t *testing.T, w *world) {
		p := newProbe(t)
		down := make(chan error, 1)
		p.echo = func(_ context.Context, text string) (string, error) {
			down <- w.host.Shutdown(context.Background())
			return text, nil
		}
		ref := w.register(t, "shuts-down", p)
		f := ref.Echo.Ask(within(t), nil)
		if err := await(t, down, "end of Shutdown"); err == nil || !strings.Contains(err.Error(), "shuts-down") {
			t.Errorf("Shutdown: %v, want an error that names the endpoint", err)
		}
		if _, err := f.Wait(within(t)); err != nil && !errors.Is(err, endpoint.ErrEnvStopped) {
			t.Errorf("the ask: %v, want an answer or ErrEnvStopped", err)
		}
		p.journal.await(t, "stop")
	}, parley.WithDrainTimeout(20*time.Millisecond))
}

func TestCycles(t *testing.T) {
	bothWays(t, "G15 ask-self and A asks B asks A/ask-self", func(t *testing.T, w *world) {
		var self parleytestv1parley.ProbeRef
		p := newProbe(t)
		p.echo = func(ctx context.Context, text string) (string, error) {
			if text == "release" {
				if err := endpoint.Release(ctx); err != nil {
					return "", err
				}
			}
			switch text {
			case "wait", "release":
				r, err := self.Echo.AskSync(ctx, &parleytestv1.EchoRequest{Text: "inner"})
				return r.GetText(), err
			case "future":
				r, err := self.Echo.Ask(ctx, &parleytestv1.EchoRequest{Text: "inner"}).Wait(ctx)
				return r.GetText(), err
			}
			return text, nil
		}
		self = register(t, w.host, "self", p)
		ref := lookup(t, w.caller, self.Ref().String())
		for _, verb := range []string{"wait", "future"} {
			_, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: verb})
			// The asker gets what the handler answered: the code and the text of its ErrSelfAsk.
			if err == nil || !strings.Contains(err.Error(), "endpoint.Release") {
				t.Errorf("%s: %v, want an error that names endpoint.Release", verb, err)
			}
		}
		r, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "release"})
		if err != nil || r.GetText() != "inner" {
			t.Errorf("released: %q, %v; want inner", r.GetText(), err)
		}
	})

	bothWays(t, "G15 ask-self and A asks B asks A/cycle", func(t *testing.T, w *world) {
		a, b := newProbe(t), newProbe(t)
		inner := make(chan error, 16) // an ask that is queued when the deadline passes may run for a moment, and go round once more
		through := func(p *probe) func(context.Context, string) (string, error) {
			return func(ctx context.Context, text string) (string, error) {
				if text != "cycle" {
					return text, nil
				}
				r, err := p.kept.Echo.AskSync(ctx, &parleytestv1.EchoRequest{Text: text})
				inner <- err
				return r.GetText(), err
			}
		}
		a.echo, b.echo = through(a), through(b)
		refA := register(t, w.host, "a", a)   // A is at the host,
		refB := register(t, w.caller, "b", b) // and B at the caller:
		toA := bind(t, w.caller, refA.Ref())  // two programs, unless they are the same
		if w.remote {
			echo(t, toA, "a session, so that A finds B")
		}
		a.kept, b.kept = bind(t, w.host, refB.Ref()), toA

		_, err := toA.Echo.AskSync(soon(t, 100*time.Millisecond), &parleytestv1.EchoRequest{Text: "cycle"})
		wantTimeout(t, err, deadlineOfContext)
		for range 2 {
			// Either the deadline passes or the asker, for whom it has passed, takes the ask back.
			if err := await(t, inner, "end of an inner ask"); !errors.Is(err, endpoint.ErrTimeout) && !errors.Is(err, endpoint.ErrCancelled) {
				t.Errorf("an inner ask: %v, want ErrTimeout or ErrCancelled", err)
			}
		}
		echo(t, toA, "A lives")
		echo(t, refB, "B lives")
	})

	bothWays(t, "G18 two endpoints flood each other", func(t *testing.T, w *world) {
		a, b := newProbe(t), newProbe(t)
		var flooding atomic.Bool
		flooding.Store(true)
		failed := make(chan error, 1024)
		both := newGate(t)
		flood := func(p *probe) func(context.Context, string) (string, error) {
			return func(ctx context.Context, text string) (string, error) {
				if text == "flood" {
					if err := both.pass(ctx, text); err != nil {
						return "", err
					}
				}
				for text == "flood" && flooding.Load() {
					if err := p.kept.Echo.Send(ctx, &parleytestv1.EchoRequest{Text: text}); err != nil {
						failed <- err
						break
					}
				}
				return text, nil
			}
		}
		a.echo, b.echo = flood(a), flood(b)
		refA, refB := register(t, w.host, "a", a), register(t, w.caller, "b", b)
		toA := bind(t, w.caller, refA.Ref())
		if w.remote {
			echo(t, toA, "a session, so that A finds B")
		}
		a.kept, b.kept = bind(t, w.host, refB.Ref()), toA

		send(t, toA, "flood")
		send(t, refB, "flood")
		for range 2 {
			await(t, both.entered, "handler")
		}
		both.open()
		for range 2 { // each is stuck behind the other's window, and neither for ever
			e := wantError(t, await(t, failed, "end of a Send"), endpoint.ErrOverloaded)
			if e.Execution != endpoint.NotExecuted || e.Setting != "parley.WithQueueTimeout" {
				t.Errorf("%s, %s; want not executed, parley.WithQueueTimeout", e.Execution, e.Setting)
			}
		}
		flooding.Store(false)
		// What is in the windows has to be handled first, and may itself wait for the other.
		for _, ref := range []parleytestv1parley.ProbeRef{toA, refB} {
			err := error(endpoint.ErrOverloaded)
			for ctx := within(t); errors.Is(err, endpoint.ErrOverloaded) && ctx.Err() == nil; {
				_, err = ref.Echo.AskSync(ctx, &parleytestv1.EchoRequest{Text: "after the flood"})
			}
			if err != nil {
				t.Errorf("%s after the flood: %v", ref.Ref().Name(), err)
			}
		}
	}, parley.WithWindow(4, 1<<20), parley.WithQueueTimeout(20*time.Millisecond))
}
