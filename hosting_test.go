package parley_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// boundTo binds the Ref of an endpoint of env, whether it is registered or not.
func boundTo(t *testing.T, env *parley.Env, name string) sayhiv1parley.SayHiRef {
	t.Helper()
	return boundAt(t, env, refAt(t, name, env.Address()))
}

// refAt returns the Ref of an endpoint at an address, whether there is one or not.
func refAt(t *testing.T, name, address string) endpoint.Ref {
	t.Helper()
	ref, err := endpoint.NewRef(name, address)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestHardShutdownEndsLocalAsks: an ask whose handler looks at no context fails when the shutdown's time is over, as one from
// afar does.
func TestHardShutdownEndsLocalAsks(t *testing.T) {
	leaktest.Check(t)
	env, ref, s := hostingDeaf(t)
	defer close(s.release)
	asked := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{})
	<-s.entered
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := env.Shutdown(over); err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("Shutdown = %v, want an error that names the endpoint", err)
	}
	_, err := asked.Wait(soon(t))
	var e *endpoint.Error
	if !errors.Is(err, endpoint.ErrEnvStopped) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted {
		t.Errorf("the ask: %v, want ErrEnvStopped, may have executed", err)
	}
}

// TestStopOfNamesake: an endpoint that stops itself when it has been stopped already does not stop its successor.
func TestStopOfNamesake(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	old, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		close(entered)
		<-release
		self, ok := endpoint.Self(ctx)
		if !ok {
			t.Error("no Self in a handler")
		}
		return &sayhiv1.HiReply{}, env.Stop(ctx, self)
	}))
	if err != nil {
		t.Fatal(err)
	}
	asked := old.Hi.Ask(soon(t), &sayhiv1.HiRequest{})
	<-entered
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if err := env.Stop(over, old.Ref()); !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("Stop that does not wait: %v, want ErrCancelled", err)
	}
	successor, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if _, err := asked.Wait(soon(t)); err != nil {
		t.Errorf("the old endpoint: %v", err)
	}
	if r, err := successor.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "there"}); err != nil || r.GetMsg() != "echo there" {
		t.Errorf("the new endpoint: %v, %v", r, err)
	}
	if err := env.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

// slowStart is an endpoint whose OnStart takes its time.
type slowStart struct {
	hiFunc
	starting, start, stopped chan struct{}
}

func (s slowStart) OnStart(context.Context) error {
	close(s.starting)
	<-s.start
	return nil
}

func (s slowStart) OnStop(context.Context) error {
	close(s.stopped)
	return nil
}

// TestRegistrationThatTimedOut: nothing that came for it is handled, but what OnStart began OnStop ends.
func TestRegistrationThatTimedOut(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	var handled atomic.Int32
	s := slowStart{starting: make(chan struct{}), start: make(chan struct{}), stopped: make(chan struct{})}
	s.hiFunc = func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		handled.Add(1)
		return &sayhiv1.HiReply{}, nil
	}
	ctx, cancel := context.WithCancel(soon(t))
	registered := make(chan error, 1)
	go func() {
		_, err := sayhiv1parley.RegisterSayHi(ctx, env, "slow", s)
		registered <- err
	}()
	<-s.starting
	asked := boundTo(t, env, "slow").Hi.Ask(soon(t), &sayhiv1.HiRequest{})
	cancel()
	if err := <-registered; !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("Register = %v, want ErrCancelled", err)
	}
	close(s.start)
	if _, err := asked.Wait(soon(t)); !errors.Is(err, endpoint.ErrEndpointStopped) || handled.Load() > 0 {
		t.Errorf("a message that came before: %v, %d handled; want ErrEndpointStopped and none", err, handled.Load())
	}
	<-s.stopped
	if err := env.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

// TestLocalWindowCountsMetadata: messages that are all metadata fill the window of a local endpoint, too.
func TestLocalWindowCountsMetadata(t *testing.T) {
	leaktest.Check(t)
	const window, size = 1 << 20, 60 << 10
	env, err := parley.New(parley.WithWindow(8192, window))
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		<-release
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(soon(t), "k", strings.Repeat("x", size))
	const most = window/size + 3 // one overdraws the window, and one is in the handler
	accepted := 0
	for err = nil; err == nil && accepted <= most; accepted++ {
		err = ref.Hi.TrySend(ctx, &sayhiv1.HiRequest{})
	}
	if !errors.Is(err, endpoint.ErrOverloaded) {
		t.Errorf("after %d messages of %d bytes of metadata: %v, want ErrOverloaded", accepted, size, err)
	}
	close(release)
	if err := env.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

// TestReplyLimits: what a peer would not get, a local asker does not get either.
func TestReplyLimits(t *testing.T) {
	leaktest.Check(t)
	limit := parley.WithMaxMessageSize(1 << 20)
	host, err := parley.Listen("localhost:0", limit)
	if err != nil {
		t.Fatal(err)
	}
	local, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		switch r.GetMsg() {
		case "payload":
			return &sayhiv1.HiReply{Msg: strings.Repeat("x", 2<<20)}, nil
		case "status":
			return nil, status.Error(codes.NotFound, strings.Repeat("x", 1<<20))
		case "header":
			return &sayhiv1.HiReply{}, grpc.SetHeader(ctx, metadata.MD{"Bad Key\n": {"v"}})
		default: // header of an error
			return nil, errors.Join(grpc.SetHeader(ctx, metadata.Pairs("k", strings.Repeat("x", 100<<10))), errors.New("refused"))
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(limit)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := sayhiv1parley.LookupSayHi(soon(t), caller, local.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	for where, ref := range map[string]sayhiv1parley.SayHiRef{"local": local, "remote": remote} {
		for what, want := range map[string]error{
			"payload": endpoint.ErrTooLarge, "status": endpoint.ErrTooLarge, "header": endpoint.ErrUnencodable, "error's header": endpoint.ErrTooLarge,
		} {
			_, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: what})
			var e *endpoint.Error
			if !errors.Is(err, want) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted || !strings.Contains(err.Error(), "reply: ") {
				t.Errorf("%s, %s: %.200v, want %v of the reply, may have executed", where, what, err, want)
			}
		}
	}
	if err := errors.Join(caller.Shutdown(soon(t)), host.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}

// TestPassedOnAnswer: an answer that a handler passes on as it is keeps its text, as in gRPC; wrapped it has the wrapper's.
func TestPassedOnAnswer(t *testing.T) {
	answer := endpoint.AsError(status.Error(codes.NotFound, "inner"))
	for passed, want := range map[error]string{answer: "inner", fmt.Errorf("wrapped: %w", answer): "wrapped: " + answer.Error()} {
		bothWays(t, hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return nil, passed }), func(t *testing.T, ref sayhiv1parley.SayHiRef) {
			_, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
			var e *endpoint.Error
			if !errors.As(err, &e) || e.GRPCStatus().Message() != want || e.Code() != codes.NotFound {
				t.Errorf("the asker gets %v, want NotFound with the text %q", err, want)
			}
		})
	}
}
