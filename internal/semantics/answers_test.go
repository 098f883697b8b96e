package semantics

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswers(t *testing.T) {
	run(t, "G1 double reply", func(t *testing.T) {
		env := listen(t)
		register(t, env, "echo", newProbe(t))
		s := newStranger(t, env, "")
		f := bind(t, env, s.ref("stranger")).Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: "hello"})
		asked := hear(s, 1, (*parleyv1.Envelope).GetAsk)[0]
		s.say(
			reply(asked.GetId(), encode(t, &parleytestv1.EchoResponse{Text: "first"})),
			reply(asked.GetId(), encode(t, &parleytestv1.EchoResponse{Text: "second"})),
			reply(asked.GetId()+1, nil), // to nothing that was ever asked
			ask(1, "echo", "Echo", nil),
		)
		hear(s, 1, (*parleyv1.Envelope).GetReply) // so all of them have been read, and the session lives
		for range 2 {
			if r, err := f.Wait(within(t)); err != nil || r.GetText() != "first" {
				t.Errorf("got %q, %v; want first", r.GetText(), err)
			}
		}
		if c := env.Counters(); c.LateReplies != 2 || c.PendingAsks != 0 {
			t.Errorf("%+v, want 2 late replies and no pending ask", c)
		}
	})

	bothWays(t, "G2 reply after the timeout", func(t *testing.T, w *world) {
		p := newProbe(t)
		ref := w.register(t, "late", p)
		f := ref.Block.Ask(soon(t, 250*time.Millisecond), &parleytestv1.BlockRequest{Text: "late"})
		await(t, p.block.entered, "handler")
		_, err := f.Wait(within(t))
		wantTimeout(t, err, deadlineOfContext)
		p.block.open()
		echo(t, ref, "the endpoint goes on") // and its reply comes after the late one
		_, again := f.Wait(within(t))
		wantTimeout(t, again, deadlineOfContext)
		if c := w.caller.Counters(); c.LateReplies != 1 || c.PendingAsks != 0 {
			t.Errorf("%+v, want 1 late reply and no pending ask", c)
		}
	})

	bothWays(t, "G3 reply from another goroutine", func(t *testing.T, w *world) {
		p := newProbe(t)
		later := newGate(t)
		p.echo = func(ctx context.Context, text string) (string, error) {
			if text != "deferred" {
				return text, nil
			}
			if err := endpoint.Release(ctx); err != nil {
				return "", err
			}
			answer := make(chan string)
			go func() { answer <- "from afar" }()
			if err := later.pass(ctx, text); err != nil {
				return "", err
			}
			return <-answer, nil
		}
		ref := w.register(t, "releases", p)
		f := ref.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: "deferred"})
		await(t, later.entered, "handler")
		echo(t, ref, "meanwhile")
		later.open()
		if r, err := f.Wait(within(t)); err != nil || r.GetText() != "from afar" {
			t.Errorf("got %q, %v; want from afar", r.GetText(), err)
		}
	})

	bothWays(t, "G4 stop with asks queued", func(t *testing.T, w *world) {
		const asks = 100
		p := newProbe(t)
		ref, other := w.register(t, "stops", p), w.register(t, "other", newProbe(t))
		blocked := ref.Block.Ask(within(t), &parleytestv1.BlockRequest{Text: "first"})
		await(t, p.block.entered, "handler")
		futures := make([]*endpoint.Future[parleytestv1.EchoResponse], asks)
		for i := range futures {
			futures[i] = ref.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: fmt.Sprint(i)})
		}
		// Asks are accepted into the session; an answer of another endpoint shows that they have all come out of it.
		echo(t, other, "behind them")
		if err := w.host.Stop(soon(t, time.Millisecond), ref.Ref()); !errors.Is(err, endpoint.ErrTimeout) {
			t.Fatalf("Stop while a handler blocks: %v, want a timeout", err)
		}
		_, err := ref.Echo.AskSync(within(t), nil)
		wantError(t, err, endpoint.ErrEndpointStopped)
		next := newProbe(t)
		register(t, w.host, "stops", next) // the name is free at once
		echo(t, ref, "to the next one of that name")
		p.block.open()
		if _, err := blocked.Wait(within(t)); err != nil {
			t.Errorf("the ask whose handler ran: %v", err)
		}
		for i, f := range futures {
			if r, err := f.Wait(within(t)); err != nil || r.GetText() != fmt.Sprint(i) {
				t.Errorf("ask %d: %q, %v; want it to be answered before the end", i, r.GetText(), err)
			}
		}
		p.journal.await(t, "stop")
		next.journal.await(t, "to the next one of that name")
	})

	bothWays(t, "G4 stop with asks queued/out of time", func(t *testing.T, w *world) {
		const asks = 100
		p := newProbe(t)
		ref, other := w.register(t, "stops", p), w.register(t, "other", newProbe(t))
		blocked := ref.Block.Ask(within(t), &parleytestv1.BlockRequest{Text: "first"})
		await(t, p.block.entered, "handler")
		futures := make([]*endpoint.Future[parleytestv1.EchoResponse], asks)
		for i := range futures {
			futures[i] = ref.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: fmt.Sprint(i)})
		}
		echo(t, other, "behind them")
		if err := w.host.Shutdown(soon(t, 10*time.Millisecond)); err == nil {
			t.Error("Shutdown while a handler blocks: no error")
		} else {
			wantOnce(t, err, "stops")
		}
		for i, f := range futures {
			_, err := f.Wait(within(t))
			if e := wantError(t, err, endpoint.ErrEnvStopped); e.Execution != endpoint.NotExecuted {
				t.Errorf("ask %d: %s, want not executed", i, e.Execution)
			}
		}
		p.block.open()
		if _, err := blocked.Wait(within(t)); err != nil && !errors.Is(err, endpoint.ErrEnvStopped) {
			t.Errorf("the ask whose handler ran: %v, want an answer or ErrEnvStopped", err)
		}
		p.journal.await(t, "stop")
	})
}

// TestErrors has the errors that tell what is not there, and what becomes of messages for nobody.
func TestErrors(t *testing.T) {
	// what is what a caller can see of an error, and what must not depend on where the endpoint is.
	type what struct {
		reason    endpoint.Reason
		code      codes.Code
		phase     endpoint.Phase
		execution endpoint.Execution
		text      string
	}
	see := func(t *testing.T, err error) what {
		var e *endpoint.Error
		if !errors.As(err, &e) {
			t.Fatalf("got %v, want an *endpoint.Error", err)
		}
		return what{e.Reason, e.Code(), e.Phase, e.Execution, e.GRPCStatus().Message()}
	}
	seen := map[string][]what{}
	note := func(t *testing.T, kind string, err error, reason endpoint.Reason, code codes.Code) {
		t.Helper()
		got := see(t, err)
		if got.reason != reason || got.code != code || got.execution != endpoint.NotExecuted {
			t.Errorf("%s: got %+v, want %v, %s, not executed", kind, got, reason, code)
		}
		seen[kind] = append(seen[kind], got)
	}

	bothWays(t, "G5 endpoint stopped Env stopped and unknown endpoint", func(t *testing.T, w *world) {
		ask := func(ref parleytestv1parley.ProbeRef) error {
			_, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "hello"})
			return err
		}
		at := func(name string) parleytestv1parley.ProbeRef {
			ref, err := endpoint.NewRef(name, w.host.Address())
			if err != nil {
				t.Fatal(err)
			}
			return bind(t, w.caller, ref)
		}
		note(t, "unknown", ask(at("nobody")), endpoint.ReasonEndpointNotFound, codes.NotFound)

		stopped := w.register(t, "stopped", newProbe(t))
		if err := w.host.Stop(within(t), stopped.Ref()); err != nil {
			t.Fatal(err)
		}
		note(t, "stopped", ask(stopped), endpoint.ReasonEndpointStopped, codes.Unavailable)
		_, err := parleytestv1parley.LookupProbe(within(t), w.caller, stopped.Ref().String())
		wantError(t, err, endpoint.ErrEndpointStopped)

		// The Env of the endpoint shuts down, and cannot finish because of one that is busy.
		busy, idle := newProbe(t), newProbe(t)
		busyRef := w.register(t, "busy", busy)
		idleRef := w.register(t, "idle", idle)
		blocked := busyRef.Block.Ask(within(t), &parleytestv1.BlockRequest{})
		await(t, busy.block.entered, "handler")
		down := make(chan error, 1)
		go func() { down <- w.host.Shutdown(context.WithoutCancel(within(t))) }()
		idle.journal.await(t, "stop")
		note(t, "Env stopped", ask(idleRef), endpoint.ReasonEnvStopped, codes.Unavailable)
		note(t, "Env stopped", ask(at("nobody")), endpoint.ReasonEnvStopped, codes.Unavailable)
		busy.block.open()
		if _, err := blocked.Wait(within(t)); err != nil {
			t.Errorf("the ask that was being handled: %v", err)
		}
		if err := await(t, down, "end of Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}

		// The Env of the caller is down.
		if err := w.caller.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		note(t, "own Env stopped", ask(idleRef), endpoint.ReasonEnvStopped, codes.Unavailable)
		_, err = parleytestv1parley.RegisterProbe(within(t), w.caller, "new", newProbe(t))
		wantError(t, err, endpoint.ErrEnvStopped)
		_, err = parleytestv1parley.LookupProbe(within(t), w.caller, idleRef.Ref().String())
		wantError(t, err, endpoint.ErrEnvStopped)
		wantError(t, idleRef.Echo.Send(within(t), nil), endpoint.ErrEnvStopped)
		if err := w.caller.Stop(within(t), stopped.Ref()); !w.remote && err != nil {
			t.Errorf("Stop after Shutdown: %v", err)
		}
	})
	t.Run("G5 endpoint stopped Env stopped and unknown endpoint/the same", func(t *testing.T) {
		for _, kind := range []string{"unknown", "stopped", "Env stopped"} {
			all := seen[kind]
			if len(all) < 2 || all[0] != all[len(all)-1] {
				t.Errorf("%s: the errors were %+v, want the same locally and remotely", kind, all)
			}
		}
	})

	locally(t, "G6 send to a missing endpoint/local", func(t *testing.T, w *world) {
		ref, err := endpoint.NewRef("nobody", w.host.Address())
		if err != nil {
			t.Fatal(err)
		}
		err = bind(t, w.caller, ref).Echo.Send(within(t), nil)
		if e := wantError(t, err, endpoint.ErrEndpointNotFound); e.Execution != endpoint.NotExecuted {
			t.Errorf("%s, want not executed", e.Execution)
		}
	})
	remotely(t, "G6 send to a missing endpoint/remote", func(t *testing.T, w *world) {
		ref, err := endpoint.NewRef("nobody", w.host.Address())
		if err != nil {
			t.Fatal(err)
		}
		// A send is not answered, so only the receiver knows.
		if err := bind(t, w.caller, ref).Echo.Send(within(t), nil); err != nil {
			t.Errorf("Send: %v", err)
		}
		echo(t, w.register(t, "somebody", newProbe(t)), "the session lives")
		if c := w.host.Counters(); c.Dropped != 1 {
			t.Errorf("%+v, want 1 dropped message", c)
		}
	})
	run(t, "G6 send to a missing endpoint/unreachable", func(t *testing.T) {
		gone := listen(t)
		ref, err := endpoint.NewRef("nobody", gone.Address())
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
		err = bind(t, newEnv(t, parley.WithConnectTimeout(patience)), ref).Echo.Send(within(t), nil)
		if e := wantError(t, err, endpoint.ErrUnreachable); e.Execution != endpoint.NotExecuted || e.Phase != endpoint.PhaseConnecting {
			t.Errorf("%s, %s; want not executed, connecting", e.Execution, e.Phase)
		}
	})
}
