package semantics

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
)

// What errors name as the setting that controls a timeout.
const (
	deadlineOfContext = "the deadline of the context"
	withAskTimeout    = "parley.WithAskTimeout"
)

// wantTimeout checks that err is a timeout that names its setting once, and the endpoint.
func wantTimeout(t *testing.T, err error, setting string) {
	t.Helper()
	e := wantError(t, err, endpoint.ErrTimeout)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not context.DeadlineExceeded", err)
	}
	if e.Setting != setting {
		t.Errorf("the setting is %q, want %q", e.Setting, setting)
	}
	wantOnce(t, err, setting)
	wantOnce(t, err, "This timeout is controlled by")
}

// soon returns a context that times out while a handler holds its ask up.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestTimeouts(t *testing.T) {
	t.Run("T6 ask a message timeout", func(t *testing.T) {
		bothWays(t, "by context", func(t *testing.T, w *world) {
			ref := w.register(t, "ask-timeout", newProbe(t))
			_, err := ref.Block.AskSync(soon(t, time.Millisecond), &parleytestv1.BlockRequest{})
			wantTimeout(t, err, deadlineOfContext)
		})
		bothWays(t, "by option", func(t *testing.T, w *world) {
			ref := w.register(t, "ask-timeout", newProbe(t))
			_, err := ref.Block.AskSync(t.Context(), &parleytestv1.BlockRequest{})
			wantTimeout(t, err, withAskTimeout)
		}, parley.WithAskTimeout(20*time.Millisecond))
		bothWays(t, "of a handler that obeys", func(t *testing.T, w *world) {
			p := newProbe(t)
			p.echo = func(ctx context.Context, _ string) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			}
			ref := w.register(t, "ask-timeout", p)
			for range 50 {
				_, err := ref.Echo.AskSync(soon(t, 2*time.Millisecond), nil)
				wantTimeout(t, err, deadlineOfContext)
			}
		})
	})

	bothWays(t, "T7 ask a message abort", func(t *testing.T, w *world) {
		abort := errors.New("TestAbort")
		ended := make(chan error, 1)
		entered := make(chan struct{})
		p := newProbe(t)
		p.echo = func(ctx context.Context, _ string) (string, error) {
			close(entered)
			<-ctx.Done()
			ended <- ctx.Err()
			return "", ctx.Err()
		}
		ref := w.register(t, "ask-abort", p)
		ctx, cancel := context.WithCancelCause(within(t))
		f := ref.Echo.Ask(ctx, nil)
		await(t, entered, "handler")
		cancel(abort)
		_, err := f.Wait(within(t))
		wantError(t, err, endpoint.ErrCancelled)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, abort) {
			t.Errorf("%v is not both context.Canceled and the cause %v", err, abort)
		}
		// Unlike Spark's, the handler learns of it.
		if err := await(t, ended, "end of the handler's context"); !errors.Is(err, context.Canceled) {
			t.Errorf("the handler's context ended with %v, want %v", err, context.Canceled)
		}
	})

	t.Run("T32 construct RpcTimeout", func(t *testing.T) {
		// In Parley the timeout of an ask is, in this order: the deadline of its context, the Env's option, and 120 s. The handler
		// sees which it was.
		wantDeadline := func(t *testing.T, w *world, d time.Duration, ctx func() context.Context) {
			got := make(chan time.Time, 1)
			p := newProbe(t)
			p.echo = func(ctx context.Context, text string) (string, error) {
				deadline, _ := ctx.Deadline()
				got <- deadline
				return text, nil
			}
			ref := w.register(t, "deadline", p)
			earliest := time.Now().Add(d)
			if _, err := ref.Echo.AskSync(ctx(), nil); err != nil {
				t.Fatal(err)
			}
			// The receiver counts the remaining time from the arrival, at microseconds.
			latest := time.Now().Add(d + time.Millisecond)
			if deadline := <-got; deadline.Before(earliest.Add(-time.Millisecond)) || deadline.After(latest) {
				t.Errorf("the deadline is %v, want one from %v to %v", deadline, earliest, latest)
			}
		}
		bothWays(t, "from context", func(t *testing.T, w *world) {
			wantDeadline(t, w, 30*time.Second, func() context.Context { return soon(t, 30*time.Second) })
		}, parley.WithAskTimeout(100*time.Second))
		bothWays(t, "from option", func(t *testing.T, w *world) {
			wantDeadline(t, w, 30*time.Second, t.Context)
		}, parley.WithAskTimeout(30*time.Second))
		bothWays(t, "default", func(t *testing.T, w *world) {
			wantDeadline(t, w, 120*time.Second, t.Context)
		})
	})

	t.Run("T33 ask a message timeout on Future using RpcTimeout", func(t *testing.T) {
		neverReply := func(setting string, ctx func(t *testing.T) context.Context) func(t *testing.T, w *world) {
			return func(t *testing.T, w *world) {
				ref := w.register(t, "ask-future", newProbe(t))
				f := ref.Block.Ask(ctx(t), &parleytestv1.BlockRequest{})
				_, err := f.Wait(within(t)) // whose own deadline is far away
				wantTimeout(t, err, setting)
				_, again := f.Wait(within(t))
				wantTimeout(t, again, setting)
				if again.Error() != err.Error() {
					t.Errorf("waited again, got %q, want %q as before", again, err)
				}
			}
		}
		bothWays(t, "reply in time", func(t *testing.T, w *world) {
			ref := w.register(t, "ask-future", newProbe(t))
			f := ref.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: "hello"})
			for range 2 {
				if r, err := f.Wait(within(t)); err != nil || r.GetText() != "hello" {
					t.Errorf("got %q, %v; want hello", r.GetText(), err)
				}
			}
		})
		bothWays(t, "by context", neverReply(deadlineOfContext, func(t *testing.T) context.Context { return soon(t, 10*time.Millisecond) }))
		bothWays(t, "by option", neverReply(withAskTimeout, (*testing.T).Context), parley.WithAskTimeout(10*time.Millisecond))
		bothWays(t, "of the wait only", func(t *testing.T, w *world) {
			p := newProbe(t)
			ref := w.register(t, "ask-future", p)
			f := ref.Block.Ask(within(t), &parleytestv1.BlockRequest{Text: "late"})
			_, err := f.Wait(soon(t, time.Millisecond))
			wantTimeout(t, err, deadlineOfContext)
			p.block.open()
			if r, err := f.Wait(within(t)); err != nil || r.GetText() != "late" {
				t.Errorf("got %q, %v; want late: the ask goes on", r.GetText(), err)
			}
		})
	})

	run(t, "U5 ask a Ref in client mode timeout", func(t *testing.T) {
		server, client := listen(t), newEnv(t)
		keeper := newProbe(t)
		keeperRef := register(t, server, "keeper", keeper)
		receiver := register(t, client, "receiver", newProbe(t))
		toServer := lookup(t, client, keeperRef.Ref().String())
		var socket string
		keeper.echo = func(ctx context.Context, text string) (string, error) {
			sender, _ := endpoint.Sender(ctx)
			socket = sender.Remote
			return text, nil
		}
		echo(t, toServer, "where from")
		if _, err := toServer.KeepRef.AskSync(within(t), &parleytestv1.KeepRefRequest{Ref: receiver.Ref().Proto()}); err != nil {
			t.Fatalf("KeepRef: %v", err)
		}
		kept, err := keeperRef.Kept.AskSync(within(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := endpoint.RefFromProto(kept.GetRef())
		if err != nil {
			t.Fatal(err)
		}
		_, err = bind(t, server, ref).Block.AskSync(soon(t, 10*time.Millisecond), &parleytestv1.BlockRequest{})
		wantTimeout(t, err, deadlineOfContext)
		wantOnce(t, err, socket)
	})
}
