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
// unary face. A call becomes an ask: it passes through the mailbox of its endpoint, in order with all other messages. Which endpoint that
// is, the metadata EndpointKey says; it may be left out where one endpoint alone implements the service. All callers together have one window into
// a mailbox.
func (s *Server) ServeCall(_ any, stream grpc.ServerStream) error {
	full, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "parley: a call without a method")
	}
	method := strings.TrimPrefix(full, "/")
	md, _ := metadata.FromIncomingContext(stream.Context())
	name, err := s.called(method, md)
	if err != nil {
		return err
	}
	request, err := receiveOne(stream)
	if err != nil {
		return err
	}
	r := s.askFor(stream, name, endpoint.Request{
		Method: method, Message: wire.NewFrame(request), Metadata: ofCaller(md), Started: time.Now(),
	})
	if len(r.Header) > 0 {
		if err := stream.SetHeader(r.Header); err != nil {
			return err
		}
	}
	stream.SetTrailer(r.Trailer)
	if r.Err != nil {
		return status.FromProto(statusOf(r.Err)).Err()
	}
	return stream.SendMsg(wire.NewFrame(r.Payload))
}

// called returns the endpoint that a call is for, or a status in gRPC's words.
func (s *Server) called(method string, md metadata.MD) (string, error) {
	service, short, _ := strings.Cut(method, "/")
	names := md.Get(EndpointKey)
	if len(names) == 0 {
		names = s.Offering(service)
	}
	switch len(names) {
	case 0:
		return "", status.Errorf(codes.Unimplemented, "unknown service %s", service)
	case 1:
	default:
		return "", status.Errorf(codes.FailedPrecondition, "parley: say by the metadata %s which endpoint is to serve %s: %s", EndpointKey, service, strings.Join(names, ", "))
	}
	h, err := s.find(names[0])
	if err != nil {
		return "", status.FromProto(statusOf(err)).Err()
	}
	switch o := h.offers.Load(); {
	case !o.has(service):
		return "", status.Errorf(codes.Unimplemented, "unknown service %s: the endpoint %s does not implement it", service, names[0])
	case o.methods[method] == nil:
		return "", status.Errorf(codes.Unimplemented, "unknown method %s for service %s", short, service)
	}
	return names[0], nil
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

// ofCaller returns the metadata that is the caller's own, and not HTTP/2's or gRPC's.
func ofCaller(md metadata.MD) metadata.MD {
	own := make(metadata.MD, len(md))
	for key, values := range md {
		if !strings.HasPrefix(key, ":") && !strings.HasPrefix(key, "grpc-") && key != "content-type" && key != EndpointKey {
			own[key] = values
		}
	}
	return own
}

// askFor asks an endpoint on behalf of a gRPC call, and waits for the answer, or for the end of the call.
func (s *Server) askFor(stream grpc.ServerStream, name string, r endpoint.Request) endpoint.Response {
	ctx := stream.Context()
	from, ok := peer.FromContext(ctx)
	if !ok || from.Addr == nil {
		from = here
	}
	r.Deadline, _ = ctx.Deadline()
	caller := &localCaller{server: s, name: name, from: from, window: func(h *hosted) *localWindow { return &h.face }}
	done := make(endpoint.Outcome, 1)
	return done.Wait(ctx, caller.Ask(ctx, r, done))
}
