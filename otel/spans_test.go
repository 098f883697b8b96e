package parleyotel_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	parleyotel "github.com/parley-rpc/parley/otel"
)

// soon returns a context for what does not take long.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// spans records spans, and tells of each that has ended.
type spans struct {
	*tracetest.SpanRecorder
	ended chan sdktrace.ReadOnlySpan
}

// OnEnd implements sdktrace.SpanProcessor.
func (s *spans) OnEnd(span sdktrace.ReadOnlySpan) {
	s.SpanRecorder.OnEnd(span)
	s.ended <- span
}

// next waits for n spans to end.
func (s *spans) next(t *testing.T, n int) []sdktrace.ReadOnlySpan {
	t.Helper()
	var all []sdktrace.ReadOnlySpan
	for range n {
		select {
		case span := <-s.ended:
			all = append(all, span)
		case <-soon(t).Done():
			t.Fatalf("%d of %d spans have ended: %v", len(all), n, all)
		}
	}
	return all
}

// impl is both services, stock and of Parley. What a unary call does, its message says.
type impl struct {
	grpc_testing.UnimplementedTestServiceServer
	next func(ctx context.Context) error // another call
}

func (i *impl) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	switch r.GetMsg() {
	case "fail":
		return nil, status.Error(grpccodes.Internal, "asked for")
	case "next":
		if err := i.next(ctx); err != nil {
			return nil, err
		}
	}
	return &sayhiv1.HiReply{}, nil
}

func (i *impl) Bye(context.Context, *sayhiv1.ByeRequest) (*sayhiv1.ByeReply, error) {
	return &sayhiv1.ByeReply{}, nil
}

func (i *impl) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

const (
	hiName     = "sayhi.v1.SayHi/Hi"
	duplexName = "grpc.testing.TestService/FullDuplexCall"
)

// TestSpans: every call has one span at each side, the one of the handler below the one of the caller below that of the caller's context, on every path, for sends, asks
// and streaming calls. Both name the endpoint. Nothing else has a span, the carrier in particular.
func TestSpans(t *testing.T) {
	leaktest.Check(t)
	recorded := &spans{tracetest.NewSpanRecorder(), make(chan sdktrace.ReadOnlySpan, 1000)}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorded))
	both := []otelgrpc.Option{otelgrpc.WithTracerProvider(provider), otelgrpc.WithPropagators(propagation.TraceContext{})}
	options := parleyotel.Options(both...)
	ofCarrier := append(slices.Clone(both), otelgrpc.WithFilter(parleyotel.NotCarrier))
	host, err := parley.Listen("127.0.0.1:0", append(slices.Clone(options), parley.WithServerOptions(grpc.StatsHandler(otelgrpc.NewServerHandler(ofCarrier...))))...)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := parley.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(append(slices.Clone(options), parley.WithDialOptions(grpc.WithStatsHandler(otelgrpc.NewClientHandler(ofCarrier...))))...)
	if err != nil {
		t.Fatal(err)
	}
	all := []*parley.Env{caller, behind, host}
	served := &impl{}
	for _, env := range []*parley.Env{host, behind} {
		if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", served); err != nil {
			t.Fatal(err)
		}
		grpc_testing.RegisterTestServiceServer(env.Endpoint("streams"), served)
	}
	if _, err := behind.Lookup(soon(t), "parley://hi@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted := func(name string) endpoint.Ref { r, _ := endpoint.NewRef(name, host.Address()); return r }
	clientHosted := func(name string) endpoint.Ref { r, _ := endpoint.NewClientRef(name, behind.ID()); return r }
	relayed := func(name string) endpoint.Ref { r, _ := clientHosted(name).WithVia(host.Address()); return r }
	stub := func(env *parley.Env, ref endpoint.Ref) grpc.ClientConnInterface {
		conn, err := env.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	served.next = func(ctx context.Context) error {
		_, err := sayhiv1.NewSayHiClient(stub(host, clientHosted("hi"))).Hi(ctx, &sayhiv1.HiRequest{})
		return err
	}
	tracer := provider.Tracer("test")

	// expect makes a call below a span of its own, and checks those below that.
	expect := func(t *testing.T, name, endpointName string, failed bool, call func(ctx context.Context) error) {
		t.Helper()
		ctx, root := tracer.Start(soon(t), "root")
		if err := call(ctx); (err != nil) != failed {
			t.Errorf("%s: %v", name, err)
		}
		byKind := map[trace.SpanKind]sdktrace.ReadOnlySpan{}
		for _, span := range recorded.next(t, 2) {
			byKind[span.SpanKind()] = span
		}
		root.End()
		recorded.next(t, 1)
		client, server := byKind[trace.SpanKindClient], byKind[trace.SpanKindServer]
		if client == nil || server == nil {
			t.Fatalf("the spans are %v", byKind)
		}
		if client.Parent().SpanID() != root.SpanContext().SpanID() || server.Parent().SpanID() != client.SpanContext().SpanID() ||
			server.SpanContext().TraceID() != root.SpanContext().TraceID() || !server.Parent().IsRemote() {
			t.Errorf("%s: the spans are not one below the other: %v, %v, %v", name, root.SpanContext(), client, server)
		}
		if client.Name() != name || server.Name() != name {
			t.Errorf("the spans of %s are called %q and %q", name, client.Name(), server.Name())
		}
		if failed != (client.Status().Code == codes.Error) || failed != (server.Status().Code == codes.Error) {
			t.Errorf("%s: the spans have the status %v and %v", name, client.Status(), server.Status())
		}
		for _, span := range []sdktrace.ReadOnlySpan{client, server} {
			var named string
			for _, a := range span.Attributes() {
				if a.Key == parleyotel.EndpointKey {
					named = a.Value.AsString()
				}
			}
			if named != endpointName {
				t.Errorf("%s: the endpoint is called %q by the span of the %v", name, named, span.SpanKind())
			}
		}
	}
	for way, at := range map[string]struct {
		env *parley.Env
		ref func(name string) endpoint.Ref
	}{"by an address": {caller, hosted}, "in client mode": {host, clientHosted}, "relayed": {caller, relayed}, "local": {host, hosted}} {
		t.Run(way, func(t *testing.T) {
			bound, err := at.env.Bind(at.ref("hi"))
			if err != nil {
				t.Fatal(err)
			}
			ref := sayhiv1parley.NewSayHi(bound)
			expect(t, hiName, "hi", false, func(ctx context.Context) error { return ref.Hi.Send(ctx, &sayhiv1.HiRequest{}) })
			expect(t, hiName, "hi", false, func(ctx context.Context) error { return ref.Hi.SendWithReceipt(ctx, &sayhiv1.HiRequest{}).Wait(ctx) })
			expect(t, hiName, "hi", false, func(ctx context.Context) error {
				_, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{})
				return err
			})
			expect(t, hiName, "hi", true, func(ctx context.Context) error {
				_, err := ref.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: "fail"}).Wait(ctx)
				return err
			})
			expect(t, hiName, "hi", false, func(ctx context.Context) error {
				_, err := sayhiv1.NewSayHiClient(stub(at.env, at.ref("hi"))).Hi(ctx, &sayhiv1.HiRequest{})
				return err
			})
			expect(t, duplexName, "streams", false, func(ctx context.Context) error {
				stream, err := grpc_testing.NewTestServiceClient(stub(at.env, at.ref("streams"))).FullDuplexCall(ctx)
				if err != nil {
					return err
				}
				for range 3 {
					if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
						return err
					}
					if _, err := stream.Recv(); err != nil {
						return err
					}
				}
				if err := stream.CloseSend(); err != nil {
					return err
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					return err
				}
				return nil
			})
		})
	}
	t.Run("a handler's own call", func(t *testing.T) {
		bound, err := caller.Bind(hosted("hi"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, root := tracer.Start(soon(t), "root")
		if _, err := sayhiv1parley.NewSayHi(bound).Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "next"}); err != nil {
			t.Fatal(err)
		}
		root.End()
		parents := map[trace.SpanID]trace.SpanID{}
		for _, span := range recorded.next(t, 5) {
			parents[span.SpanContext().SpanID()] = span.Parent().SpanID()
		}
		depth := 0
		for span := range parents {
			n := 0
			for ; span != root.SpanContext().SpanID(); span = parents[span] {
				n++
			}
			depth = max(depth, n)
		}
		if depth != 4 {
			t.Errorf("the deepest span is %d below the root, want 4: %v", depth, parents)
		}
	})
	t.Run("as an ordinary call", func(t *testing.T) {
		cc, err := grpc.NewClient(host.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(otelgrpc.NewClientHandler(both...)))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		if _, err := sayhiv1.NewSayHiClient(cc).Hi(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Fatal(err)
		}
		spans := recorded.next(t, 3) // of the client, of the gRPC server that has the otelgrpc handler, and of the endpoint
		for _, span := range spans {
			if span.Name() != hiName || span.SpanContext().TraceID() != spans[0].SpanContext().TraceID() {
				t.Errorf("the spans are %v", spans)
			}
		}
	})
	for _, env := range all {
		if err := env.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	}
	for _, span := range recorded.Started() {
		if span.Name() != hiName && span.Name() != duplexName && span.Name() != "root" {
			t.Errorf("there is a span of %s", span.Name())
		}
		if span.EndTime().IsZero() {
			t.Errorf("the span %v has not ended", span)
		}
	}
}
