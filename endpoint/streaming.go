package endpoint

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// streamingCore is what the verbs of a streaming rpc need; nil in the zero value.
type streamingCore struct {
	method *methodCore
	desc   *grpc.StreamDesc
}

func newStreamingCore(b Bound, name string, desc *grpc.StreamDesc) *streamingCore {
	return &streamingCore{method: &methodCore{name: name, ref: b.ref, caller: b.caller, stub: true}, desc: desc}
}

// open opens a call that cancel ends.
func (c *streamingCore) open(ctx context.Context, opts []grpc.CallOption) (stream grpc.ClientStream, cancel context.CancelFunc, err error) {
	var method *methodCore
	var desc *grpc.StreamDesc
	if c != nil {
		method, desc = c.method, c.desc
	}
	ctx, cancel = context.WithCancel(ctx)
	if stream, err = method.stream(ctx, desc, opts); err != nil {
		cancel()
		return nil, nil, err
	}
	return stream, cancel, nil
}

// ServerStreaming is an rpc with one request and any number of replies, from the caller's side: a field of a generated Ref. It may be copied and used
// concurrently. The zero ServerStreaming refuses every call with ErrInvalid.
//
// What is said of Method holds for it, but that a call whose context has no deadline may last for ever.
type ServerStreaming[Req, Res any] struct {
	core *streamingCore
	fake func(context.Context, *Req) iter.Seq2[*Res, error]
}

// NewServerStreaming returns the method with the full name "package.Service/Method" of the endpoint that b is bound to. Generated code calls it.
func NewServerStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](b Bound, name string) ServerStreaming[Req, Res] {
	return ServerStreaming[Req, Res]{core: newStreamingCore(b, name, &grpc.StreamDesc{ServerStreams: true})}
}

// ServerStreamingFunc returns a ServerStreaming whose replies are those of f, for tests of code that uses a Ref.
func ServerStreamingFunc[Req, Res any](f func(context.Context, *Req) iter.Seq2[*Res, error]) ServerStreaming[Req, Res] {
	return ServerStreaming[Req, Res]{fake: f}
}

// Ask returns the replies to req, in order. The call is made when they are ranged over, each time anew. An error is the last that comes, without a reply; to leave the
// loop cancels the call. The callee sends no more than fits the window of the call (parley.WithStreamWindow) ahead of the loop.
//
// Errors: those of Method.Ask, and of the handler, after the replies that it has sent. ErrSessionEnded is not repeated by itself: who wants to go on has to
// know from where.
func (m ServerStreaming[Req, Res]) Ask(ctx context.Context, req *Req, opts ...grpc.CallOption) iter.Seq2[*Res, error] {
	if m.fake != nil {
		return m.fake(ctx, req)
	}
	return func(yield func(*Res, error) bool) {
		stream, cancel, err := m.core.open(ctx, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		defer cancel()
		if err := stream.SendMsg(req); err == nil || errors.Is(err, io.EOF) {
			_ = stream.CloseSend() // it never fails
		} else {
			yield(nil, err)
			return
		}
		for res, err := range replies[Res](stream) {
			if !yield(res, err) {
				return
			}
		}
	}
}

// replies returns what comes on stream: until its good end, or an error, which is the last.
func replies[Res any](stream grpc.ClientStream) iter.Seq2[*Res, error] {
	return func(yield func(*Res, error) bool) {
		for {
			res := new(Res)
			err := stream.RecvMsg(res)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, err)
				return
			case !yield(res, nil):
				return
			}
		}
	}
}

// ClientStreaming is an rpc with any number of requests and one reply, from the caller's side: a field of a generated Ref. It may be copied and used
// concurrently. The zero ClientStreaming refuses every call with ErrInvalid.
type ClientStreaming[Req, Res any] struct {
	core *streamingCore
	fake func(context.Context, []*Req) (*Res, error)
}

// NewClientStreaming returns the method with the full name "package.Service/Method" of the endpoint that b is bound to. Generated code calls it.
func NewClientStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](b Bound, name string) ClientStreaming[Req, Res] {
	return ClientStreaming[Req, Res]{core: newStreamingCore(b, name, &grpc.StreamDesc{ClientStreams: true})}
}

// ClientStreamingFunc returns a ClientStreaming whose reply is that of f to all requests together, for tests of code that uses a Ref.
func ClientStreamingFunc[Req, Res any](f func(context.Context, []*Req) (*Res, error)) ClientStreaming[Req, Res] {
	return ClientStreaming[Req, Res]{fake: f}
}

// Ask sends the requests and returns the reply. It ends early where the callee does not want all of them.
func (m ClientStreaming[Req, Res]) Ask(ctx context.Context, requests iter.Seq[*Req], opts ...grpc.CallOption) (*Res, error) {
	call, err := m.Open(ctx, opts...)
	if err != nil {
		return nil, err
	}
	defer call.Close()
	for req := range requests {
		if err := call.Send(req); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return call.CloseAndReceive()
}

// Open opens a call, which is to be closed.
func (m ClientStreaming[Req, Res]) Open(ctx context.Context, opts ...grpc.CallOption) (*ClientCall[Req, Res], error) {
	if m.fake != nil {
		return &ClientCall[Req, Res]{fake: func(requests []*Req) (*Res, error) { return m.fake(ctx, requests) }}, nil
	}
	stream, cancel, err := m.core.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &ClientCall[Req, Res]{stream: stream, cancel: cancel}, nil
}

// ClientCall is a call of a ClientStreaming rpc. It is for one goroutine at a time.
type ClientCall[Req, Res any] struct {
	stream grpc.ClientStream
	cancel context.CancelFunc

	fake     func([]*Req) (*Res, error)
	requests []*Req
}

// Send sends one request. It waits for room in the window of the call, as long as the context of the call lives. It returns io.EOF if the callee has answered already, which
// CloseAndReceive returns.
func (c *ClientCall[Req, Res]) Send(req *Req) error {
	if c.fake != nil {
		c.requests = append(c.requests, req)
		return nil
	}
	return c.stream.SendMsg(req)
}

// CloseAndReceive says that there are no more requests, and waits for the reply.
func (c *ClientCall[Req, Res]) CloseAndReceive() (*Res, error) {
	if c.fake != nil {
		return c.fake(c.requests)
	}
	defer c.cancel()
	if err := c.stream.CloseSend(); err != nil {
		return nil, err
	}
	res := new(Res)
	if err := c.stream.RecvMsg(res); err != nil {
		return nil, err
	}
	return res, nil
}

// Close cancels the call, unless it is over. It may be called at any time, and again.
func (c *ClientCall[Req, Res]) Close() {
	if c.cancel != nil {
		c.cancel()
	}
}

// BidiStreaming is an rpc with any number of requests and of replies, from the caller's side: a field of a generated Ref. It may be copied and used concurrently. The
// zero BidiStreaming refuses every call with ErrInvalid. For tests of code that uses a Ref there is no func as with the others: an endpoint in an Env of the test's own is one.
type BidiStreaming[Req, Res any] struct {
	core *streamingCore
}

// NewBidiStreaming returns the method with the full name "package.Service/Method" of the endpoint that b is bound to. Generated code calls it.
func NewBidiStreaming[Req, Res any, PReq Message[Req], PRes Message[Res]](b Bound, name string) BidiStreaming[Req, Res] {
	return BidiStreaming[Req, Res]{core: newStreamingCore(b, name, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true})}
}

// Open opens a call, which is to be closed.
func (m BidiStreaming[Req, Res]) Open(ctx context.Context, opts ...grpc.CallOption) (*BidiCall[Req, Res], error) {
	stream, cancel, err := m.core.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &BidiCall[Req, Res]{stream: stream, cancel: cancel}, nil
}

// BidiCall is a call of a BidiStreaming rpc. One goroutine may send while another receives.
type BidiCall[Req, Res any] struct {
	stream grpc.ClientStream
	cancel context.CancelFunc
}

// Send sends one request. It waits for room in the window of the call, as long as the context of the call lives. It returns io.EOF if the call is over; Receive says why.
func (c *BidiCall[Req, Res]) Send(req *Req) error { return c.stream.SendMsg(req) }

// CloseSend says that there are no more requests.
func (c *BidiCall[Req, Res]) CloseSend() error { return c.stream.CloseSend() }

// Receive waits for the next reply. It returns io.EOF at the good end of the call.
func (c *BidiCall[Req, Res]) Receive() (*Res, error) {
	res := new(Res)
	if err := c.stream.RecvMsg(res); err != nil {
		return nil, err
	}
	return res, nil
}

// Replies returns the replies that are still to come, in order. An error is the last, without a reply. To leave the loop does not end the call.
func (c *BidiCall[Req, Res]) Replies() iter.Seq2[*Res, error] { return replies[Res](c.stream) }

// Header waits for the header of the call, until a reply or the end comes.
func (c *BidiCall[Req, Res]) Header() (metadata.MD, error) { return c.stream.Header() }

// Trailer returns the trailer, once Receive has returned an error.
func (c *BidiCall[Req, Res]) Trailer() metadata.MD { return c.stream.Trailer() }

// Close cancels the call, unless it is over. It may be called at any time, and again.
func (c *BidiCall[Req, Res]) Close() { c.cancel() }
