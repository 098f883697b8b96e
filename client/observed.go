package client

import (
	"context"

	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/rpcstats"
)

// Observe returns c, whose messages go to ref, with h told of every call. Of a send, and of what precedes the answer of an ask, it is told on the goroutine of
// the caller; of the answer on one of the ask's own, so that it never holds up a session.
func Observe(c endpoint.Caller, ref endpoint.Ref, h stats.Handler) endpoint.Caller {
	if h == nil {
		return c
	}
	return &observed{Caller: c, ref: ref, handler: h}
}

type observed struct {
	endpoint.Caller
	ref     endpoint.Ref
	handler stats.Handler
}

// StatsHandler implements endpoint.Caller.
func (c *observed) StatsHandler() stats.Handler { return c.handler }

// begin begins a unary call.
func (c *observed) begin(ctx context.Context, r *endpoint.Request) *rpcstats.Call {
	call, md := rpcstats.Client(endpoint.WithTarget(ctx, c.ref), c.handler, rpcstats.Kind{Method: r.Method, FailFast: !r.WaitForReady}, r.Metadata)
	r.Metadata = md
	return call
}

// sent says that the message was handed over.
func (c *observed) sent(call *rpcstats.Call, r *endpoint.Request) {
	call.Sent(r.Metadata, c.Caller.Carried())
	call.OutPayload(r.Message, proto.Size(r.Message))
}

// Send implements endpoint.Caller. The call ends when the message is accepted.
func (c *observed) Send(ctx context.Context, r endpoint.Request) error {
	call := c.begin(ctx, &r)
	err := c.Caller.Send(call.Context(), r)
	if err == nil {
		c.sent(call, &r)
	}
	call.End(err, nil)
	return err
}

// Ask implements endpoint.Caller. The call ends with the answer, or the receipt.
func (c *observed) Ask(ctx context.Context, r endpoint.Request, done endpoint.Completion) endpoint.Pending {
	call := c.begin(ctx, &r)
	outcome := make(endpoint.Outcome, 1)
	pending := c.Caller.Ask(call.Context(), r, outcome)
	select {
	case got := <-outcome: // as a rule it could not be handed over
		if got.Err == nil || got.Err.Phase == endpoint.PhaseSent {
			c.sent(call, &r)
		}
		answered(call, &r, &got)
		done.Complete(got)
	default:
		c.sent(call, &r)
		r.Message = nil // it is the caller's again
		c.Go(func() {
			got := <-outcome
			answered(call, &r, &got)
			done.Complete(got)
		})
	}
	return pending
}

// answered says what became of an ask.
func answered(call *rpcstats.Call, r *endpoint.Request, got *endpoint.Response) {
	if r.Receipt || got.Err != nil && !got.Err.Remote && (got.Err.Reason != endpoint.ReasonHandler || got.Err.Phase != endpoint.PhaseSent) {
		call.End(errorOf(got.Err), nil)
		return
	}
	if got.Err == nil || len(got.Header) > 0 {
		call.InHeader(got.Header)
	}
	if got.Err == nil && r.NewReply != nil {
		reply := r.NewReply()
		if err := unmarshal(got, reply); err != nil {
			call.Fail(&endpoint.Error{Reason: endpoint.ReasonUndecodable, Text: "reply: " + err.Error(), Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted, Cause: err})
		} else {
			call.InPayload(reply, len(got.Payload))
		}
	}
	call.InTrailer(got.Trailer)
	call.End(errorOf(got.Err), got.Trailer)
}

func unmarshal(got *endpoint.Response, reply proto.Message) error {
	defer bulk.Begin(got.Len())()
	return proto.Unmarshal(got.Encoded(), reply)
}

// errorOf returns e as an error, which is nil if e is.
func errorOf(e *endpoint.Error) error {
	if e == nil {
		return nil
	}
	return e
}
