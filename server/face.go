package server

import (
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// EndpointKey is the metadata key by which an ordinary gRPC call names the endpoint that it is for.
const EndpointKey = "parley-endpoint"

// ServeCall is a grpc.StreamHandler for grpc.UnknownServiceHandler: it serves the services of endpoints as ordinary gRPC services, the
// unary face. A call becomes an ask, or a streaming call: it passes through the mailbox of its endpoint, in order with all other messages. Which endpoint that
// is, the metadata EndpointKey says; it may be left out where one endpoint alone implements the service. All callers together have one window into
// a mailbox.
func (s *Server) ServeCall(_ any, stream grpc.ServerStream) error {
	full, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "parley: a call without a method")
	}
	method := strings.TrimPrefix(full, "/")
	md, _ := metadata.FromIncomingContext(stream.Context())
	name, streaming, err := s.called(method, md)
	if err != nil {
		return err
	}
	caller := s.faceCaller(stream, name)
	delete(md, EndpointKey) // md is a copy
	r := endpoint.Request{Method: method, Metadata: md, Started: time.Now()}
	if streaming {
		return s.serveStream(stream, caller, r)
	}
	return serveOne(stream, caller, r)
}

// serveOne serves an ordinary gRPC call of a unary method, as an ask of this Env.
func serveOne(stream grpc.ServerStream, caller endpoint.Caller, q endpoint.Request) error {
	request, err := receiveOne(stream)
	if err != nil {
		return err
	}
	q.Message = wire.NewFrame(request)
	ctx := stream.Context()
	q.Deadline, _ = ctx.Deadline()
	done := make(endpoint.Outcome, 1)
	r := done.Wait(ctx, caller.Ask(ctx, q, done))
	if len(r.Header) > 0 {
		if err := stream.SetHeader(r.Header); err != nil {
			return err
		}
	}
	stream.SetTrailer(r.Trailer)
	if r.Err != nil {
		return status.FromProto(statusOf(r.Err)).Err()
	}
	return stream.SendMsg(wire.NewFrame(r.Encoded()))
}

// called returns the endpoint that a call is for, and whether its method is streaming, or a status in gRPC's words.
func (s *Server) called(method string, md metadata.MD) (name string, streaming bool, err error) {
	service, short, _ := strings.Cut(method, "/")
	names := md.Get(EndpointKey)
	if len(names) == 0 {
		names = s.Offering(service)
	}
	switch len(names) {
	case 0:
		return "", false, status.Errorf(codes.Unimplemented, "unknown service %s", service)
	case 1:
	default:
		return "", false, status.Errorf(codes.FailedPrecondition, "parley: say by the metadata %s which endpoint is to serve %s: %s", EndpointKey, service, strings.Join(names, ", "))
	}
	h, refused := s.find(names[0])
	if refused != nil {
		return "", false, status.FromProto(statusOf(refused)).Err()
	}
	o := h.offers.Load()
	m := o.method(method)
	switch {
	case !o.has(service):
		return "", false, status.Errorf(codes.Unimplemented, "unknown service %s: the endpoint %s does not implement it", service, names[0])
	case m == nil:
		return "", false, status.Errorf(codes.Unimplemented, "unknown method %s for service %s", short, service)
	}
	return names[0], m.IsStreaming(), nil
}

// receiveOne returns the only message of a unary call.
func receiveOne(stream grpc.ServerStream) ([]byte, error) {
	var f wire.Frame
	if err := stream.RecvMsg(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, status.Error(codes.Internal, "parley: a call without a message")
		}
		return nil, err
	}
	switch err := stream.RecvMsg(new(wire.Frame)); {
	case err == nil:
		return nil, status.Error(codes.Internal, "parley: a unary call with more than one message")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return f.Bytes(), nil
}

// someone is who makes a call of which the gRPC server does not say where it comes from.
var someone = &peer.Peer{Addr: elsewhere{}}

type elsewhere struct{}

func (elsewhere) Network() string { return "unknown" }
func (elsewhere) String() string  { return "unknown" }

// faceCaller carries what is called by an ordinary gRPC call.
func (s *Server) faceCaller(stream grpc.ServerStream, name string) endpoint.Caller {
	from, ok := peer.FromContext(stream.Context())
	if !ok || from.Addr == nil {
		from = someone // and not this Env, which a policy may trust
	}
	return &localCaller{server: s, name: name, from: from, window: (*hosted).faceWindow, ordinary: true}
}
