package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// remote carries messages to one endpoint of another Env.
type remote struct {
	client  *Client
	name    string
	address string // of the Env, or of the one that relays; "" if there is neither
	envID   string // in client mode

	last atomic.Pointer[link.Link] // the session that the last message to address took
}

// Peer implements endpoint.Caller.
func (r *remote) Peer() string {
	if r.envID != "" {
		if l := r.client.config.Link.Table.Get(r.envID); l != nil {
			return l.Peer().Remote + " (Env " + r.envID + ")"
		}
		return "Env " + r.envID
	}
	return r.address
}

// Go implements endpoint.Caller.
func (r *remote) Go(f func()) { r.client.config.Go(f) }

// WaitsForItself implements endpoint.Caller: another Env's endpoint is never this one.
func (r *remote) WaitsForItself(context.Context) bool { return false }

// session returns the session that messages take, and the Env id that they are addressed to: it follows from the Ref alone.
func (r *remote) session(ctx context.Context, wait, noWait bool) (*link.Link, string, *endpoint.Error) {
	if r.envID == "" {
		if r.ready() {
			return r.last.Load(), "", nil
		}
		l, err := r.client.link(ctx, r.address, wait, noWait)
		if err == nil {
			r.last.Store(l)
		}
		return l, "", err
	}
	if l := r.client.config.Link.Table.Get(r.envID); l != nil {
		return l, "", nil
	}
	if r.address == "" {
		return nil, "", connecting(&endpoint.Error{Reason: endpoint.ReasonNotHere, Text: "Env " + r.envID + " has no listener and no session with this Env, and its Ref names nobody who relays"}, time.Now())
	}
	l, err := r.client.link(ctx, r.address, wait, noWait)
	return l, r.envID, err
}

// Send implements endpoint.Caller.
func (r *remote) Send(ctx context.Context, q endpoint.Request) error {
	if err := r.post(ctx, &q, nil); err != nil {
		return err
	}
	return nil
}

// Ask implements endpoint.Caller.
func (r *remote) Ask(ctx context.Context, q endpoint.Request, done endpoint.Completion) endpoint.Pending {
	a, ok := q.Reuse.(*remoteAsk)
	if !ok {
		a = new(remoteAsk)
	}
	*a = remoteAsk{ask: session.Ask{Done: done}}
	if err := r.post(ctx, &q, a); err != nil {
		done.Complete(endpoint.Response{Err: err})
	}
	return a
}

// remoteAsk is an ask that is pending in a session.
type remoteAsk struct {
	ask  session.Ask
	link *link.Link // nil if there was none
}

// Abandon implements endpoint.Pending.
func (a *remoteAsk) Abandon(e *endpoint.Error) {
	if a.link != nil {
		a.link.Abandon(&a.ask, e)
	}
}

// post hands a message to its session; a is nil for a send.
func (r *remote) post(ctx context.Context, q *endpoint.Request, a *remoteAsk) *endpoint.Error {
	if a != nil && q.Deadline.IsZero() && !r.ready() { // the default timeout covers the wait for a session
		bounded, cancel := context.WithDeadline(ctx, q.Started.Add(r.client.config.AskTimeout))
		defer cancel()
		err := r.postWithin(bounded, q, a)
		if err != nil && err.Reason == endpoint.ReasonTimeout && ctx.Err() == nil {
			err.Setting = "parley.WithAskTimeout"
		}
		return err
	}
	return r.postWithin(ctx, q, a)
}

// ready reports whether the session that the last message took lives.
func (r *remote) ready() bool {
	l := r.last.Load()
	return l != nil && l.Live()
}

// postWithin is post, bounded by ctx.
func (r *remote) postWithin(ctx context.Context, q *endpoint.Request, a *remoteAsk) *endpoint.Error {
	l, envID, err := r.session(ctx, q.WaitForReady, q.NoWait)
	if err != nil {
		return err
	}
	p := session.Posting{Target: wire.Target{EnvID: envID, Endpoint: r.name, Method: q.Method}, Encoding: wire.Proto}
	if len(q.Metadata) > 0 {
		md, err := wire.FromMD(q.Metadata)
		if err != nil {
			return &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: err.Error(), Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Cause: err}
		}
		p.Metadata = md
	}
	buffer := payload.NewBuffer()
	defer buffer.Free()
	encoded, encodeErr := buffer.Marshal(q.Message)
	if encodeErr != nil {
		return &endpoint.Error{Reason: endpoint.ReasonUnencodable, Text: "request: " + encodeErr.Error(), Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Cause: encodeErr}
	}
	p.Payload = encoded
	if a != nil {
		a.link = l
		p.Ask = &a.ask
		remaining := r.client.config.AskTimeout
		if q.Deadline.IsZero() {
			a.ask.Expires = q.Started.Add(remaining)
		} else if remaining = q.Deadline.Sub(q.Started); remaining <= 0 {
			return expired()
		}
		p.RemainingMicros = uint64(remaining/time.Microsecond) + 1
	}
	return l.Post(ctx, &p, link.PostOptions{NoWait: q.NoWait, QueueTimeout: r.client.config.QueueTimeout})
}

func expired() *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonTimeout, Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Setting: "the deadline of the context"}
}
