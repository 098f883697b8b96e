package parley_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop/grpc_testing"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestServerOptions: a gRPC server of the program's own serves its services, and those of endpoints, also of those that come while it serves; reflection shows
// them all.
func TestServerOptions(t *testing.T) {
	leaktest.Check(t)
	listener := listening(t)
	env := newEnv(t)
	server := grpc.NewServer(parley.ServerOptions(env)...)
	healthv1.RegisterHealthServer(server, health.NewServer())
	if err := env.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	parley.RegisterReflection(env, server)
	serving(t, server, listener)
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	cc := dialFace(t, env, "")
	if _, err := healthv1.NewHealthClient(cc).Check(soon(t), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("the server's own service: %v", err)
	}
	if _, err := sayhiv1.NewSayHiClient(cc).Hi(soon(t), &sayhiv1.HiRequest{Msg: "hi"}); err != nil {
		t.Errorf("the endpoint's: %v", err)
	}
	if _, err := sayhiv1.NewSayHiClient(cc).Hi(soon(t), &sayhiv1.HiRequest{Msg: strings.Repeat("x", 5<<20)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("5 MiB: %v", err)
	}
	listed := func() string {
		s, err := reflectionv1.NewServerReflectionClient(cc).ServerReflectionInfo(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		answer, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, service := range answer.GetListServicesResponse().GetService() {
			names = append(names, service.GetName())
		}
		return strings.Join(names, " ")
	}
	const own = "grpc.health.v1.Health grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection parley.v1.Parley"
	if got := listed(); got != own+" sayhi.v1.SayHi" {
		t.Errorf("listed are %s", got)
	}
	if err := env.Stop(soon(t), ref.Ref()); err != nil {
		t.Fatal(err)
	}
	if got := listed(); got != own {
		t.Errorf("after the end of the endpoint listed are %s", got)
	}
	end(t, env)
	server.GracefulStop()
}

// TestRegisterServices: a gRPC server that was made without ServerOptions serves what endpoints implement before it serves, with calls of all kinds, and what it has itself.
func TestRegisterServices(t *testing.T) {
	leaktest.Check(t)
	env := newEnv(t)
	sayhiv1.RegisterSayHiServer(env.Endpoint("first"), sayhiv1.UnimplementedSayHiServer{})
	sayhiv1.RegisterSayHiServer(env.Endpoint("second"), &stockHi{})
	grpc_testing.RegisterTestServiceServer(env.Endpoint("streams"), &duplex{full: echoDuplex})
	healthv1.RegisterHealthServer(env.Endpoint("health"), healthv1.UnimplementedHealthServer{})
	listener, server := listening(t), grpc.NewServer()
	healthv1.RegisterHealthServer(server, health.NewServer())
	if got := parley.RegisterServices(env, server); !slices.Equal(got, []string{"grpc.testing.TestService", "sayhi.v1.SayHi"}) {
		t.Errorf("registered are %v", got)
	}
	if got := parley.RegisterServices(env, server); got != nil {
		t.Errorf("registered again are %v", got)
	}
	if err := env.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	serving(t, server, listener)
	cc, second := dialFace(t, env, ""), dialFace(t, env, "second")
	if _, err := sayhiv1.NewSayHiClient(cc).Hi(soon(t), &sayhiv1.HiRequest{Msg: "hi"}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "first, second") {
		t.Errorf("a call that two endpoints could take: %v", err)
	}
	if r, err := sayhiv1.NewSayHiClient(second).Hi(soon(t), &sayhiv1.HiRequest{Msg: "hi"}); err != nil || r.GetMsg() != "hi" {
		t.Errorf("Hi = %v, %v", r, err)
	}
	stub := grpc_testing.NewTestServiceClient(cc)
	if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); err != nil {
		t.Errorf("EmptyCall: %v", err)
	}
	if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("UnaryCall: %v", err)
	}
	stream, err := stub.FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(&outRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if r, err := healthv1.NewHealthClient(cc).Check(soon(t), &healthv1.HealthCheckRequest{}); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("the server's own service: %v, %v", r, err)
	}
	end(t, env)
}

// TestStubOptions: call options that concern an HTTP/2 stream do nothing, and those that ask for another codec are refused.
func TestStubOptions(t *testing.T) {
	leaktest.Check(t)
	host, ref := hosting(t)
	caller := newEnv(t)
	conn, err := caller.Conn(ref.Ref())
	if err != nil {
		t.Fatal(err)
	}
	stub := sayhiv1.NewSayHiClient(conn)
	for _, o := range []grpc.CallOption{
		grpc.UseCompressor("gzip"), grpc.CallAuthority("elsewhere"), grpc.MaxRetryRPCBufferSize(1), grpc.CallContentSubtype("proto"), grpc.WaitForReady(true),
	} {
		if _, err := stub.Hi(soon(t), &sayhiv1.HiRequest{Msg: "hi"}, o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
	for _, o := range []grpc.CallOption{grpc.CallContentSubtype("json"), grpc.ForceCodecV2(encoding.GetCodecV2(proto.Name))} {
		if _, err := stub.Hi(soon(t), &sayhiv1.HiRequest{Msg: "hi"}, o); !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("%T: %v, want ErrInvalid", o, err)
		}
	}
	if err := conn.Invoke(soon(t), "/sayhi.v1.SayHi/Hi", "no message", &sayhiv1.HiReply{}); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("what is no message: %v", err)
	}
	end(t, caller, host)
}

// TestStuckClientInterceptor: a caller whose context ends gets away from an interceptor that does not look at it.
func TestStuckClientInterceptor(t *testing.T) {
	leaktest.Check(t)
	goOn := make(chan struct{})
	host, ref := hosting(t)
	caller, err := parley.New(parley.WithUnaryClientInterceptors(func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
		<-goOn
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	bound := boundAt(t, caller, ref.Ref())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := bound.Hi.AskSync(ctx, &sayhiv1.HiRequest{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("AskSync: %v, want that the deadline has passed", err)
	}
	if _, err := bound.Hi.Ask(ctx, &sayhiv1.HiRequest{}).Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ask: %v, want that the deadline has passed", err)
	}
	close(goOn)
	end(t, caller, host)
}
