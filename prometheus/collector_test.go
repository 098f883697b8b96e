package parleyprom_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
	parleyprom "github.com/parley-rpc/parley/prometheus"
)

// soon returns a context for what does not take long.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// service is a stock server of a unary and of a streaming method.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (service) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if r.GetFillUsername() {
		return nil, status.Error(codes.Aborted, "asked for")
	}
	return &grpc_testing.SimpleResponse{}, nil
}

func (service) FullDuplexCall(stream grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
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

// call makes a good and a bad unary call, and a streaming one of two messages each way.
func call(t *testing.T, conn grpc.ClientConnInterface) {
	t.Helper()
	stub := grpc_testing.NewTestServiceClient(conn)
	if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{FillUsername: true}); status.Code(err) != codes.Aborted {
		t.Error(err)
	}
	stream, err := stub.FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{}); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Error(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestMetrics: the interceptors of go-grpc-middleware's provider count messages and streaming calls, at both sides, by method, endpoint and code, from a peer, in the same Env
// and as ordinary calls; a Collector has the counters of an Env.
func TestMetrics(t *testing.T) {
	leaktest.Check(t)
	calls := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(), grpcprom.WithContextLabels(parleyprom.EndpointLabel))
	made := grpcprom.NewClientMetrics(grpcprom.WithClientContextLabels(parleyprom.EndpointLabel))
	named, to := grpcprom.WithLabelsFromContext(parleyprom.Endpoint), grpcprom.WithLabelsFromContext(parleyprom.Target)
	host, err := parley.Listen("127.0.0.1:0", parley.WithName("host"),
		parley.WithUnaryInterceptors(calls.UnaryServerInterceptor(named)), parley.WithStreamInterceptors(calls.StreamServerInterceptor(named)))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithName("caller"),
		parley.WithUnaryClientInterceptors(made.UnaryClientInterceptor(to)), parley.WithStreamClientInterceptors(made.StreamClientInterceptor(to)))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(calls, made, parleyprom.NewCollector(host), parleyprom.NewCollector(caller))
	grpc_testing.RegisterTestServiceServer(host.Endpoint("here"), service{})
	ref, _ := endpoint.NewRef("here", host.Address())
	for _, env := range []*parley.Env{caller, host} {
		conn, err := env.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		call(t, conn)
	}
	cc, err := grpc.NewClient(host.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	call(t, cc)
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	if err := host.Stop(soon(t), ref); err != nil { // the last handler has returned
		t.Error(err)
	}
	const want = `
# HELP grpc_server_handled_total Total number of RPCs completed on the server, regardless of success or failure.
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="Aborted",grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 3
grpc_server_handled_total{grpc_code="OK",grpc_method="FullDuplexCall",grpc_service="grpc.testing.TestService",grpc_type="bidi_stream",parley_endpoint="here"} 3
grpc_server_handled_total{grpc_code="OK",grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 3
# HELP grpc_server_msg_received_total Total number of RPC stream messages received on the server.
# TYPE grpc_server_msg_received_total counter
grpc_server_msg_received_total{grpc_method="FullDuplexCall",grpc_service="grpc.testing.TestService",grpc_type="bidi_stream",parley_endpoint="here"} 6
grpc_server_msg_received_total{grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 6
# HELP grpc_client_handled_total Total number of RPCs completed by the client, regardless of success or failure.
# TYPE grpc_client_handled_total counter
grpc_client_handled_total{grpc_code="Aborted",grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 1
grpc_client_handled_total{grpc_code="OK",grpc_method="FullDuplexCall",grpc_service="grpc.testing.TestService",grpc_type="bidi_stream",parley_endpoint="here"} 1
grpc_client_handled_total{grpc_code="OK",grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 1
# HELP grpc_client_msg_sent_total Total number of gRPC stream messages sent by the client.
# TYPE grpc_client_msg_sent_total counter
grpc_client_msg_sent_total{grpc_method="FullDuplexCall",grpc_service="grpc.testing.TestService",grpc_type="bidi_stream",parley_endpoint="here"} 2
grpc_client_msg_sent_total{grpc_method="UnaryCall",grpc_service="grpc.testing.TestService",grpc_type="unary",parley_endpoint="here"} 2
# HELP parley_dropped_messages_total One-way messages that came for nobody.
# TYPE parley_dropped_messages_total counter
parley_dropped_messages_total{env="caller"} 0
parley_dropped_messages_total{env="host"} 0
# HELP parley_late_replies_total Replies that came when nobody waited any more.
# TYPE parley_late_replies_total counter
parley_late_replies_total{env="caller"} 0
parley_late_replies_total{env="host"} 0
# HELP parley_open_asks Asks of peers that have not been answered.
# TYPE parley_open_asks gauge
parley_open_asks{env="caller"} 0
parley_open_asks{env="host"} 0
# HELP parley_pending_asks Asks to peers that wait for a reply.
# TYPE parley_pending_asks gauge
parley_pending_asks{env="caller"} 0
parley_pending_asks{env="host"} 0
# HELP parley_sessions Sessions that live.
# TYPE parley_sessions gauge
parley_sessions{env="caller"} 1
parley_sessions{env="host"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "grpc_server_handled_total", "grpc_server_msg_received_total", "grpc_client_handled_total",
		"grpc_client_msg_sent_total", "parley_dropped_messages_total", "parley_late_replies_total", "parley_open_asks", "parley_pending_asks", "parley_sessions"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "grpc_server_handling_seconds"); err != nil || n != 2 {
		t.Errorf("there are durations of %d methods, %v, want 2", n, err)
	}
	for _, env := range []*parley.Env{caller, host} {
		if err := env.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	}
	if n := testutil.CollectAndCount(parleyprom.NewCollector(host)); n != 7 {
		t.Errorf("%d metrics of an Env that is shut down, want 7", n)
	}
}
