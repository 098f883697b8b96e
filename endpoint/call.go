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

// call is an ask on its way, without type parameters. It is the Completion of the ask.
type call struct {
	core    *methodCore
	started time.Time
	done    chan struct{} // closed by Complete, or, if again is set, sent to
	verb    string        // "" for an ask
	again   bool          // the call is used again when it is over
	setting string        // what controls when the ask ends

	response Response // set by Complete
	md       replyMetadata

	// The place in the watch of the ask's context; set before the ask is handed over, nil if nothing watches it.
	watch      *watch
	prev, next *call

	mu      sync.Mutex
	pending Pending // set when the ask has been handed over
}

// What controls when an ask, or a wait, ends.
const (
	settingContext        = "the deadline of the context"
	settingAskTimeout     = "parley.WithAskTimeout"
	settingQueueTimeout   = "parley.WithQueueTimeout"
	settingConnectTimeout = "parley.WithConnectTimeout"
)

// replyMetadata is where the caller wants the reply's metadata.
type replyMetadata struct {
	header, trailer *metadata.MD
}

// start hands the ask over. watch says that the end of ctx is to end the ask; otherwise the caller sees to that. reuse is
// the Pending of an ask that is over, or nil.
func (c *call) start(ctx context.Context, req any, opts []grpc.CallOption, watch bool, reuse Pending) {
	c.started = time.Now()
	var r Request
	md, err := c.core.request(ctx, req, opts, &r)
	if err != nil {
		c.Complete(Response{Err: err})
		return
	}
	c.md = md
	watch = watch && ctx.Done() != nil
	if watch {
		c.core.watches.add(ctx, c)
	}
	r.Started, r.Reuse = c.started, reuse
	r.Receipt = c.verb == verbReceipt
	c.setting = settingAskTimeout
	if !r.Deadline.IsZero() {
		c.setting = settingContext
	}
	pending := c.core.caller.Ask(ctx, r, c)
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

// Complete implements Completion. The Env calls it.
func (c *call) Complete(r Response) {
	c.response = r
	if c.watch != nil {
		c.core.watches.remove(c)
	}
	if c.again {
		c.done <- struct{}{} // has room for the one completion that there is
		return
	}
	close(c.done)
}

// outcome returns the reply of a call that is done, a *Res, or its error.
func (c *call) outcome() (any, *Error) {
	r := &c.response
	if c.md.header != nil {
		*c.md.header = r.Header
	}
	if c.md.trailer != nil {
		*c.md.trailer = r.Trailer
	}
	if r.Err != nil {
		return nil, c.describe(r.Err)
	}
	if r.JSON {
		return nil, c.core.describe(&Error{Reason: ReasonUndecodable, Text: "the reply is JSON where protobuf was asked for", Phase: PhaseSent, Execution: MayHaveExecuted}, verbAsk, c.started)
	}
	res := c.core.newRes()
	if err := proto.Unmarshal(r.Payload, c.core.asProto(res)); err != nil {
		return nil, c.core.describe(&Error{Reason: ReasonUndecodable, Text: "reply: " + err.Error(), Phase: PhaseSent, Execution: MayHaveExecuted, Cause: err}, verbAsk, c.started)
	}
	return res, nil
}

// describe completes the error that ended the call.
func (c *call) describe(e *Error) *Error {
	verb := c.verb
	if verb == "" {
		verb = verbAsk
	}
	err := c.core.describe(e, verb, c.started)
	if err.Reason == ReasonTimeout && err.Setting == "" { // the receiver's clock was first; it does not know
		err.Setting = c.setting
	}
	return err
}

// ContextError returns the error of a call whose ctx has ended while it waited for its reply.
func ContextError(ctx context.Context) *Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &Error{Reason: ReasonTimeout, Phase: PhaseSent, Execution: MayHaveExecuted, Setting: settingContext, Cause: causeOf(ctx)}
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

func unsupportedOption(o grpc.CallOption) string {
	return fmt.Sprintf("call option %T is not supported by Parley's verbs", o)
}
