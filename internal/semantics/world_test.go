package semantics

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	"github.com/parley-rpc/parley/internal/tlstest"
)

// patience bounds waits that end at once unless something is wrong.
const patience = 10 * time.Second

// within returns a context that ends when the test has run out of patience.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// world is where a case runs: the Env that hosts endpoints, and the one that calls them. Locally they are the same.
type world struct {
	host, caller *parley.Env
	remote       bool
}

// authority issues the certificates of the case V.
var authority = sync.OnceValue(tlstest.NewAuthority)

// caseName returns the name of the subtest of a case, or of a part of it.
func caseName(name string) string {
	if *withTLS {
		return "V " + name
	}
	return name
}

// run runs a case, and checks that it leaves nothing behind.
func run(t *testing.T, name string, body func(t *testing.T)) {
	t.Helper()
	t.Run(caseName(name), func(t *testing.T) {
		leaktest.Check(t)
		body(t)
	})
}

// locally runs a case in one Env.
func locally(t *testing.T, name string, body func(t *testing.T, w *world), opts ...parley.Option) {
	t.Helper()
	run(t, name, func(t *testing.T) {
		env := listen(t, opts...)
		body(t, &world{host: env, caller: env})
	})
}

// remotely runs a case with an Env that listens and one in client mode that calls it.
func remotely(t *testing.T, name string, body func(t *testing.T, w *world), opts ...parley.Option) {
	t.Helper()
	run(t, name, func(t *testing.T) {
		body(t, &world{host: listen(t, opts...), caller: newEnv(t, opts...), remote: true})
	})
}

// bothWays runs a case locally and remotely.
func bothWays(t *testing.T, name string, body func(t *testing.T, w *world), opts ...parley.Option) {
	t.Helper()
	t.Run(caseName(name), func(t *testing.T) {
		locally(t, "local", body, opts...)
		remotely(t, "remote", body, opts...)
	})
}

// common are the options of every Env, before those of the case.
func common() []parley.Option {
	opts := []parley.Option{parley.WithLogger(slog.New(slog.DiscardHandler))}
	if *withTLS {
		opts = append(opts, parley.WithServerOptions(grpc.Creds(authority().Listening("host", tls.RequireAndVerifyClientCert))), parley.WithDialOptions(dialling()))
	}
	return opts
}

// dialling is how connections are made.
func dialling() grpc.DialOption {
	if *withTLS {
		return grpc.WithTransportCredentials(authority().Dialling("caller"))
	}
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

// listen returns an Env that listens, and that is shut down after the test.
func listen(t *testing.T, opts ...parley.Option) *parley.Env {
	t.Helper()
	return listenAt(t, "localhost:0", opts...)
}

func listenAt(t *testing.T, address string, opts ...parley.Option) *parley.Env {
	t.Helper()
	env, err := parley.Listen(address, append(common(), opts...)...)
	if err != nil {
		t.Fatalf("Listen(%q): %v", address, err)
	}
	finish(t, env)
	return env
}

// newEnv returns an Env in client mode, which is shut down after the test.
func newEnv(t *testing.T, opts ...parley.Option) *parley.Env {
	t.Helper()
	env, err := parley.New(append(common(), opts...)...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	finish(t, env)
	return env
}

// finish sees to it that env is shut down after the test, with nothing pending before and after.
func finish(t *testing.T, env *parley.Env) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		awaitNothingPending(ctx, t, env)
		wasDown := isDown(env) // by the case, which has seen its error
		if err := env.Shutdown(ctx); err != nil && !wasDown {
			t.Errorf("Shutdown: %v", err)
		}
		if c := env.Counters(); c.Sessions != 0 || c.PendingAsks != 0 || c.OpenAsks != 0 {
			t.Errorf("after Shutdown: %+v, want nothing pending", c)
		}
	})
}

// isDown reports whether env has been shut down.
func isDown(env *parley.Env) bool {
	ended, end := context.WithCancel(context.Background())
	end()
	return !errors.Is(env.Wait(ended), context.Canceled)
}

// awaitNothingPending waits until no ask is pending. There is no event for it, so it looks again and again.
func awaitNothingPending(ctx context.Context, t *testing.T, env *parley.Env) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		c := env.Counters()
		if c.PendingAsks == 0 && c.OpenAsks == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Errorf("before Shutdown: %+v, want nothing pending", c)
			return
		}
	}
}

// register registers p at the host and returns a Ref that the caller has looked up.
func (w *world) register(t *testing.T, name string, p *probe, opts ...endpoint.Option) parleytestv1parley.ProbeRef {
	t.Helper()
	own := register(t, w.host, name, p, opts...)
	return lookup(t, w.caller, own.Ref().String())
}

func register(t *testing.T, env *parley.Env, name string, p *probe, opts ...endpoint.Option) parleytestv1parley.ProbeRef {
	t.Helper()
	ref, err := parleytestv1parley.RegisterProbe(within(t), env, name, p, opts...)
	if err != nil {
		t.Fatalf("RegisterProbe(%q): %v", name, err)
	}
	return ref
}

func lookup(t *testing.T, env *parley.Env, uri string) parleytestv1parley.ProbeRef {
	t.Helper()
	ref, err := parleytestv1parley.LookupProbe(within(t), env, uri)
	if err != nil {
		t.Fatalf("LookupProbe(%q): %v", uri, err)
	}
	return ref
}

// bind returns ref bound to env, without a check.
func bind(t *testing.T, env *parley.Env, ref endpoint.Ref) parleytestv1parley.ProbeRef {
	t.Helper()
	b, err := env.Bind(ref)
	if err != nil {
		t.Fatalf("Bind(%v): %v", ref, err)
	}
	return parleytestv1parley.NewProbe(b)
}

// await waits for something to arrive on c, or for its end.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s in %s", what, patience)
		panic("unreachable")
	}
}

// wantError checks that err is the wanted one, and returns it.
func wantError(t *testing.T, err, want error) *endpoint.Error {
	t.Helper()
	var e *endpoint.Error
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Fatalf("got the error %v, want one that is %v", err, want)
	}
	return e
}

// wantOnce checks that the text of err has part exactly once.
func wantOnce(t *testing.T, err error, part string) {
	t.Helper()
	if n := strings.Count(err.Error(), part); n != 1 {
		t.Errorf("%q has %q %d times, want once", err, part, n)
	}
}

// gate holds handlers up until the test opens it.
type gate struct {
	entered chan string
	opened  chan struct{}
	once    sync.Once
}

// newGate returns a gate that is opened at the latest when the test is over.
func newGate(t *testing.T) *gate {
	g := &gate{entered: make(chan string, 1024), opened: make(chan struct{})}
	t.Cleanup(g.open)
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// pass is called by handlers. The error is that of ctx.
func (g *gate) pass(ctx context.Context, who string) error {
	g.entered <- who
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
