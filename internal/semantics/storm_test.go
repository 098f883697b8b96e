package semantics

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// storm lets clients Envs connect to one server all at once, and each of them ask every one of its endpoints.
func storm(t *testing.T, clients, endpoints int, limit time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	server := listen(t)
	for i := range endpoints {
		register(t, server, fmt.Sprintf("endpoint-%d", i), newProbe(t))
	}
	envs := make([]*parley.Env, clients)
	for i := range envs {
		envs[i] = newEnv(t)
	}
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i, env := range envs {
		wg.Go(func() {
			<-begin
			futures := make([]*endpoint.Future[parleytestv1.CountResponse], endpoints)
			for j := range futures {
				ref, err := endpoint.NewRef(fmt.Sprintf("endpoint-%d", j), server.Address())
				if err != nil {
					t.Error(err)
					return
				}
				b, err := env.Bind(ref)
				if err != nil {
					t.Error(err)
					return
				}
				futures[j] = parleytestv1parley.NewProbe(b).Count.Ask(ctx, &parleytestv1.CountRequest{Add: 1})
			}
			for j, f := range futures {
				if _, err := f.Wait(ctx); err != nil {
					t.Errorf("client %d, endpoint %d: %v", i, j, err)
					return // the others are likely to say the same
				}
			}
		})
	}
	close(begin)
	wg.Wait()
	if c := server.Counters(); c.Sessions != clients || c.OpenAsks != 0 || c.Dropped != 0 {
		t.Errorf("the server has %+v, want %d sessions, no open ask and none dropped", c, clients)
	}
	for j := range endpoints {
		ref, err := endpoint.NewRef(fmt.Sprintf("endpoint-%d", j), server.Address())
		if err != nil {
			t.Fatal(err)
		}
		r, err := bind(t, server, ref).Count.AskSync(ctx, nil)
		if err != nil || r.GetSum() != int64(clients) {
			t.Errorf("endpoint %d was asked %d times, %v; want %d", j, r.GetSum(), err, clients)
		}
	}
}

func TestStorm(t *testing.T) {
	run(t, "G16 connect storm", func(t *testing.T) { storm(t, 50, 20, 3*patience) })
}

// TestNothingIsLeft has G17. All other cases are checked in this way after their end, by run and finish; here it is done in
// the middle, after everything that could leave something behind.
func TestNothingIsLeft(t *testing.T) {
	bothWays(t, "G17 nothing is left after a test", func(t *testing.T, w *world) {
		const waits = "until the end"
		p := newProbe(t)
		p.echo = func(ctx context.Context, text string) (string, error) {
			if text == waits {
				<-ctx.Done()
			}
			return text, ctx.Err()
		}
		ref := w.register(t, "busy", p)
		for range 20 {
			echo(t, ref, "answered")
			send(t, ref, "one way")
			if _, err := ref.Panic.AskSync(within(t), nil); err == nil {
				t.Error("no error of a panic")
			}
			if _, err := ref.Echo.AskSync(soon(t, time.Millisecond), &parleytestv1.EchoRequest{Text: waits}); err == nil {
				t.Error("no error of a timeout")
			}
			ctx, cancel := context.WithCancel(within(t))
			f := ref.Echo.Ask(ctx, &parleytestv1.EchoRequest{Text: waits})
			cancel()
			if _, err := f.Wait(within(t)); err == nil {
				t.Error("no error of a cancelled ask")
			}
			if _, err := parleytestv1parley.LookupProbe(within(t), w.caller, "parley://nobody@"+w.host.Address()); err == nil {
				t.Error("no error of a lookup of nothing")
			}
		}
		own, err := endpoint.NewRef("busy", w.host.Address())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.host.Stop(within(t), own); err != nil {
			t.Fatal(err)
		}
		for _, env := range []*parley.Env{w.caller, w.host} {
			awaitNothingPending(within(t), t, env)
			if err := env.Shutdown(within(t)); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if c := env.Counters(); c.Sessions != 0 || c.PendingAsks != 0 || c.OpenAsks != 0 || c.Dropped != 0 {
				t.Errorf("%+v, want nothing pending and nothing dropped", c)
			}
		}
	})
}
