// Package grpcpeer has stock gRPC as it is measured: a server and one connection to it, with gRPC's defaults.
package grpcpeer

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// Full names of the bidirectional methods, which no .proto has: they are raw streams of the unary method's messages.
const (
	streamService = "parley.bench.Streams"
	echoStream    = "Echo"
	drainStream   = "Drain"
)

// drainService has the unary methods of SayHi, for what is sent one way.
const drainService = "parley.bench.Drain"

// bidi describes a bidirectional stream to either side.
func bidi(name string, handler grpc.StreamHandler) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, Handler: handler, ServerStreams: true, ClientStreams: true}
}

// echoServer answers with what it is told.
type echoServer struct {
	sayhiv1.UnimplementedSayHiServer
}

func (echoServer) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return workload.Echo(r), nil
}

// drainServer is the receiver of one-way messages.
type drainServer struct {
	sayhiv1.UnimplementedSayHiServer
	sink *workload.Sink
}

func (s drainServer) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	s.sink.Receive(r)
	return &sayhiv1.HiReply{}, nil
}

// server is a gRPC server that serves.
type server struct {
	grpc    *grpc.Server
	address string
	sink    *workload.Sink
	served  chan error // gets what Serve returned
}

// serve starts the server of both Systems.
func serve(o peer.Options, sink *workload.Sink) (peer.Server, error) {
	var opts []grpc.ServerOption
	if o.TLS {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.Certificate.ServerConfig())))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{grpc: grpc.NewServer(opts...), address: listener.Addr().String(), sink: sink, served: make(chan error, 1)}
	sayhiv1.RegisterSayHiServer(s.grpc, echoServer{})
	drain := sayhiv1.SayHi_ServiceDesc
	drain.ServiceName = drainService
	s.grpc.RegisterService(&drain, drainServer{sink: sink})
	s.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: streamService,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{bidi(echoStream, handleEcho), bidi(drainStream, s.handleDrain)},
	}, s)
	go func() { s.served <- s.grpc.Serve(listener) }()
	return s, nil
}

// handleEcho answers each message of a stream.
func handleEcho(_ any, s grpc.ServerStream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := s.RecvMsg(r); err != nil {
			return ignoreEOF(err)
		}
		if err := s.SendMsg(workload.Echo(r)); err != nil {
			return err
		}
	}
}

// handleDrain receives the messages of a stream.
func (s *server) handleDrain(_ any, stream grpc.ServerStream) error {
	for {
		r := &sayhiv1.HiRequest{}
		if err := stream.RecvMsg(r); err != nil {
			return ignoreEOF(err)
		}
		s.sink.Receive(r)
	}
}

// ignoreEOF returns err, unless it is the regular end of a stream.
func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Address implements peer.Server.
func (s *server) Address() string { return s.address }

// Close implements peer.Server.
func (s *server) Close(context.Context) error {
	s.grpc.Stop()
	if err := <-s.served; !errors.Is(err, grpc.ErrServerStopped) { // which is that of one that had not begun
		return err
	}
	return nil
}
