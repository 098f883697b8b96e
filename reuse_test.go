package parley_test

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestAsksAfterStreams: what the server keeps of streaming calls, to use it again, does not make streaming calls of asks.
func TestAsksAfterStreams(t *testing.T) {
	leaktest.Check(t)
	const many = 300 // a frame has some of them, which is when calls are used again
	host, _ := hosting(t)
	caller := newEnv(t)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), &streamer{ended: make(chan error, many)})
	streams, err := caller.Lookup(soon(t), "parley://streams@"+host.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(streams.Ref())
	if err != nil {
		t.Fatal(err)
	}
	bound, err := caller.Lookup(soon(t), "parley://hi@"+host.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	ref := sayhiv1parley.NewSayHi(bound)
	for range 5 {
		var opened []grpc.BidiStreamingClient[outRequest, outReply]
		for range many {
			stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, stream)
		}
		for _, stream := range opened {
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			var tr transcript
			tr.rest(stream)
		}
		var futures []*endpoint.Future[sayhiv1.HiReply]
		for range many {
			futures = append(futures, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{}))
		}
		for _, f := range futures {
			if _, err := f.Wait(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	end(t, caller, host)
}
