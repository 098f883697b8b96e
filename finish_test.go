package parley_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// wantFinish waits for what OnFinish is told.
func wantFinish(t *testing.T, what string, told <-chan error, want codes.Code) {
	t.Helper()
	select {
	case err := <-told:
		if status.Code(err) != want {
			t.Errorf("%s: OnFinish is told %v, want %v", what, err, want)
		}
	case <-soon(t).Done():
		t.Errorf("%s: OnFinish is told nothing", what)
	}
}

// TestOnFinish: OnFinish is told the end of every call, as by gRPC, which "as an ordinary call" is.
func TestOnFinish(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, &duplex{full: echoDuplex})
	for name, stub := range w.stubs {
		t.Run(name, func(t *testing.T) {
			told := make(chan error, 1)
			on := grpc.OnFinish(func(err error) { told <- err })
			ended, cancel := context.WithCancel(soon(t))
			cancel()
			if _, err := stub.FullDuplexCall(ended, on); status.Code(err) != codes.Canceled {
				t.Errorf("with an ended context: %v", err)
			}
			wantFinish(t, "a stream that was not opened", told, codes.Canceled)
			if _, err := stub.EmptyCall(ended, &grpc_testing.Empty{}, on); status.Code(err) != codes.Canceled {
				t.Errorf("with an ended context: %v", err)
			}
			wantFinish(t, "a call that was not made", told, codes.Canceled)

			ctx, cancel := context.WithCancel(soon(t))
			if _, err := stub.FullDuplexCall(ctx, on); err != nil {
				t.Fatal(err)
			}
			cancel()
			wantFinish(t, "a stream that nobody receives", told, codes.Canceled)

			var stream duplexClient
			again := grpc.OnFinish(func(error) {
				_, err := stream.Recv()
				told <- err
			})
			stream, err := stub.FullDuplexCall(soon(t), again)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if _, err := stream.Recv(); err == nil {
				t.Error("a message that was not sent")
			}
			select {
			case <-told:
			case <-soon(t).Done():
				t.Error("OnFinish cannot receive")
			}
		})
	}
	w.idle(t)
	w.end(t)
}

// TestHeadersAfterCancel: the headers that have come are there when the call is cancelled, each time.
func TestHeadersAfterCancel(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, &streamer{ended: make(chan error, 1000)})
	for name, stub := range w.stubs {
		for range 20 {
			ctx, cancel := context.WithCancel(soon(t))
			stream, err := stub.StreamingOutputCall(ctx, &outRequest{Payload: body("wait")})
			if err != nil {
				t.Fatal(err)
			}
			if md, err := stream.Header(); err != nil || len(md.Get("h")) != 1 {
				t.Fatalf("%s: headers %v, %v", name, md, err)
			}
			cancel()
			if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
				t.Errorf("%s: %v", name, err)
			}
			if md, err := stream.Header(); err != nil || len(md.Get("h")) != 1 {
				t.Fatalf("%s: after the cancel, headers %v, %v", name, md, err)
			}
		}
	}
	w.idle(t)
	w.end(t)
}

// TestTooLargeForCaller: a reply that the gRPC server does not send has the code that gRPC gives it.
func TestTooLargeForCaller(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, &streamer{}, parley.WithServerOptions(grpc.MaxSendMsgSize(1000)))
	stream, err := w.stubs["as an ordinary call"].StreamingOutputCall(soon(t), &outRequest{ResponseParameters: []*grpc_testing.ResponseParameters{{Size: 2000}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v, want ResourceExhausted", err)
	}
	w.end(t)
}

// TestSendAfterCancel: generated code that sends the one message of a call that has been cancelled goes on to receive why, as by gRPC.
func TestSendAfterCancel(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, &streamer{})
	ref, err := endpoint.NewRef("streams", w.host.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := w.caller.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	for name, cc := range map[string]grpc.ClientConnInterface{"gRPC": w.direct, "Parley": conn} {
		ctx, cancel := context.WithCancel(soon(t))
		told := make(chan error, 1)
		stream, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+grpc_testing.TestService_ServiceDesc.ServiceName+"/StreamingOutputCall",
			grpc.OnFinish(func(err error) { told <- err }))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		wantFinish(t, name, told, codes.Canceled)
		if err := stream.SendMsg(&outRequest{}); err != nil {
			t.Errorf("%s: sent: %v", name, err)
		}
		if err := stream.RecvMsg(new(outReply)); status.Code(err) != codes.Canceled {
			t.Errorf("%s: received: %v", name, err)
		}
	}
	w.end(t)
}

// selfish is a serial endpoint that calls itself.
type selfish struct {
	grpc_testing.UnimplementedTestServiceServer
	call func(ctx context.Context) error
}

func (s *selfish) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, s.call(ctx)
}

// TestOnFinishOfRefused: OnFinish is told of calls that do not even begin.
func TestOnFinishOfRefused(t *testing.T) {
	leaktest.Check(t)
	env := newEnv(t)
	ref, err := endpoint.NewClientRef("selfish", env.ID())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := env.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	stub := grpc_testing.NewTestServiceClient(conn)
	told := make(chan error, 1)
	on := grpc.OnFinish(func(err error) { told <- err })
	grpc_testing.RegisterTestServiceServer(env.Endpoint("selfish"), &selfish{call: func(ctx context.Context) error {
		_, err := stub.EmptyCall(ctx, &grpc_testing.Empty{}, on)
		return err
	}})
	if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a serial endpoint that calls itself: %v", err)
	}
	wantFinish(t, "a call of itself", told, codes.FailedPrecondition)
	if err := conn.Invoke(soon(t), grpc_testing.TestService_EmptyCall_FullMethodName, "no message", &grpc_testing.Empty{}, on); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("what is no message: %v", err)
	}
	wantFinish(t, "what is no message", told, codes.InvalidArgument)
	end(t, env)
}
