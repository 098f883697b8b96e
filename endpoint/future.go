package endpoint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Future is the reply to an ask, which may not have come yet. Its methods may be called concurrently.
type Future[Res any] struct {
	call
}

// call is a Future without its type parameter.
type call struct {
	core    *methodCore
	verb    string
	started time.Time
	done    chan struct{} // closed by Complete

	response Response // set before done is closed
	md       replyMetadata
	unwatch  func() bool // stops the watch of the ask's context; nil if there is none; set before the ask is handed over

	mu      sync.Mutex
	pending Pending // set when the ask has been handed over

	decode  sync.Once
	reply   any    // *Res; set by decode
	err     *Error // set by decode
	fakeErr error  // a fake's error, returned as it is; set by decode
}

// replyMetadata is where the caller wants the reply's metadata.
type replyMetadata struct {
	header, trailer *metadata.MD
}

func unsupportedOption(o grpc.CallOption) string {
	return fmt.Sprintf("call option %T is not supported by Parley's verbs", o)
}

// start hands the ask over. watch says that the end of ctx is to end the ask; otherwise the caller sees to that.
func (c *call) start(ctx context.Context, req any, opts []grpc.CallOption, watch bool) {
	if c.core != nil && c.core.fake != nil {
		c.decode.Do(func() { c.reply, c.fakeErr = c.core.fake(ctx, req) })
		close(c.done)
		return
	}
	r, md, err := c.core.request(ctx, req, opts)
	if err != nil {
		c.Complete(Response{Err: err})
		return
	}
	c.md = md
	watch = watch && ctx.Done() != nil
	if watch {
		c.unwatch = context.AfterFunc(ctx, func() { c.abandon(ctx) })
	}
	pending := c.core.caller.Ask(ctx, &r, c)
	c.mu.Lock()
	c.pending = pending
	c.mu.Unlock()
	if watch && ctx.Err() != nil {
		c.abandon(ctx) // the watch may have come before the line above
	}
}

// abandon ends the ask because ctx has ended.
func (c *call) abandon(ctx context.Context) {
	c.mu.Lock()
	pending := c.pending
	c.mu.Unlock()
	if pending != nil {
		pending.Abandon(ContextError(ctx))
	}
}

// ContextError returns the error of a call whose ctx has ended while it waited for its reply.
func ContextError(ctx context.Context) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Reason: ReasonTimeout, Phase: PhaseSent, Execution: MayHaveExecuted, Setting: "the deadline of the context", Cause: causeOf(ctx)}
	}
	return &Error{Reason: ReasonCancelled, Phase: PhaseSent, Execution: MayHaveExecuted, Cause: causeOf(ctx)}
}

// causeOf returns the cause that was given to a context, or nil if there is none beside its Err.
func causeOf(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return cause
	}
	return nil
}

// Complete implements Completion. The Env calls it.
func (c *call) Complete(r Response) {
	c.response = r
	if c.unwatch != nil {
		c.unwatch()
	}
	close(c.done)
}

// outcome returns the outcome of a call that is done.
func (c *call) outcome() (any, error) {
	c.decode.Do(func() {
		r := &c.response
		if c.md.header != nil {
			*c.md.header = r.Header
		}
		if c.md.trailer != nil {
			*c.md.trailer = r.Trailer
		}
		if r.Err != nil {
			c.err = c.core.describe(r.Err, c.verb, c.started)
			return
		}
		res := c.core.newRes()
		if err := proto.Unmarshal(r.Payload, c.core.asProto(res)); err != nil {
			c.err = c.core.describe(&Error{Reason: ReasonUndecodable, Text: "reply: " + err.Error(), Phase: PhaseSent, Execution: MayHaveExecuted, Cause: err}, c.verb, c.started)
			return
		}
		r.Payload = nil
		c.reply = res
	})
	if c.fakeErr != nil {
		return nil, c.fakeErr
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.reply, nil
}

func (f *Future[Res]) result() (*Res, error) {
	v, err := f.outcome()
	if err != nil {
		return nil, err
	}
	return v.(*Res), nil
}

// Done returns a channel that is closed when the outcome is there and Wait does not wait any more.
func (f *Future[Res]) Done() <-chan struct{} { return f.done }

// Wait waits for the reply, until ctx ends. A reply that is there is returned even if ctx has ended. The end of this ctx
// ends the wait only; the ask itself goes on until the context that it was made with ends. Every call of Wait gives the same reply or error.
//
// Errors: those of Send; ErrTimeout and ErrCancelled by either context; ErrEndpointNotFound, ErrEndpointStopped,
// ErrMethodNotFound, ErrPanic, ErrUndecodable, ErrSelfAsk; and whatever the handler answered, whose status
// status.FromError gives.
func (f *Future[Res]) Wait(ctx context.Context) (*Res, error) {
	select {
	case <-f.done:
		return f.result()
	default:
	}
	if f.core.caller.WaitsForItself(ctx) {
		return nil, f.core.describe(errSelfAsk(), f.verb, f.started)
	}
	select {
	case <-f.done:
		return f.result()
	case <-ctx.Done():
		return nil, f.core.describe(ContextError(ctx), f.verb, f.started)
	}
}

// OnComplete calls fn with the outcome, once, on a goroutine of its own, when it is there. The Env waits for fn when it
// shuts down.
func (f *Future[Res]) OnComplete(fn func(*Res, error)) {
	run := func() {
		<-f.done // every ask completes: at the latest by its deadline, or by the end of the Env
		fn(f.result())
	}
	if f.core == nil || f.core.caller == nil {
		run()
		return
	}
	f.core.caller.Go(run)
}
