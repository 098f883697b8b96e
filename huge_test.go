package parley_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley"
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

// TestHugeMessages: messages so large that they come in parts are whole where they are decoded, both ways, whichever way they come.
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
	conns := map[string]grpc.ClientConnInterface{"over ordinary gRPC": dialFace(t, host, "echoes")}
	for name, by := range map[string]struct {
		env *parley.Env
		ref endpoint.Ref
	}{"by an address": {caller, hosted}, "relayed": {caller, relayed}, "in the same Env": {host, hosted}} {
		var err error
		if conns[name], err = by.env.Conn(by.ref); err != nil {
			t.Fatal(err)
		}
	}
	for name, conn := range conns {
		t.Run(name, func(t *testing.T) {
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

// TestHugeTexts: a text so large that it comes in parts is whole, in requests and in replies; one that is none ends the ask with an error, and nothing else.
func TestHugeTexts(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	defer end(t, caller, host)
	_, err := sayhiv1parley.RegisterSayHi(soon(t), host, "echo", hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if msg, broken := strings.CutPrefix(r.GetMsg(), "broken "); broken {
			return &sayhiv1.HiReply{Msg: msg + "\xff"}, nil
		}
		return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	huge := strings.Repeat("abcdé", 1<<20)
	for name, env := range map[string]*parley.Env{"of a peer": caller, "of the same Env": host} {
		t.Run(name, func(t *testing.T) {
			ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://echo@"+host.Address())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []string{huge + "\xff", "broken " + huge} {
				if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: r}); !errors.Is(err, endpoint.ErrUnencodable) {
					t.Errorf("a text that is none: error %v", err)
				}
			}
			if r, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: huge}); err != nil || r.GetMsg() != huge {
				t.Errorf("got %d bytes, error %v", len(r.GetMsg()), err)
			}
			f := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: huge})
			for range 2 {
				if r, err := f.Wait(soon(t)); err != nil || r.GetMsg() != huge {
					t.Errorf("a future has %d bytes, error %v", len(r.GetMsg()), err)
				}
			}
		})
	}
}

// TestHugeMessagesTakeTurns wherever they are encoded or decoded: request and reply, of asks and of streaming calls, of peers and in one Env.
func TestHugeMessagesTakeTurns(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	defer end(t, caller, host)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("echoes"), &echoes{})
	handled := make(chan struct{}, 1)
	_, err := sayhiv1parley.RegisterSayHi(soon(t), host, "sink", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		handled <- struct{}{}
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	hosted, _ := endpoint.NewRef("echoes", host.Address())
	huge := strings.Repeat("x", 3<<20)
	expect := func(turns uint64, of string, f func()) {
		t.Helper()
		begun := bulk.Begun()
		f()
		if n := bulk.Begun() - begun; n != turns {
			t.Errorf("%s took %d turns, want %d", of, n, turns)
		}
	}
	for name, env := range map[string]*parley.Env{"of a peer": caller, "of the same Env": host} {
		t.Run(name, func(t *testing.T) {
			conn, err := env.Conn(hosted)
			if err != nil {
				t.Fatal(err)
			}
			stub := grpc_testing.NewTestServiceClient(conn)
			stream, err := stub.FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			for size, turns := range map[string]uint64{huge: 4, "small": 0} {
				expect(turns, "an ask", func() {
					if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{Payload: body(size)}); err != nil {
						t.Error(err)
					}
				})
				expect(turns, "a message and its echo", func() {
					if err := stream.Send(&outRequest{Payload: body(size)}); err != nil {
						t.Error(err)
					}
					if _, err := stream.Recv(); err != nil {
						t.Error(err)
					}
				})
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			(&transcript{}).rest(stream)
			sink, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://sink@"+host.Address())
			if err != nil {
				t.Fatal(err)
			}
			expect(1, "what TrySend sends, which waits for none,", func() {
				if err := sink.Hi.TrySend(soon(t), &sayhiv1.HiRequest{Msg: huge}); err != nil {
					t.Fatal(err)
				}
				select {
				case <-handled:
				case <-soon(t).Done():
					t.Fatal("not handled")
				}
			})
		})
	}
}
