package client

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
)

// Intercept returns c, whose messages go to ref, inside interceptors. Unary runs around every message: on the caller's goroutine for a send, and on one of its own for an ask. Stream
// runs around the opening of every streaming call. cc is what they see as the connection; it is not used. Either of the two may be nil.
func Intercept(c endpoint.Caller, ref endpoint.Ref, unary grpc.UnaryClientInterceptor, stream grpc.StreamClientInterceptor, cc *grpc.ClientConn) endpoint.Caller {
	if stream != nil {
		c = &streamIntercepted{Caller: c, interceptor: stream, cc: cc}
	}
	if unary != nil {
		c = &intercepted{Caller: c, ref: ref, interceptor: unary, cc: cc}
	}
	return c
}

type streamIntercepted struct {
	endpoint.Caller
	interceptor grpc.StreamClientInterceptor
	cc          *grpc.ClientConn
}

// StreamInterceptor implements endpoint.Caller.
func (c *streamIntercepted) StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn) {
	return c.interceptor, c.cc
}

type intercepted struct {
	endpoint.Caller
	ref         endpoint.Ref
	interceptor grpc.UnaryClientInterceptor
	cc          *grpc.ClientConn
}

// Send implements endpoint.Caller. The reply that interceptors see stays empty.
func (c *intercepted) Send(ctx context.Context, r endpoint.Request) error {
	return c.run(ctx, &r, r.NewReply(), func(ctx context.Context, r endpoint.Request, _ proto.Message, _ *responseMetadata) error {
		return c.Caller.Send(ctx, r)
	}, &responseMetadata{})
}

// Ask implements endpoint.Caller. It returns when the message has been handed over for the first time, so that order is kept, when an interceptor has answered by
// itself, or when ctx ends.
func (c *intercepted) Ask(ctx context.Context, r endpoint.Request, done endpoint.Completion) endpoint.Pending {
	ctx, cancel := context.WithCancel(ctx)
	a := &interceptedAsk{done: done, cancel: cancel, handed: make(chan struct{})}
	r.Message, r.Reuse = proto.Clone(r.Message), nil // an interceptor may try again when the caller goes on
	c.Go(func() {
		defer cancel()
		reply, md := r.NewReply(), &responseMetadata{}
		err := c.run(ctx, &r, reply, func(ctx context.Context, r endpoint.Request, reply proto.Message, md *responseMetadata) error {
			return c.ask(ctx, r, reply, md, a)
		}, md)
		a.complete(answer(reply, md, err))
	})
	select {
	case <-a.handed:
	case <-ctx.Done(): // the caller abandons it, whatever the interceptor waits for
	}
	return a
}

// responseMetadata is that of the last reply.
type responseMetadata struct{ header, trailer metadata.MD }

// run runs the interceptor around one message, which invoke carries, as often as the interceptor wants.
func (c *intercepted) run(ctx context.Context, r *endpoint.Request, reply proto.Message, invoke func(context.Context, endpoint.Request, proto.Message, *responseMetadata) error, md *responseMetadata) error {
	if len(r.Metadata) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, r.Metadata)
	}
	return c.interceptor(endpoint.WithTarget(ctx, c.ref), "/"+r.Method, r.Message, reply, c.cc, func(ctx context.Context, _ string, req, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		again := *r
		again.Metadata, _ = metadata.FromOutgoingContext(ctx)
		if deadline, ok := ctx.Deadline(); ok && !r.Started.IsZero() {
			again.Deadline = deadline
		}
		message, ok := req.(proto.Message)
		into, too := reply.(proto.Message)
		if !ok || !too {
			return &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: "an interceptor has replaced a message by what is none", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted}
		}
		again.Message = message
		err := invoke(ctx, again, into, md)
		for _, o := range opts {
			switch o := o.(type) {
			case grpc.HeaderCallOption:
				*o.HeaderAddr = md.header
			case grpc.TrailerCallOption:
				*o.TrailerAddr = md.trailer
			}
		}
		return err
	})
}

// ask asks once, and waits for the answer.
func (c *intercepted) ask(ctx context.Context, r endpoint.Request, reply proto.Message, md *responseMetadata, a *interceptedAsk) error {
	done := make(endpoint.Outcome, 1)
	pending := c.Caller.Ask(ctx, r, done)
	a.handOver()
	got := done.Wait(ctx, pending)
	md.header, md.trailer = got.Header, got.Trailer
	if got.Err != nil {
		return got.Err
	}
	if err := proto.Unmarshal(got.Payload, reply); err != nil {
		return &endpoint.Error{Reason: endpoint.ReasonUndecodable, Text: "reply: " + err.Error(), Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted, Cause: err}
	}
	return nil
}

// answer is what the caller gets of what the interceptor has returned.
func answer(reply proto.Message, md *responseMetadata, err error) endpoint.Response {
	r := endpoint.Response{Header: md.header, Trailer: md.trailer}
	if err == nil {
		r.Payload, err = proto.Marshal(reply)
	}
	r.Err = endpoint.AsError(err)
	return r
}

// interceptedAsk is an ask inside an interceptor.
type interceptedAsk struct {
	done   endpoint.Completion
	cancel context.CancelFunc
	handed chan struct{} // closed when the message has been handed over, or there is an answer
	once   sync.Once
	over   sync.Once
}

func (a *interceptedAsk) handOver() { a.once.Do(func() { close(a.handed) }) }

func (a *interceptedAsk) complete(r endpoint.Response) {
	a.over.Do(func() { a.done.Complete(r) })
	a.handOver()
}

// Abandon implements endpoint.Pending.
func (a *interceptedAsk) Abandon(e *endpoint.Error) {
	a.cancel()
	a.complete(endpoint.Response{Err: e})
}
