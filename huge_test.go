package parley_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/bulk"
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

// TestHugeMessagesTakeTurns: where all turns of the program are taken, huge messages wait, until their context ends, before they are encoded and before they
// are decoded. Small ones do not.
func TestHugeMessagesTakeTurns(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	defer end(t, caller, host)
	handling, goOn := make(chan struct{}, 1), make(chan struct{})
	defer close(goOn)
	_, err := sayhiv1parley.RegisterSayHi(soon(t), host, "slow", hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		handling <- struct{}{}
		<-goOn
		return &sayhiv1.HiReply{Msg: r.GetMsg()[:1]}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	refs := map[string]sayhiv1parley.SayHiRef{}
	for _, name := range []string{"hi", "slow"} {
		if refs[name], err = sayhiv1parley.LookupSayHi(soon(t), caller, "parley://"+name+"@"+host.Address()); err != nil {
			t.Fatal(err)
		}
	}
	huge := &sayhiv1.HiRequest{Msg: strings.Repeat("x", 3<<20)}
	small := func() {
		t.Helper()
		for range 500 {
			if _, err := refs["hi"].Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "small"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	take := func() (giveBack func()) {
		var ends []func()
		for range bulk.Turns() {
			ends = append(ends, bulk.Begin(soon(t), bulk.Large))
		}
		return func() {
			for _, end := range ends {
				end()
			}
		}
	}

	first := refs["slow"].Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "first"})
	<-handling
	second := refs["slow"].Hi.Ask(soon(t), huge) // is encoded now
	giveBack := take()
	goOn <- struct{}{}
	if _, err := first.Wait(soon(t)); err != nil {
		t.Error(err)
	}
	small()
	select {
	case <-handling:
		t.Fatal("a huge request was decoded without a turn")
	default:
	}

	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	third := make(chan error, 1)
	go func() {
		_, err := refs["hi"].Hi.AskSync(ctx, huge)
		third <- err
	}()
	small()
	select {
	case err := <-third:
		t.Fatalf("a huge request was encoded without a turn: %v", err)
	default:
	}
	cancel()
	var e *endpoint.Error
	if err := <-third; !errors.Is(err, endpoint.ErrCancelled) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted {
		t.Errorf("cancelled while it waited for a turn: %v, want cancelled and not executed", err)
	}

	giveBack()
	<-handling
	goOn <- struct{}{}
	if got, err := second.Wait(soon(t)); err != nil || got.GetMsg() != "x" {
		t.Errorf("%q, %v, want the answer to the huge request", got.GetMsg(), err)
	}
}
