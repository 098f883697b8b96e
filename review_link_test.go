package parley_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// hosting returns an Env that listens and hosts hi.
func hosting(t *testing.T) (*parley.Env, sayhiv1parley.SayHiRef) {
	t.Helper()
	env, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	return env, ref
}

func newEnv(t *testing.T, opts ...parley.Option) *parley.Env {
	t.Helper()
	env, err := parley.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func end(t *testing.T, envs ...*parley.Env) {
	t.Helper()
	for _, env := range envs {
		if err := env.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestMountLateHello: a stream that waits for its hello ends with the Env, so that the program's server can end after it.
func TestMountLateHello(t *testing.T) {
	leaktest.Check(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := newEnv(t)
	opened := make(chan struct{}, 1)
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		opened <- struct{}{}
		return next(srv, s)
	}))
	if err := host.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	cc, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := parleyv1.NewParleyClient(cc).Connect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	end(t, host)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want Unavailable", err)
	}
	server.GracefulStop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
}

// TestShutdownConnect: a shutdown at any moment of an opening ends it, with nothing left.
func TestShutdownConnect(t *testing.T) {
	leaktest.Check(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	host, ref := hosting(t)
	for range 50 {
		env := newEnv(t)
		bound, err := env.Bind(ref.Ref())
		if err != nil {
			t.Fatal(err)
		}
		outcome := make(chan error, 1)
		go func() {
			_, err := sayhiv1parley.NewSayHi(bound).Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "there"})
			outcome <- err
		}()
		for range random.IntN(2000) {
			runtime.Gosched()
		}
		end(t, env)
		if err := <-outcome; err != nil && !errors.Is(err, endpoint.ErrEnvStopped) {
			t.Errorf("AskSync during a shutdown: %v", err)
		}
		if n := env.Counters().Sessions; n != 0 {
			t.Errorf("%d sessions after Shutdown", n)
		}
	}
	end(t, host)
}

// halves carries connections of which either half can be cut without a word to the other.
type halves struct {
	net.Listener
	to string
	wg sync.WaitGroup

	mu          sync.Mutex
	down        bool
	near, far   []net.Conn
	acceptError error
}

func newHalves(t *testing.T, to string) *halves {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &halves{Listener: l, to: to}
	h.wg.Go(h.carry)
	return h
}

func (h *halves) carry() {
	for {
		near, err := h.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		down := h.down
		h.mu.Unlock()
		if down {
			if h.acceptError = near.Close(); h.acceptError != nil {
				return
			}
			continue
		}
		far, err := net.Dial("tcp", h.to)
		if err != nil {
			h.acceptError = errors.Join(err, near.Close())
			return
		}
		h.mu.Lock()
		h.near, h.far = append(h.near, near), append(h.far, far)
		h.mu.Unlock()
		// How a copy ends is of no interest: the test cuts connections.
		h.wg.Go(func() { _, _ = io.Copy(near, far) })
		h.wg.Go(func() { _, _ = io.Copy(far, near) })
	}
}

// setDown says whether new connections are cut at once.
func (h *halves) setDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

// cutNear cuts the diallers' halves.
func (h *halves) cutNear(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.near {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	h.near = nil
}

// cutFar cuts the listener's halves.
func (h *halves) cutFar(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.far {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	h.far = nil
}

func (h *halves) end(t *testing.T) {
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	h.cutNear(t)
	h.cutFar(t)
	h.wg.Wait()
	if h.acceptError != nil {
		t.Error(h.acceptError)
	}
}

// TestHalfOpen: a connection that breaks on the dialler's side only is replaced at once, and the session goes on.
func TestHalfOpen(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	between := newHalves(t, host.Address())
	env := newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		between.cutNear(t)
		if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "there"}); err != nil {
			t.Fatalf("after cut %d: %v", n+1, err)
		}
		if got := host.Counters().Sessions; got != 1 {
			t.Errorf("after cut %d the listener has %d sessions, want 1", n+1, got)
		}
	}
	end(t, env)
	between.end(t)
	end(t, host)
}

// TestAlias: an Env under an address that it does not go by, and two addresses of one Env at once.
func TestAlias(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	alias := strings.Replace(host.Address(), "127.0.0.1", "localhost", 1)
	_, err := sayhiv1parley.LookupSayHi(soon(t), host, "parley://hi@"+alias)
	if !errors.Is(err, endpoint.ErrUnreachable) || !strings.Contains(err.Error(), host.Address()) {
		t.Errorf("an Env at its own alias: %v, want ErrUnreachable that names %s", err, host.Address())
	}
	for range 30 {
		env := newEnv(t)
		var wg sync.WaitGroup
		for _, address := range []string{host.Address(), alias} {
			wg.Go(func() {
				if _, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+address); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		end(t, env)
	}
	end(t, host)
}

// TestUseConnNil: a connection that failed to be made is refused at once.
func TestUseConnNil(t *testing.T) {
	env := newEnv(t)
	defer end(t, env)
	for _, cc := range []grpc.ClientConnInterface{nil, (*grpc.ClientConn)(nil)} {
		if err := env.UseConn("127.0.0.1:9999", cc); !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("UseConn(%T) = %v, want ErrInvalid", cc, err)
		}
	}
}

// TestTwoMounts: the second Env is refused, where gRPC itself would end the process, and may be mounted elsewhere.
func TestTwoMounts(t *testing.T) {
	server, other := grpc.NewServer(), grpc.NewServer()
	defer server.Stop()
	defer other.Stop()
	first, second := newEnv(t), newEnv(t)
	defer end(t, first, second)
	if err := first.Mount(server, "h:1234"); err != nil {
		t.Fatal(err)
	}
	if err := second.Mount(server, "h:1234"); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("Mount beside another Env = %v, want ErrDuplicate", err)
	}
	if err := second.Mount(other, "h:1235"); err != nil {
		t.Error(err)
	}
}
