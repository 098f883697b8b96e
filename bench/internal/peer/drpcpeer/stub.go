package drpcpeer

import (
	"context"
	"errors"
	"io"

	"google.golang.org/protobuf/proto"
	"storj.io/drpc"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// drainMethod is the client stream of one-way messages, which no .proto has.
const drainMethod = "/parley.bench.Streams/Drain"

// encoding is what protoc-gen-go-drpc generates for google.golang.org/protobuf.
type encoding struct{}

func (encoding) Marshal(m drpc.Message) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }

// MarshalAppend is what dRPC uses instead of Marshal where it is there.
func (encoding) MarshalAppend(buf []byte, m drpc.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(buf, m.(proto.Message))
}

func (encoding) Unmarshal(buf []byte, m drpc.Message) error {
	return proto.Unmarshal(buf, m.(proto.Message))
}

// sayHiServer has the methods as dRPC calls them.
type sayHiServer interface {
	Hi(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)
	Drain(drpc.Stream) error
}

// registerSayHi makes the mux call server.
func registerSayHi(mux drpc.Mux, server sayHiServer) error {
	return mux.Register(server, description{})
}

// description tells the mux what sayHiServer has.
type description struct{}

func (description) NumMethods() int { return 2 }

func (description) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	switch n {
	case 0:
		return sayhiv1.SayHi_Hi_FullMethodName, encoding{},
			func(server any, ctx context.Context, in, _ any) (drpc.Message, error) {
				return server.(sayHiServer).Hi(ctx, in.(*sayhiv1.HiRequest))
			}, sayHiServer.Hi, true
	case 1:
		return drainMethod, encoding{},
			func(server any, _ context.Context, stream, _ any) (drpc.Message, error) {
				return nil, server.(sayHiServer).Drain(stream.(drpc.Stream))
			}, sayHiServer.Drain, true
	default:
		return "", nil, nil, nil, false
	}
}

// handler implements sayHiServer.
type handler struct {
	sink *workload.Sink
}

// Hi answers with what it is told.
func (handler) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return workload.Echo(r), nil
}

// Drain receives the messages of a stream, and answers when it has them all.
func (h handler) Drain(stream drpc.Stream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := stream.MsgRecv(r, encoding{}); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			return stream.MsgSend(&sayhiv1.HiReply{}, encoding{})
		}
		h.sink.Receive(r)
	}
}

// stub calls a server over a connection of its own.
type stub struct {
	conn drpc.Conn
}

// hi calls Hi.
func (s *stub) hi(ctx context.Context, in *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	out := &sayhiv1.HiReply{}
	if err := s.conn.Invoke(ctx, sayhiv1.SayHi_Hi_FullMethodName, encoding{}, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// drain opens a stream for one-way messages, which lasts until closeAndReceive or the end of ctx.
func (s *stub) drain(ctx context.Context) (*drainStream, error) {
	stream, err := s.conn.NewStream(ctx, drainMethod, encoding{})
	if err != nil {
		return nil, err
	}
	return &drainStream{stream: stream}, nil
}

// drainStream is the client's end of Drain.
type drainStream struct {
	stream drpc.Stream
}

func (d *drainStream) send(r *sayhiv1.HiRequest) error { return d.stream.MsgSend(r, encoding{}) }

// closeAndReceive ends the stream, and returns when the server has received all of it.
func (d *drainStream) closeAndReceive() error {
	if err := d.stream.CloseSend(); err != nil {
		return err
	}
	if err := d.stream.MsgRecv(&sayhiv1.HiReply{}, encoding{}); err != nil {
		return err
	}
	return d.stream.Close()
}
