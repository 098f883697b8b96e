package scale

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

const (
	stockService = "parley.bench.Scale"
	stockMethod  = "Echo"
)

// stock is a stock gRPC server and many connections to it, each with one open stream.
type stock struct {
	server  *grpc.Server
	served  chan error // gets what Serve returned; nil before that was called
	conns   []*grpc.ClientConn
	streams []grpc.ClientStream
	cancel  context.CancelFunc // of the streams
	calls   []ask              // unary ones, of each connection
}

// unaryServer answers with what it is told.
type unaryServer struct {
	sayhiv1.UnimplementedSayHiServer
}

func (unaryServer) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// echoStream answers each message of a stream.
func echoStream(_ any, s grpc.ServerStream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := s.RecvMsg(r); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := s.SendMsg(&sayhiv1.HiReply{Msg: r.GetMsg()}); err != nil {
			return err
		}
	}
}

var echoDesc = grpc.StreamDesc{StreamName: stockMethod, Handler: echoStream, ServerStreams: true, ClientStreams: true}

// openedStock opens connections, and returns what one with its stream costs. What it returns is to be closed, also if it fails.
func openedStock(ctx context.Context, c Config) (s *stock, stream cost, err error) {
	s = &stock{server: grpc.NewServer()}
	streams, cancel := context.WithCancel(ctx)
	s.cancel = cancel
	sayhiv1.RegisterSayHiServer(s.server, unaryServer{})
	s.server.RegisterService(&grpc.ServiceDesc{ServiceName: stockService, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{echoDesc}}, s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, cost{}, err
	}
	s.served = make(chan error, 1)
	go func() { s.served <- s.server.Serve(listener) }()
	before, err := settled(ctx)
	if err != nil {
		return s, cost{}, err
	}
	for range c.Sessions {
		if err := s.dial(streams, listener.Addr().String()); err != nil {
			return s, cost{}, err
		}
	}
	after, err := settled(ctx)
	if err != nil {
		return s, cost{}, err
	}
	c.inspect("grpc-streams")
	return s, after.each(before, c.Sessions), nil
}

// dial adds a connection, whose stream has carried a message there and back.
func (s *stock) dial(ctx context.Context, address string) error {
	conn, err := grpc.NewClient("dns:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	s.conns = append(s.conns, conn)
	client := sayhiv1.NewSayHiClient(conn)
	s.calls = append(s.calls, func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		return client.Hi(ctx, r)
	})
	stream, err := conn.NewStream(ctx, &echoDesc, "/"+stockService+"/"+stockMethod)
	if err != nil {
		return err
	}
	s.streams = append(s.streams, stream)
	return askOnce(ctx, func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if err := stream.SendMsg(r); err != nil {
			return nil, err
		}
		reply := &sayhiv1.HiReply{}
		return reply, stream.RecvMsg(reply)
	})
}

func (s *stock) close() error {
	s.cancel()
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.server.Stop()
	if s.served == nil {
		return err
	}
	if served := <-s.served; !errors.Is(served, grpc.ErrServerStopped) { // which is that of one that had not begun
		err = errors.Join(err, served)
	}
	return err
}
