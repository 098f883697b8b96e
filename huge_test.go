package parley_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// echoes is a stock server that answers with what it gets.
type echoes struct{ streamer }

func (*echoes) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{Payload: r.GetPayload()}, nil
}

// TestHugeMessages: messages so large that they come in parts are whole where they are decoded, both ways, and by way of a relay.
func TestHugeMessages(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller, behind := newEnv(t), newEnv(t)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("echoes"), &echoes{})
	grpc_testing.RegisterTestServiceServer(behind.Endpoint("echoes"), &echoes{})
	if _, err := behind.Lookup(soon(t), "parley://hi@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted, _ := endpoint.NewRef("echoes", host.Address())
	clientHosted, _ := endpoint.NewClientRef("echoes", behind.ID())
	relayed, _ := clientHosted.WithVia(host.Address())
	huge := make([]byte, 3<<20+1)
	for i := range huge {
		huge[i] = byte('a' + i/7%25)
	}
	for name, ref := range map[string]endpoint.Ref{"by an address": hosted, "relayed": relayed} {
		t.Run(name, func(t *testing.T) {
			conn, err := caller.Conn(ref)
			if err != nil {
				t.Fatal(err)
			}
			stub := grpc_testing.NewTestServiceClient(conn)
			got, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{Payload: body(string(huge))})
			if err != nil || string(got.GetPayload().GetBody()) != string(huge) {
				t.Errorf("asked: %d bytes, want those %d that were sent: %v", len(got.GetPayload().GetBody()), len(huge), err)
			}
			stream, err := stub.FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&outRequest{Payload: body(string(huge))}); err != nil {
				t.Fatal(err)
			}
			reply, err := stream.Recv()
			if err != nil || string(reply.GetPayload().GetBody()) != string(huge) {
				t.Errorf("streamed: %d bytes, want those %d that were sent: %v", len(reply.GetPayload().GetBody()), len(huge), err)
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			(&transcript{}).rest(stream)
		})
	}
	end(t, caller, behind, host)
}
