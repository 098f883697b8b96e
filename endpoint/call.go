package endpoint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/asproto"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/latch"
	"github.com/parley-rpc/parley/internal/piecewise"
)

// call is an ask on its way, without type parameters. It is the Completion of the ask. It is used again when whoever waits for it has its outcome.
type call struct {
	core    *methodCore
	started time.Time
	over    *latch.Latch  // set by Complete; nil for a synchronous ask
	turn    chan struct{} // sent to by Complete, if there is no latch; nil if there was no synchronous ask yet
	receipt bool          // it is a send, and its receipt is waited for
	limit   limit         // what controls when the ask ends
	held    bool          // somebody else may have it, too, so that it is not used again

	response Response // set by Complete
	result   any      // the reply, a *Res, where an interceptor has had it; nil if it is still encoded
	options  callOptions
	from     *peer.Peer // who is at the other end, if the options want to know

	// The place in the watch of the ask's context; set before the ask is handed over, nil if nothing watches it.
	watch      *watch
	prev, next *call

	mu      sync.Mutex
	pending Pending  // set when the ask has been handed over
	spare   Reusable // of an earlier ask; nil if there is none
}

// What controls when an ask, or a wait, ends.
const (
	settingContext        = "the deadline of the context"
	settingAskTimeout     = "parley.WithAskTimeout"
	settingQueueTimeout   = "parley.WithQueueTimeout"
	settingConnectTimeout = "parley.WithConnectTimeout"
)

// limit is what controls when an ask ends, in less room than a setting takes in each future.
type limit uint8

const (
	limitUnknown limit = iota
	limitContext
	limitAskTimeout
)

func (l limit) setting() string {
	return [...]string{limitUnknown: "", limitContext: settingContext, limitAskTimeout: settingAskTimeout}[l]
}

// start hands the ask over. watch says that the end of ctx is to end the ask; otherwise the caller sees to that.
func (c *call) start(ctx context.Context, req any, opts []grpc.CallOption, watch bool) {
	var r Request
	if err := c.core.request(ctx, req, opts, &r, &c.options); err != nil {
		c.Complete(Response{Err: err})
		return
	}
	watch = watch && ctx.Done() != nil
	if watch {
		c.core.watches.add(ctx, c)
	}
	r.Started, r.Reuse = c.started, c.spare
	r.Receipt, r.Shares = c.receipt, c.over == nil
	c.limit = limitAskTimeout
	if !r.Deadline.IsZero() {
		c.limit = limitContext
	}
	pending := c.core.caller.Ask(ctx, r, c)
	if c.options.wantsPeer() {
		c.from = c.core.caller.Carried()
	}
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

// Complete implements Completion. The Env calls it. Afterwards c is of whoever waits for it.
func (c *call) Complete(r Response) {
	c.response = r
	if c.watch != nil {
		c.core.watches.remove(c)
	}
	if c.over != nil {
		c.over.Set()
		return
	}
	c.turn <- struct{}{} // has room for the one completion that there is
}

// outcome returns the reply of a call that is done, a *Res, or its error.
func (c *call) outcome() (any, *Error) {
	if err := c.failure(); err != nil {
		return nil, err
	}
	if c.result != nil {
		return c.result, nil
	}
	res := c.core.messages.newRes()
	if err := c.decode(c.core.messages.asProto(res), asproto.UnmarshalNew); err != nil {
		return nil, err
	}
	return res, nil
}

// failure returns the error of a call that is done, or nil, and gives the caller what else it wants to know of the answer.
func (c *call) failure() *Error {
	r := &c.response
	c.options.fill(r.Header, r.Trailer)
	if r.Err == nil || r.Err.Phase == PhaseSent {
		c.options.fillPeer(c.from)
	}
	switch {
	case r.Err != nil:
		return c.describe(r.Err)
	case r.JSON:
		return c.replyError(ReasonUndecodable, "the reply is JSON where protobuf was asked for", nil)
	default:
		return nil
	}
}

// decode decodes the reply of a call that is done, and has not failed, into res, by unmarshal.
func (c *call) decode(res proto.Message, unmarshal func([]byte, proto.Message) error) *Error {
	if m := c.response.Shared; m != nil {
		defer m.Release()
	}
	if o := c.options.more; o != nil && o.maxRecv > 0 && c.response.Len() > o.maxRecv {
		return c.replyError(ReasonTooLarge, fmt.Sprintf("reply: %d bytes, where the call allows %d", c.response.Len(), o.maxRecv), nil)
	}
	if size := c.response.Len(); size >= bulk.Large {
		defer bulk.Begin(size)()
	}
	var err error
	if parts := c.response.Parts; parts != nil {
		c.response.Parts = nil
		proto.Reset(res)
		err = piecewise.Unmarshal(parts, res)
	} else {
		err = unmarshal(c.response.Payload, res)
	}
	if err != nil {
		return c.replyError(ReasonUndecodable, "reply: "+err.Error(), err)
	}
	return nil
}

// replyError returns the error of a call whose reply is of no use. It is not inlined, because the error would be on the stack of every ask.
//
//go:noinline
func (c *call) replyError(r Reason, text string, cause error) *Error {
	return c.core.describe(&Error{Reason: r, Text: text, Phase: PhaseSent, Execution: MayHaveExecuted, Cause: cause}, verbAsk, c.started)
}

// describe completes the error that ended the call.
func (c *call) describe(e *Error) *Error {
	verb := verbAsk
	if c.receipt {
		verb = verbReceipt
	}
	err := c.core.describe(e, verb, c.started)
	if err.Reason == ReasonTimeout && err.Setting == "" { // the receiver's clock was first; it does not know
		err.Setting = c.limit.setting()
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
