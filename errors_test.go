package parley_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
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

// hiFunc is an endpoint that is one function.
type hiFunc func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)

func (f hiFunc) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return f(ctx, r)
}

func (f hiFunc) Bye(context.Context, *sayhiv1.ByeRequest) (*sayhiv1.ByeReply, error) {
	return nil, status.Error(codes.Unimplemented, "no bye")
}

// bothWays runs a test with an endpoint of the same Env and with one of another.
func bothWays(t *testing.T, impl sayhiv1parley.SayHiEndpoint, test func(t *testing.T, ref sayhiv1parley.SayHiRef)) {
	leaktest.Check(t)
	host, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", impl)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	far, err := sayhiv1parley.LookupSayHi(soon(t), caller, ref.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("local", func(t *testing.T) { test(t, ref) })
	t.Run("remote", func(t *testing.T) { test(t, far) })
	if err := errors.Join(caller.Shutdown(soon(t)), host.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}

// TestPassedOnError: what a handler passes on of a call of its own says nothing of the call that it answers, in whatever
// form it passes it on.
func TestPassedOnError(t *testing.T) {
	inner := &endpoint.Error{Reason: endpoint.ReasonEndpointNotFound, Text: "inner", Execution: endpoint.NotExecuted}
	for name, passed := range map[string]error{"as it is": inner, "as a status": status.Convert(inner).Err()} {
		t.Run(name, func(t *testing.T) {
			answer := hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return nil, passed })
			bothWays(t, answer, func(t *testing.T, ref sayhiv1parley.SayHiRef) {
				_, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
				var e *endpoint.Error
				if !errors.As(err, &e) || e.Reason != endpoint.ReasonHandler || e.Execution != endpoint.MayHaveExecuted {
					t.Errorf("the asker gets %v, want a handler's error", err)
				}
				if errors.Is(err, endpoint.ErrEndpointNotFound) || status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "inner") {
					t.Errorf("the asker gets %v, code %s", err, status.Code(err))
				}
			})
		})
	}
}

// TestEndedContext: a context that has ended stops every verb, as in gRPC.
func TestEndedContext(t *testing.T) {
	bothWays(t, hi{}, func(t *testing.T, ref sayhiv1parley.SayHiRef) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		req := &sayhiv1.HiRequest{}
		_, asked := ref.Hi.AskSync(ctx, req)
		_, waited := ref.Hi.Ask(ctx, req).Wait(soon(t))
		for verb, err := range map[string]error{"Send": ref.Hi.Send(ctx, req), "TrySend": ref.Hi.TrySend(ctx, req), "AskSync": asked, "Ask": waited} {
			var e *endpoint.Error
			if !errors.Is(err, endpoint.ErrCancelled) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted {
				t.Errorf("%s: %v, want ErrCancelled, not executed", verb, err)
			}
		}
	})
}

// TestMetadataLimit: metadata is bounded, in requests and in replies.
func TestMetadataLimit(t *testing.T) {
	large := strings.Repeat("x", 100<<10)
	answer := hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		return &sayhiv1.HiReply{}, grpc.SetHeader(ctx, metadata.Pairs("large", large))
	})
	bothWays(t, answer, func(t *testing.T, ref sayhiv1parley.SayHiRef) {
		if err := ref.Hi.Send(metadata.AppendToOutgoingContext(soon(t), "large", large), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrTooLarge) {
			t.Errorf("request: %v, want ErrTooLarge", err)
		}
		if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrTooLarge) {
			t.Errorf("reply: %v, want ErrTooLarge", err)
		}
	})
}

// goexit is an endpoint whose OnStart ends its goroutine, as t.FailNow does.
type goexit struct{ hi }

func (goexit) OnStart(context.Context) error {
	runtime.Goexit()
	return nil
}

// TestRefused: misuse that is refused rather than fatal, or a hang.
func TestRefused(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "goexit", goexit{}); err == nil || !strings.Contains(err.Error(), "Goexit") {
		t.Errorf("Register with an OnStart that ends its goroutine: %v", err)
	}
	if err := env.UseConn("localhost:1", nil); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("UseConn(nil): %v, want ErrInvalid", err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	if err := env.Mount(server, "localhost:5678"); err != nil {
		t.Fatal(err)
	}
	second, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Mount(server, "localhost:5678"); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("a second Env on one server: %v, want ErrDuplicate", err)
	}
	if err := errors.Join(env.Shutdown(soon(t)), second.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}
