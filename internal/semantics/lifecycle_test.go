package semantics

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func TestLifecycle(t *testing.T) {
	oops := errors.New("Oops!")

	locally(t, "T8 onStart and onStop", func(t *testing.T, w *world) {
		p := newProbe(t)
		ref := register(t, w.host, "start-stop", p)
		if err := w.host.Stop(within(t), ref.Ref()); err != nil {
			t.Fatalf("Stop: %v", err)
		}
		p.journal.want(t, "start", "stop")
	})

	locally(t, "T9 onError error in onStart", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.onStart = func(context.Context) error { return oops }
		_, err := parleytestv1parley.RegisterProbe(within(t), w.host, "onstart", p)
		// Unlike Spark's, an endpoint that could not start is not registered.
		if err == nil || !strings.Contains(err.Error(), "Oops!") || !errors.Is(err, oops) {
			t.Errorf("RegisterProbe: %v, want the error of OnStart", err)
		}
		if got := await(t, p.errs, "OnError"); got != oops {
			t.Errorf("OnError got %v, want %v", got, oops)
		}
		p.onStart = nil
		echo(t, register(t, w.host, "onstart", p), "the name is free again")
	})

	locally(t, "T10 onError error in onStop", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.onStop = func(context.Context) error { return oops }
		ref := register(t, w.host, "onstop", p)
		if err := w.host.Stop(within(t), ref.Ref()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if got := await(t, p.errs, "OnError"); got != oops {
			t.Errorf("OnError got %v, want %v", got, oops)
		}
	})

	bothWays(t, "T11 onError error in receive", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.echo = func(_ context.Context, text string) (string, error) {
			if text == "Foo" {
				return "", oops
			}
			return text, nil
		}
		ref := w.register(t, "receive", p)
		send(t, ref, "Foo")
		if got := await(t, p.errs, "OnError"); got != oops {
			t.Errorf("OnError got %v, want %v", got, oops)
		}
		echo(t, ref, "it goes on")
	})

	selfIn := func(t *testing.T, ctx context.Context, want bool, where string) {
		ref, ok := endpoint.Self(ctx)
		if ok != want || ref.IsZero() == want {
			t.Errorf("Self in %s = %v, %t; want %t", where, ref, ok, want)
		}
	}
	locally(t, "T12 self call in onStart", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.onStart = func(ctx context.Context) error { selfIn(t, ctx, true, "OnStart"); return nil }
		register(t, w.host, "self", p)
	})
	bothWays(t, "T13 self call in receive", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.echo = func(ctx context.Context, text string) (string, error) {
			selfIn(t, ctx, true, "a handler")
			return text, nil
		}
		echo(t, w.register(t, "self", p), "Foo")
	})
	locally(t, "T14 self call in onStop", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.onStop = func(ctx context.Context) error { selfIn(t, ctx, false, "OnStop"); return nil }
		ref := register(t, w.host, "self", p)
		if err := w.host.Stop(within(t), ref.Ref()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		p.journal.want(t, "start", "stop")
	})

	locally(t, "T16 stop(Ref) reentrant", func(t *testing.T, w *world) {
		p := newProbe(t)
		var ref parleytestv1parley.ProbeRef
		p.onStop = func(ctx context.Context) error { return w.host.Stop(ctx, ref.Ref()) }
		ref = register(t, w.host, "stop-reentrant", p)
		for i := range 2 {
			if err := w.host.Stop(within(t), ref.Ref()); err != nil {
				t.Errorf("Stop %d: %v", i+1, err)
			}
		}
		p.journal.want(t, "start", "stop")
		if len(p.errs) > 0 {
			t.Errorf("OnError got %v", <-p.errs)
		}
	})
}
