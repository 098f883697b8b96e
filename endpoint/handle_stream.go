package endpoint

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
)

// Requests are what the caller of a streaming rpc sends, from the handler's side. It is for one goroutine at a time.
type Requests[Req any] struct {
	receive func() (*Req, error)
}

// RequestsOf returns the requests of a sequence, for tests of handlers.
func RequestsOf[Req any](requests iter.Seq[*Req]) *Requests[Req] {
	next, stop := iter.Pull(requests)
	return &Requests[Req]{receive: func() (*Req, error) {
		if req, ok := next(); ok {
			return req, nil
		}
		stop()
		return nil, io.EOF
	}}
}

// Receive waits for the next request. It returns io.EOF when the caller sends no more, and another error when the call has ended, which the handler's context has then,
// too, or when the request cannot be decoded.
func (r *Requests[Req]) Receive() (*Req, error) { return r.receive() }

// All returns the requests that are still to come, in order. An error is the last, without a request.
func (r *Requests[Req]) All() iter.Seq2[*Req, error] {
	return func(yield func(*Req, error) bool) {
		for {
			req, err := r.receive()
			if errors.Is(err, io.EOF) || !yield(req, err) || err != nil {
				return
			}
		}
	}
}

// Replies is where the handler of a streaming rpc sends its replies. It is for one goroutine at a time.
type Replies[Res any] struct {
	send func(*Res) error
}

// RepliesTo returns Replies that f gets, for tests of handlers.
func RepliesTo[Res any](f func(*Res) error) *Replies[Res] { return &Replies[Res]{send: f} }

// Send sends one reply. It waits for room in the window of the call. An error means that the call has ended, and so has the handler's context, or that the reply cannot be
// encoded or is too large.
func (r *Replies[Res]) Send(res *Res) error { return r.send(res) }

func requestsOf[Req any](stream grpc.ServerStream) *Requests[Req] {
	return &Requests[Req]{receive: func() (*Req, error) {
		req := new(Req)
		if err := stream.RecvMsg(req); err != nil {
			return nil, err
		}
		return req, nil
	}}
}

func repliesTo[Res any](stream grpc.ServerStream) *Replies[Res] {
	return &Replies[Res]{send: func(res *Res) error { return stream.SendMsg(res) }}
}

// HandleServerStreaming makes a ServiceMethod of the handler of an rpc with one request and any number of replies. method is the full name,
// "package.Service/Method".
func HandleServerStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](method string, handler func(context.Context, *Req, *Replies[Res]) error) ServiceMethod {
	return handleStream(method, &grpc.StreamDesc{ServerStreams: true}, func(stream grpc.ServerStream) error {
		req, err := requestsOf[Req](stream).Receive()
		if err != nil {
			return err
		}
		return handler(stream.Context(), req, repliesTo[Res](stream))
	})
}

// HandleClientStreaming makes a ServiceMethod of the handler of an rpc with any number of requests and one reply.
func HandleClientStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](method string, handler func(context.Context, *Requests[Req]) (*Res, error)) ServiceMethod {
	return handleStream(method, &grpc.StreamDesc{ClientStreams: true}, func(stream grpc.ServerStream) error {
		res, err := handler(stream.Context(), requestsOf[Req](stream))
		if err != nil {
			return err
		}
		if res == nil {
			return ErrNoReply
		}
		return stream.SendMsg(res)
	})
}

// HandleBidiStreaming makes a ServiceMethod of the handler of an rpc with any number of requests and of replies.
func HandleBidiStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](method string, handler func(context.Context, *Requests[Req], *Replies[Res]) error) ServiceMethod {
	return handleStream(method, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, func(stream grpc.ServerStream) error {
		return handler(stream.Context(), requestsOf[Req](stream), repliesTo[Res](stream))
	})
}

func handleStream(method string, desc *grpc.StreamDesc, handler func(grpc.ServerStream) error) ServiceMethod {
	desc.Handler = func(_ any, stream grpc.ServerStream) error { return handler(stream) }
	return ServiceMethod{name: method, other: &otherHandler{stream: desc}}
}
