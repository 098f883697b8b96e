package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

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
		s.log(stream.Context(), err)
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
	err = c.Err()
	s.log(stream.Context(), err)
	return err
}

// log logs the failure of a stream, unless it is of no interest: its dialler has left before it said hello, has opened another one, or has come back to
// a session that is over; or this Env ends.
func (s *streams) log(stream context.Context, err error) {
	st := status.Convert(err)
	switch st.Code() {
	case codes.OK, codes.Canceled, codes.Aborted, codes.NotFound:
		return
	}
	if s.server.IsClosed() {
		return
	}
	from := "unknown"
	if p, ok := peer.FromContext(stream); ok && p.Addr != nil {
		from = p.Addr.String()
	}
	s.server.failures.warn("parley: a stream has failed", "peer", from, "error", st.Code().String()+": "+st.Message())
}
