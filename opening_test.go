package parley_test

import (
	"errors"
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

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

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
