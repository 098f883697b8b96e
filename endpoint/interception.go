package endpoint

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/asproto"
)

// interception is what runs around the messages of a method: client interceptors, as in grpc-go. They get the call options of the caller, and those
// that they hand on are the ones that count, at each attempt. Or it is what runs instead, in tests of programs.
type interception struct {
	fake func(ctx context.Context, req any) (any, error) // of MethodFunc, and then all else is nil

	run   grpc.UnaryClientInterceptor
	cc    *grpc.ClientConn
	inner *methodCore // what carries an attempt, as for a stub
}

// interceptorOf returns what runs around messages that c, which may be nil, carries, and the connection that it is shown; nil for nothing.
func interceptorOf(c Caller) (grpc.UnaryClientInterceptor, *grpc.ClientConn) {
	if c == nil {
		return nil, nil
	}
	return c.UnaryInterceptor()
}

// interceptionOf returns what runs around the messages that inner carries; nil for nothing.
func interceptionOf(inner *methodCore) *interception {
	run, cc := interceptorOf(inner.caller)
	if run == nil {
		return nil
	}
	return &interception{run: run, cc: cc, inner: inner}
}

// around runs the interceptors around attempt.
func (i *interception) around(ctx context.Context, req, reply any, opts []grpc.CallOption, attempt func(ctx context.Context, req, reply any, opts []grpc.CallOption) error) error {
	full := "/" + i.inner.name
	return i.run(WithTarget(ctx, *i.inner.ref), full, req, reply, i.cc, func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		if method != full {
			return errRenamed(full, method)
		}
		return attempt(ctx, req, reply, opts)
	}, opts...)
}

// errRenamed is the error of a call whose method an interceptor has changed: that another one runs than the caller has asked for is not supported, and it must
// not be the old one silently.
func errRenamed(from, to string) *Error {
	return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("an interceptor has changed the method %s to %.200q", from, to), Phase: PhaseQueued, Execution: NotExecuted}
}

// send sends inside the interceptors, for a verb. The reply that they see stays empty.
func (i *interception) send(ctx context.Context, verb string, req, reply proto.Message, opts []grpc.CallOption, noWait bool) *Error {
	if err := new(callOptions).take(opts, false, new(Request)); err != nil {
		return err
	}
	return AsError(i.around(ctx, req, reply, opts, func(ctx context.Context, req, _ any, opts []grpc.CallOption) error {
		if _, ok := asproto.Message(req); !ok {
			return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("%T must be a protobuf message", req), Execution: NotExecuted}
		}
		return i.inner.send(ctx, verb, req, opts, noWait)
	}))
}

// startInside hands the ask over inside the interceptors, which run on a goroutine of their own. It returns when the message has been handed over for the first
// time, so that order is kept, when the interceptors have returned, or when ctx ends, which ends the ask whatever they wait for.
func (c *call) startInside(ctx context.Context, req any, opts []grpc.CallOption) {
	if err := c.options.take(opts, false, new(Request)); err != nil {
		c.Complete(Response{Err: err})
		return
	}
	var once sync.Once
	settle := func(reply any, from *peer.Peer, r Response) {
		once.Do(func() {
			c.result, c.from = reply, from
			c.Complete(r)
		})
	}
	stop := context.AfterFunc(ctx, func() { settle(nil, nil, Response{Err: ContextError(ctx)}) })
	handed := make(chan struct{})
	handOver := sync.OnceFunc(func() { close(handed) })
	message := proto.Clone(c.core.messages.message(req)) // an interceptor may try again when the caller goes on
	c.core.caller.Go(func() {
		defer handOver()
		var r Response
		var from peer.Peer
		res := c.core.messages.newRes()
		err := c.core.inside.around(ctx, message, c.core.messages.asProto(res), ownVariables(opts, &r, &from), func(ctx context.Context, req, reply any, opts []grpc.CallOption) error {
			return errorOf(c.core.inside.inner.attempt(ctx, c.receipt, req, reply, opts, handOver))
		})
		stop()
		r.Err = AsError(err)
		settle(res, &from, r)
	})
	select {
	case <-handed:
	case <-ctx.Done():
	}
}

// ownVariables returns opts with others in place of the variables of the caller, who may look at those when it does not wait any more, while an interceptor
// still tries again.
func ownVariables(opts []grpc.CallOption, r *Response, from *peer.Peer) []grpc.CallOption {
	own := make([]grpc.CallOption, len(opts))
	for i, opt := range opts {
		switch opt.(type) {
		case grpc.HeaderCallOption:
			opt = grpc.Header(&r.Header)
		case grpc.TrailerCallOption:
			opt = grpc.Trailer(&r.Trailer)
		case grpc.PeerCallOption:
			opt = grpc.Peer(from)
		}
		own[i] = opt
	}
	return own
}

// errorOf returns e as an error, which is nil if e is.
func errorOf(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
