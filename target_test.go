package parley_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// targets is a stats.Handler that keeps the targets of calls, by who has looked.
type targets struct {
	recorder
	seen map[string]endpoint.Ref
}

func (s *targets) note(who string, ctx context.Context) {
	if ref, ok := endpoint.Target(ctx); ok {
		s.seen[who] = ref
	}
}

// TagRPC implements stats.Handler.
func (s *targets) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	s.note("stats handler", ctx)
	return ctx
}

// HandleRPC implements stats.Handler.
func (s *targets) HandleRPC(context.Context, stats.RPCStats) {}

// TestTarget: client interceptors and client stats handlers are told which endpoint a call is for, of every kind of call, in another Env and in the same; nobody else is.
func TestTarget(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0", parley.WithUnaryInterceptors(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if ref, ok := endpoint.Target(ctx); ok {
			t.Errorf("a handler has the target %v", ref)
		}
		return handler(ctx, req)
	}))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("there"), &duplex{full: echoDuplex})
	s := &targets{seen: map[string]endpoint.Ref{}}
	caller, err := parley.New(parley.WithClientStatsHandlers(s),
		parley.WithUnaryClientInterceptors(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			s.note("interceptor", ctx)
			return invoker(ctx, method, req, reply, cc, opts...)
		}),
		parley.WithStreamClientInterceptors(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			s.note("interceptor", ctx)
			return streamer(ctx, desc, cc, method, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(caller.Endpoint("here"), &duplex{full: echoDuplex})
	there, _ := endpoint.NewRef("there", host.Address())
	here, _ := endpoint.NewClientRef("here", caller.ID())
	for _, to := range []endpoint.Ref{there, here} {
		conn, err := caller.Conn(to)
		if err != nil {
			t.Fatal(err)
		}
		stub := grpc_testing.NewTestServiceClient(conn)
		for kind, call := range map[string]func() error{
			"unary": func() error { _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); return err },
			"streaming": func() error {
				stream, err := stub.FullDuplexCall(soon(t))
				if err != nil {
					return err
				}
				if err := stream.CloseSend(); err != nil {
					return err
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					return err
				}
				return nil
			},
		} {
			clear(s.seen)
			if err := call(); err != nil {
				t.Error(err)
			}
			if s.seen["interceptor"] != to || s.seen["stats handler"] != to {
				t.Errorf("a %s call of %v is for %v", kind, to, s.seen)
			}
		}
	}
	end(t, caller, host)
}
