package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// grpcPair is a stock gRPC server and one connection to it, over loopback TCP, with gRPC's defaults.
type grpcPair struct {
	server *grpc.Server
	served chan error // gets what Serve returned
	conn   *grpc.ClientConn
	client sayhiv1.SayHiClient
	sink   sink
}

// Full names of the bidirectional methods, which no .proto has: they are raw streams of the unary method's messages.
const (
	streamService = "parley.bench.Streams"
	echoStream    = "Echo"
	drainStream   = "Drain"
)

// bidi describes a bidirectional stream to either side.
func bidi(name string, handler grpc.StreamHandler) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, Handler: handler, ServerStreams: true, ClientStreams: true}
}

// unaryServer answers with what it is told.
type unaryServer struct {
	sayhiv1.UnimplementedSayHiServer
}

func (unaryServer) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return echo(r), nil
}

func openGRPC() (*grpcPair, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &grpcPair{server: grpc.NewServer(), served: make(chan error, 1)}
	sayhiv1.RegisterSayHiServer(p.server, unaryServer{})
	p.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: streamService,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{bidi(echoStream, p.handleEcho), bidi(drainStream, p.handleDrain)},
	}, p)
	p.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p.client = sayhiv1.NewSayHiClient(p.conn)
	go func() { p.served <- p.server.Serve(listener) }()
	return p, nil
}

// handleEcho answers each message of a stream.
func (p *grpcPair) handleEcho(_ any, s grpc.ServerStream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := s.RecvMsg(r); err != nil {
			return ignoreEOF(err)
		}
		if err := s.SendMsg(echo(r)); err != nil {
			return err
		}
	}
}

// handleDrain receives the messages of a stream.
func (p *grpcPair) handleDrain(_ any, s grpc.ServerStream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := s.RecvMsg(r); err != nil {
			return ignoreEOF(err)
		}
		p.sink.receive(r)
	}
}

// ignoreEOF returns err, unless it is the regular end of a stream.
func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// unary makes n calls from a number of callers.
func (p *grpcPair) unary(callers int) workload {
	return func(ctx context.Context, n int) error {
		return runCallers(ctx, callers, n, func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return p.client.Hi(ctx, r)
		})
	}
}

// pingPong sends n messages on one stream, each after the reply to the one before.
func (p *grpcPair) pingPong(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := p.open(ctx, echoStream)
	if err != nil {
		return err
	}
	err = runCallers(ctx, 1, n, func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if err := s.SendMsg(r); err != nil {
			return nil, err
		}
		reply := &sayhiv1.HiReply{}
		return reply, s.RecvMsg(reply)
	})
	return errors.Join(err, finish(s))
}

// send sends n messages on one stream, one at a time, and returns when the server has received the last.
func (p *grpcPair) send(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := p.open(ctx, drainStream)
	if err != nil {
		return err
	}
	p.sink.expect(n)
	for i := range n {
		if err := s.SendMsg(sendRequests[i%len(sendRequests)]); err != nil {
			return err
		}
	}
	return errors.Join(p.sink.wait(ctx), finish(s))
}

func (p *grpcPair) open(ctx context.Context, name string) (grpc.ClientStream, error) {
	desc := bidi(name, nil)
	return p.conn.NewStream(ctx, &desc, "/"+streamService+"/"+name)
}

// finish ends a stream whose messages have all been answered or received.
func finish(s grpc.ClientStream) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	extra := &sayhiv1.HiReply{}
	if err := s.RecvMsg(extra); err != io.EOF {
		return fmt.Errorf("end of a stream: got message %q and error %v, want EOF", extra.GetMsg(), err)
	}
	return nil
}

// close ends the connection and the server, and reports whatever was lost.
func (p *grpcPair) close() error {
	err := errors.Join(p.sink.check(), p.conn.Close())
	p.server.Stop()
	return errors.Join(err, <-p.served)
}
