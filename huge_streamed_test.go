package parley_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// lengths is a stats.Handler that keeps how long messages are, by direction.
type lengths struct {
	mu      sync.Mutex
	in, out []int
}

func (*lengths) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*lengths) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*lengths) HandleConn(context.Context, stats.ConnStats)                       {}
func (l *lengths) HandleRPC(_ context.Context, s stats.RPCStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := s.(type) {
	case *stats.InPayload:
		l.in = append(l.in, s.Length)
	case *stats.OutPayload:
		l.out = append(l.out, s.Length)
	}
}

// take returns how long the last messages were, and forgets them.
func (l *lengths) take() (in, out []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	in, out = l.in, l.out
	l.in, l.out = nil, nil
	return in, out
}

// masks is a service whose only method, a streaming one, answers each message with the same. It uses one message for all.
var masks = &grpc.ServiceDesc{ServiceName: "parleytest.Masks", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
	StreamName: "Echo", ClientStreams: true, ServerStreams: true,
	Handler: func(_ any, s grpc.ServerStream) error {
		m := &fieldmaskpb.FieldMask{Paths: []string{"left over"}}
		for {
			switch err := s.RecvMsg(m); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if len(m.Paths) == 1 && m.Paths[0] == "answer no text" {
				m.Paths[0] = "\xff"
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	},
}}}

// masked returns a message whose encoded size is that.
func masked(t *testing.T, size int) *fieldmaskpb.FieldMask {
	t.Helper()
	m := &fieldmaskpb.FieldMask{Paths: []string{"a", strings.Repeat("x", size)}}
	m.Paths[1] = m.Paths[1][:2*size-proto.Size(m)]
	if n := proto.Size(m); n != size {
		t.Fatalf("%d bytes, want %d", n, size)
	}
	return m
}

// TestHugeStreamedMessages: messages of streaming calls below and above what is in parts are received as they were sent, whatever the message they are received into has had,
// and stats handlers are told how long they are.
func TestHugeStreamedMessages(t *testing.T) {
	leaktest.Check(t)
	var handled, called lengths
	host, err := parley.Listen("localhost:0", parley.WithStatsHandlers(&handled), parley.WithClientStatsHandlers(&called))
	if err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t, parley.WithClientStatsHandlers(&called))
	defer end(t, caller, host)
	host.Endpoint("masks").RegisterService(masks, struct{}{})
	for name, env := range map[string]*parley.Env{"of a peer": caller, "of the same Env": host} {
		t.Run(name, func(t *testing.T) {
			stream := openMasks(t, env, host)
			for _, size := range []int{1000, 1<<20 - 1, 1 << 20, 3 << 20} {
				sent, got := masked(t, size), &fieldmaskpb.FieldMask{Paths: []string{"left over"}}
				if err := stream.SendMsg(sent); err != nil {
					t.Fatal(err)
				}
				if err := stream.RecvMsg(got); err != nil || !proto.Equal(got, sent) {
					t.Errorf("%d bytes: got %d paths of %d bytes, error %v", size, len(got.Paths), proto.Size(got), err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := stream.RecvMsg(&fieldmaskpb.FieldMask{}); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			for of, l := range map[string]*lengths{"the handler": &handled, "the caller": &called} {
				in, out := l.take()
				for _, each := range [][]int{in, out} {
					if len(each) != 4 || each[0] != 1000 || each[1] != 1<<20-1 || each[2] != 1<<20 || each[3] != 3<<20 {
						t.Errorf("%s was told of messages of %v bytes in, %v out", of, in, out)
						break
					}
				}
			}
		})
	}
}

// openMasks opens a call of the method of masks, which ends with the test.
func openMasks(t *testing.T, env, host *parley.Env) grpc.ClientStream {
	t.Helper()
	ref, err := endpoint.NewRef("masks", host.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := env.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.NewStream(soon(t), &masks.Streams[0], "/parleytest.Masks/Echo")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// TestStreamedMessagesThatCannotBeSent: what is no text, or too large, in a request or in a reply, is an error that says so: of the caller, or of the handler, which has returned it.
func TestStreamedMessagesThatCannotBeSent(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("localhost:0", parley.WithMaxMessageSize(2<<20))
	if err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t)
	defer end(t, caller, host)
	host.Endpoint("masks").RegisterService(masks, struct{}{})
	noText := &fieldmaskpb.FieldMask{Paths: []string{"\xff"}}
	for name, env := range map[string]*parley.Env{"of a peer": caller, "of the same Env": host} {
		t.Run(name, func(t *testing.T) {
			err := openMasks(t, env, host).SendMsg(noText)
			if !errors.Is(err, endpoint.ErrUnencodable) || !errors.Is(err, proto.Error) {
				t.Errorf("no text: error %v, want ErrUnencodable and its cause", err)
			}
			if err := openMasks(t, env, host).SendMsg(masked(t, 3<<20)); !errors.Is(err, endpoint.ErrTooLarge) {
				t.Errorf("too large: error %v", err)
			}
			answered := openMasks(t, env, host)
			if err := answered.SendMsg(&fieldmaskpb.FieldMask{Paths: []string{"answer no text"}}); err != nil {
				t.Fatal(err)
			}
			if err := answered.RecvMsg(&fieldmaskpb.FieldMask{}); err == nil || !strings.Contains(err.Error(), "could not be encoded: reply") {
				t.Errorf("a reply that is no text: error %v", err)
			}
		})
	}
}
