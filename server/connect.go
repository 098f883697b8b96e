package server

import (
	"context"

	"google.golang.org/grpc"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/link"
)

// serviceDesc is that of the generated code, but its handler reads and writes frames that are encoded already.
var serviceDesc = grpc.ServiceDesc{
	ServiceName: parleyv1.Parley_ServiceDesc.ServiceName,
	HandlerType: (*connector)(nil),
	Streams: []grpc.StreamDesc{{
		StreamName:    "Connect",
		Handler:       func(srv any, stream grpc.ServerStream) error { return srv.(connector).connect(stream) },
		ServerStreams: true,
		ClientStreams: true,
	}},
	Metadata: parleyv1.Parley_ServiceDesc.Metadata,
}

type connector interface {
	connect(stream grpc.ServerStream) error
}

// RegisterOn puts the service parley.v1.Parley on a gRPC server, before it serves.
func (s *Server) RegisterOn(r grpc.ServiceRegistrar) {
	r.RegisterService(&serviceDesc, &streams{s})
}

type streams struct{ server *Server }

// connect carries a session for a while. It is the gRPC handler, whose return ends the stream, and with it what the link's reader and
// writer are blocked on.
func (s *streams) connect(stream grpc.ServerStream) error {
	c, err := link.Accept(stream, s.server.config.Link, s.server.Go)
	if err != nil {
		return err
	}
	if c.First() {
		s.server.Hold(c.Link())
	}
	select {
	case <-c.Over():
	case <-stream.Context().Done():
		// The reader or writer learns of it, too, but it may take them a moment.
		c.Broken(context.Cause(stream.Context()))
	}
	return c.Err()
}
