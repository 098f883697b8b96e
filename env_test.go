package parley_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// soon is a context for what must not take long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestMount: an Env on a gRPC server and a connection that the program has made.
func TestMount(t *testing.T) {
	leaktest.Check(t)
	listener := listening(t)
	address := listener.Addr().String()
	host, err := parley.New(parley.WithName("host"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	if err := host.Mount(server, address); err != nil {
		t.Fatal(err)
	}
	if err := host.Mount(server, address); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("the second Mount: %v, want ErrDuplicate", err)
	}
	serving(t, server, listener)
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ref.Ref().Address(); got != address {
		t.Errorf("the Ref's address is %s, want %s", got, address)
	}

	caller, err := parley.New(parley.WithName("caller"))
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.UseConn(address, cc); err != nil {
		t.Fatal(err)
	}
	if err := caller.UseConn(address, cc); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("the second UseConn: %v, want ErrDuplicate", err)
	}
	far, err := sayhiv1parley.LookupSayHi(soon(t), caller, ref.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := far.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "there"}); err != nil || r.GetMsg() != "echo there" {
		t.Errorf("AskSync: %v, %v", r, err)
	}

	// The order that the doc of Mount gives.
	if err := host.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	server.GracefulStop()
	if err := caller.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	if err := cc.Close(); err != nil {
		t.Errorf("the program's own connection: %v", err)
	}
}

// TestListenRefuses: what Listen does not try.
func TestListenRefuses(t *testing.T) {
	for _, address := range []string{"", "localhost", "localhost:80", "localhost:65536", "localhost:-1", "localhost:http"} {
		if env, err := parley.Listen(address); !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("Listen(%q) = %v, %v, want ErrInvalid", address, env, err)
		}
	}
	// An address of nobody here is no collision, so no other port is tried.
	_, err := parley.Listen("192.0.2.1:5678")
	if err == nil || strings.Contains(err.Error(), "retries") {
		t.Errorf("Listen at a foreign address: %v", err)
	}
}

// TestPortRetriesEnd: when all ports were taken the error names the service and the setting.
func TestPortRetriesEnd(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}()
	port := taken.Addr().(*net.TCPAddr).Port
	_, err = parley.Listen("localhost:"+strconv.Itoa(port), parley.WithName("greeter"), parley.WithPortRetries(0))
	if err == nil || !strings.Contains(err.Error(), "greeter") || !strings.Contains(err.Error(), "parley.WithPortRetries") {
		t.Errorf("Listen = %v, want an error that names the service and the setting", err)
	}
}

// TestShutdownIsIdempotent: any number of calls, and Wait, see the same end.
func TestShutdownIsIdempotent(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := env.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v before Shutdown, want the error of its context", err)
	}
	results := make(chan error, 4)
	for range cap(results) / 2 {
		go func() { results <- env.Shutdown(soon(t)) }()
		go func() { results <- env.Wait(soon(t)) }()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{}); !errors.Is(err, endpoint.ErrEnvStopped) {
		t.Errorf("Register after Shutdown: %v, want ErrEnvStopped", err)
	}
}

// deaf is an endpoint whose handler waits, whatever its context says.
type deaf struct {
	sayhiv1parley.UnimplementedSayHi
	entered, release chan struct{}
}

func (s deaf) Hi(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	close(s.entered)
	<-s.release
	return &sayhiv1.HiReply{}, nil
}

// hostingDeaf returns an Env, and its Ref to an endpoint of its own that is deaf.
func hostingDeaf(t *testing.T) (*parley.Env, sayhiv1parley.SayHiRef, deaf) {
	t.Helper()
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	s := deaf{entered: make(chan struct{}), release: make(chan struct{})}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "stuck", s)
	if err != nil {
		t.Fatal(err)
	}
	return env, ref, s
}

// TestShutdownIsBounded: a handler that does not return holds no Shutdown beyond its context, the first one or a later one.
func TestShutdownIsBounded(t *testing.T) {
	leaktest.Check(t)
	env, ref, s := hostingDeaf(t)
	defer close(s.release)
	if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Fatal(err)
	}
	<-s.entered
	first := make(chan error, 1)
	firstCtx, cancelFirst := context.WithCancel(context.Background())
	go func() { first <- env.Shutdown(firstCtx) }()
	for {
		if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "x", hi{}); errors.Is(err, endpoint.ErrEnvStopped) {
			break // the first Shutdown has begun
		}
	}
	second, cancel := context.WithCancel(context.Background())
	cancel()
	if err := env.Shutdown(second); !errors.Is(err, context.Canceled) {
		t.Errorf("a second Shutdown whose context has ended: %v, want its error", err)
	}
	cancelFirst()
	if err := <-first; err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("Shutdown = %v, want an error that names the endpoint", err)
	}
}

// TestShutdownWaitsForOnComplete, which the doc of Future promises.
func TestShutdownWaitsForOnComplete(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "there"}).OnComplete(func(r *sayhiv1.HiReply, err error) {
		if err != nil || r.GetMsg() != "echo there" {
			t.Errorf("OnComplete: %v, %v", r, err)
		}
		close(entered)
		<-release
	})
	<-entered
	done := make(chan error, 1)
	go func() { done <- env.Shutdown(soon(t)) }()
	waiting, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := env.Wait(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v while a callback runs", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
