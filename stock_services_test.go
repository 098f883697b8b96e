package parley_test

import (
	"context"
	"errors"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// public is a server that wants no token, whatever the program's.
type public struct {
	healthv1.UnimplementedHealthServer
}

func (*public) AuthFuncOverride(ctx context.Context, _ string) (context.Context, error) {
	return ctx, nil
}

func (*public) Check(context.Context, *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return &healthv1.HealthCheckResponse{}, nil
}

func (*public) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	return stream.Send(&healthv1.HealthCheckResponse{})
}

// TestServicesOfEndpoint: where an endpoint has several stock servers, interceptors see that of the call, as on a gRPC server: one that needs no token does not open
// the others.
func TestServicesOfEndpoint(t *testing.T) {
	leaktest.Check(t)
	refuse := func(context.Context) (context.Context, error) {
		return nil, status.Error(codes.Unauthenticated, "no token")
	}
	unary, streams := auth.UnaryServerInterceptor(refuse), auth.StreamServerInterceptor(refuse)
	listener := listening(t)
	stock := grpc.NewServer(grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(streams))
	host, err := parley.Listen("127.0.0.1:0", parley.WithUnaryInterceptors(unary), parley.WithStreamInterceptors(streams))
	if err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t)
	for _, r := range []grpc.ServiceRegistrar{stock, host.Endpoint("both")} {
		healthv1.RegisterHealthServer(r, &public{})
		grpc_testing.RegisterTestServiceServer(r, &duplex{full: echoDuplex})
	}
	serving(t, stock, listener)
	ref, err := endpoint.NewRef("both", host.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	for name, cc := range map[string]grpc.ClientConnInterface{"gRPC": dialing(t, listener.Addr().String()), "an endpoint": conn} {
		health, test := healthv1.NewHealthClient(cc), grpc_testing.NewTestServiceClient(cc)
		watched, err := health.Watch(soon(t), &healthv1.HealthCheckRequest{})
		if err == nil {
			_, err = watched.Recv()
		}
		_, checked := health.Check(soon(t), &healthv1.HealthCheckRequest{})
		if err != nil || checked != nil {
			t.Errorf("%s: the public service: %v, %v", name, err, checked)
		}
		stream, err := test.FullDuplexCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		_, asked := test.EmptyCall(soon(t), &grpc_testing.Empty{})
		if status.Code(err) != codes.Unauthenticated || status.Code(asked) != codes.Unauthenticated {
			t.Errorf("%s: the other service: %v, %v, want Unauthenticated", name, err, asked)
		}
	}
	end(t, caller, host)
}

// TestRenamedMethod: an interceptor that calls another method gets an error, and not the method that its caller has asked for.
func TestRenamedMethod(t *testing.T) {
	leaktest.Check(t)
	const other = "/grpc.testing.TestService/UnimplementedCall"
	caller, err := parley.New(
		parley.WithUnaryClientInterceptors(func(ctx context.Context, _ string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return next(ctx, other, req, reply, cc, opts...)
		}),
		parley.WithStreamClientInterceptors(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, _ string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return next(ctx, desc, cc, other, opts...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(caller.Endpoint("local"), &duplex{full: echoDuplex})
	ref, err := endpoint.NewClientRef("local", caller.ID())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	stub := grpc_testing.NewTestServiceClient(conn)
	_, asked := stub.EmptyCall(soon(t), &grpc_testing.Empty{})
	_, opened := stub.FullDuplexCall(soon(t))
	for _, err := range []error{asked, opened} {
		if e := (*endpoint.Error)(nil); !errors.Is(err, endpoint.ErrInvalid) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted {
			t.Errorf("another method: %v, want ErrInvalid, not executed", err)
		}
	}
	end(t, caller)
}

// wrapped is a reply type that has the message embedded.
type wrapped struct{ *grpc_testing.SimpleResponse }

// Reset shadows the message's.
func (w *wrapped) Reset() { *w = wrapped{} }

// TestWrappedReply: a reply may be a type that has the message embedded, whose Reset is not that of the message, as with gRPC; what it had is gone.
func TestWrappedReply(t *testing.T) {
	leaktest.Check(t)
	env := newEnv(t)
	grpc_testing.RegisterTestServiceServer(env.Endpoint("local"), &ordered{})
	ref, err := endpoint.NewClientRef("local", env.ID())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := env.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	plain, in := &grpc_testing.SimpleResponse{Username: "old"}, &wrapped{&grpc_testing.SimpleResponse{Username: "old"}}
	for _, reply := range []any{plain, in, plain, in} {
		if err := conn.Invoke(soon(t), grpc_testing.TestService_UnaryCall_FullMethodName, &grpc_testing.SimpleRequest{}, reply); err != nil {
			t.Fatal(err)
		}
	}
	if in.SimpleResponse == nil || in.Username != "" || plain.Username != "" {
		t.Errorf("the replies are %v and %v, want empty ones", plain, in)
	}
	end(t, env)
}
