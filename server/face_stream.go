package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// serveStream serves an ordinary gRPC call of a streaming method, as one of this Env.
func (s *Server) serveStream(stream grpc.ServerStream, caller endpoint.Caller, r endpoint.Request) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	r.Deadline, _ = ctx.Deadline()
	call, err := caller.Open(ctx, r)
	if err != nil {
		return status.FromProto(statusOf(err)).Err()
	}
	s.Go(func() { // ends with the gRPC call, at the latest
		for {
			var f wire.Frame
			switch err := stream.RecvMsg(&f); {
			case errors.Is(err, io.EOF):
				call.HalfClose()
				return
			case err != nil:
				call.Abandon(endpoint.AsError(err))
				return
			}
			_, e := call.Send(ctx, &f)
			if e != nil && e.Reason == endpoint.ReasonTooLarge { // the call is not over: its handler would wait for good
				call.Abandon(e)
			}
			if e != nil {
				return // what is received tells why
			}
		}
	})
	e := passReplies(ctx, stream, call)
	call.Abandon(&endpoint.Error{Reason: endpoint.ReasonCancelled}) // nothing, if it is over
	return e
}

// passReplies passes on what answers a call.
func passReplies(ctx context.Context, stream grpc.ServerStream, call endpoint.StreamCarrier) error {
	md, err := call.Header(ctx)
	if err == nil && md != nil {
		err = stream.SendHeader(md)
	}
	for err == nil {
		var got endpoint.Received
		if got, err = call.Receive(ctx); err == nil {
			err = stream.SendMsg(wire.NewFrame(got.Encoded()))
		}
	}
	stream.SetTrailer(call.Trailer())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return status.FromProto(statusOf(endpoint.AsError(err))).Err() // err may be that of the context, or a status of the gRPC server
}
