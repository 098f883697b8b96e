package parley_test

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// TestOverdrawnWindows: a peer that overdraws the window of each of its calls by as much as fits a frame has these calls ended, with the reason, before
// anything of that waits; its session goes on, and a call whose messages are no longer than they may be is not harmed.
func TestOverdrawnWindows(t *testing.T) {
	h := newHost(t)
	entered, failed := make(chan struct{}, 1), make(chan error, 1)
	grpc_testing.RegisterTestServiceServer(h.env.Endpoint("streams"), &duplex{full: func(stream duplexServer) error {
		entered <- struct{}{}
		<-stream.Context().Done() // until then it reads nothing
		for {
			if _, err := stream.Recv(); err != nil {
				failed <- err
				return err
			}
		}
	}})
	r := h.connect()
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{Capabilities: []string{"streams"}, WaitsForWelcome: true}})
	if f := r.recv(); f.GetWelcome() == nil {
		t.Fatalf("the answer to hello is %v", f)
	}
	message := func(id uint64, size int) *parleyv1.Envelope {
		encoded, err := proto.Marshal(&outRequest{Payload: &grpc_testing.Payload{Body: make([]byte, size)}})
		if err != nil {
			t.Fatal(err)
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Message{Message: &parleyv1.Message{Id: id, Payload: &parleyv1.Message_Proto{Proto: encoded}}}}
	}
	open := func(id uint64) {
		r.put(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Headers{Headers: &parleyv1.Headers{Id: id, Destination: &parleyv1.Headers_Target{
			Target: target("streams", "grpc.testing.TestService/FullDuplexCall"),
		}}}})
	}
	ended := func(id uint64) *parleyv1.End {
		t.Helper()
		for {
			for _, e := range r.recv().GetEnvelopes() {
				if e.GetEnd() == nil {
					continue
				}
				if e.GetEnd().GetId() != id {
					t.Fatalf("the end of call %d, want that of %d", e.GetEnd().GetId(), id)
				}
				return e.GetEnd()
			}
		}
	}
	open(1)
	for range 5 { // the last overdraws the window by almost as much as is allowed
		r.put(message(1, 65_400))
	}
	<-entered
	const calls = 4
	for id := uint64(2); id < 2+calls; id++ {
		open(id)
		<-entered // or the call is refused before it has a handler
		r.put(message(id, 60_000))
		r.put(message(id, 1_000_000))
		if end := ended(id); codes.Code(end.GetStatus().GetCode()) != codes.ResourceExhausted {
			t.Errorf("call %d ends with %v, want what its handler returned", id, end.GetStatus())
		}
		if err := <-failed; !errors.Is(err, endpoint.ErrTooLarge) {
			t.Errorf("the handler of call %d is told %v, want that a message is too large", id, err)
		}
	}
	r.put(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Cancel{Cancel: &parleyv1.Cancel{Id: 1}}})
	if end := ended(1); codes.Code(end.GetStatus().GetCode()) != codes.Canceled {
		t.Errorf("the call that has kept to its window ends with %v, want that its caller has cancelled it", end.GetStatus())
	}
	if err := <-failed; err == nil {
		t.Error("the handler of the cancelled call reads on")
	}
	if err := r.stream.CloseSend(); err != nil {
		t.Error(err)
	}
	r.ends(codes.OK)
}
