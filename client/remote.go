package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// remote carries messages to one endpoint of another Env. It is one cache line, which is what a message needs of it.
type remote struct {
	client     *Client
	name       string
	last       atomic.Pointer[link.Link]     // the session that the last message took
	route      atomic.Pointer[session.Route] // and its route there; nil if there was none
	clientMode bool                          // the path names an Env, which is known without a look at it
	path       *path
}

// Peer implements endpoint.Caller.
func (r *remote) Peer() string {
	if !r.clientMode {
		return r.path.via
	}
	env := "Env " + r.path.envID
	if l := r.client.config.Link.Table.Get(r.path.envID); l != nil {
		return l.Peer().Remote + " (" + env + ")"
	}
	return env
}

// Carried implements endpoint.Caller. Of a client-mode Ref that is relayed it is the Env that relays.
func (r *remote) Carried() *grpcpeer.Peer {
	if l := r.last.Load(); l != nil {
		return l.Carrier()
	}
	return nil
}

// Go implements endpoint.Caller.
func (r *remote) Go(f func()) { r.client.config.Go(f) }

// Calls implements endpoint.Caller.
func (r *remote) Calls() *endpoint.Calls { return &r.client.calls }

// WaitsForItself implements endpoint.Caller: another Env's endpoint is never this one.
func (r *remote) WaitsForItself(context.Context) bool { return false }

// session returns the session that messages take, and the Env id that they are addressed to: it follows from the Ref
// alone, and for one in client mode from what the first message took.
// The ask timeout ends the wait for one at until, unless that is zero; waited says that there may have been such a wait.
func (r *remote) session(ctx context.Context, wait, noWait bool, until time.Time) (l *link.Link, envID string, waited bool, err *endpoint.Error) {
	if l := r.last.Load(); l != nil && l.Live() {
		return l, r.addressed(l), false, nil
	}
	if r.clientMode {
		l := r.client.taken(*r.path)
		if l == nil {
			if l = r.client.config.Link.Table.Get(r.path.envID); l != nil {
				l = r.client.take(*r.path, l)
			}
		}
		if l != nil {
			r.last.Store(l)
			return l, r.addressed(l), false, nil
		}
		if r.path.via == "" {
			return nil, "", false, connecting(&endpoint.Error{Reason: endpoint.ReasonNotHere, Text: "Env " + r.path.envID + " has no listener and no session with this Env, and its Ref names nobody who relays"}, time.Now())
		}
	}
	if !until.IsZero() {
		bounded, cancel := context.WithDeadlineCause(ctx, until, errAskTimeout)
		defer cancel()
		ctx = bounded
	}
	l, err = r.client.link(ctx, r.path.via, wait, noWait)
	if err != nil {
		if err.Cause == errAskTimeout {
			err.Setting = askTimeout
		}
		return nil, "", true, err
	}
	if r.clientMode {
		l = r.client.take(*r.path, l)
	}
	r.last.Store(l)
	return l, r.addressed(l), true, nil
}

// addressed returns the Env id that messages by l are addressed to: none if l ends there.
func (r *remote) addressed(l *link.Link) string {
	if !r.clientMode || l.Peer().EnvID == r.path.envID {
		return ""
	}
	return r.path.envID
}

// What errors name that the Env's timeouts make.
const (
	askTimeout   = "parley.WithAskTimeout"
	queueTimeout = "parley.WithQueueTimeout"
)

// errAskTimeout is the cause of contexts that the Env's ask timeout ends.
var errAskTimeout = errors.New("the ask timeout is over")

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
	a.ask.Done, a.done, a.ask.Shares = a, done, q.Shares
	if err := r.post(ctx, &q, a); err != nil {
		a.Complete(endpoint.Response{Err: err})
	}
	return a
}

// remoteAsk is an ask that is pending in a session.
type remoteAsk struct {
	ask  session.Ask
	done endpoint.Completion
	link atomic.Pointer[link.Link] // nil if there is none, or the ask is over
}

// Complete implements endpoint.Completion.
func (a *remoteAsk) Complete(r endpoint.Response) {
	done := a.done
	a.done = nil
	a.link.Store(nil)
	done.Complete(r)
}

// Reset implements endpoint.Reusable.
func (a *remoteAsk) Reset() { a.ask = session.Ask{Room: a.ask.Room} }

// Abandon implements endpoint.Pending.
func (a *remoteAsk) Abandon(e *endpoint.Error) {
	if l := a.link.Load(); l != nil {
		l.Abandon(&a.ask, e)
	}
}

// post hands a message to its session; a is nil for a send. Every caller has it on its stack, so what few calls need is done elsewhere, and p is set
// field by field: a literal would be made beside it first.
func (r *remote) post(ctx context.Context, q *endpoint.Request, a *remoteAsk) *endpoint.Error {
	var expires time.Time // by the ask timeout; zero if that does not apply
	if a != nil && q.Deadline.IsZero() {
		expires = q.Started.Add(r.client.config.AskTimeout)
	}
	l, envID, waited, err := r.session(ctx, q.WaitForReady, q.NoWait, expires)
	if err != nil {
		return err
	}
	if q.Credentials != nil {
		if err := r.authorize(ctx, q, l, envID, expires); err != nil {
			return err
		}
		waited = true // perhaps they have been asked far away
	}
	var p session.Posting
	p.Target.EnvID, p.Target.Endpoint, p.Target.Method = envID, r.name, q.Method
	p.Encoding = wire.Proto
	if len(q.Metadata) > 0 {
		if p.Metadata, err = encodeMetadata(q.Metadata); err != nil {
			return err
		}
	}
	buffer := payload.NewBuffer()
	defer buffer.Free()
	var encodeErr error
	if p.Payload, p.Memory, p.Parts, encodeErr = buffer.Marshal(q.Message, q.NoWait); encodeErr != nil {
		return payload.Unencodable(encodeErr)
	}
	o := link.PostOptions{NoWait: q.NoWait, QueueTimeout: r.client.config.QueueTimeout}
	if a == nil {
		return r.handOver(ctx, l, &p, o)
	}
	p.Started, p.Deadline = q.Started, q.Deadline
	setting := "the deadline of the context"
	if !expires.IsZero() {
		p.Deadline, setting = expires, askTimeout
	}
	if waited {
		p.Started = time.Now()
	}
	remaining := p.Deadline.Sub(p.Started)
	if remaining <= 0 {
		return expired(setting)
	}
	a.link.Store(l)
	a.ask.Expires = expires
	p.Ask = &a.ask
	if p.Receipt = q.Receipt; p.Receipt { // the peer is not told how long somebody waits for it
		p.Started, p.Deadline = time.Time{}, time.Time{}
	}
	if expires.IsZero() || remaining >= o.QueueTimeout {
		return r.handOver(ctx, l, &p, o)
	}
	o.QueueTimeout = remaining
	err = r.handOver(ctx, l, &p, o)
	if err != nil && err.Setting == queueTimeout { // which the ask timeout has shortened
		return expired(setting)
	}
	return err
}

func encodeMetadata(md metadata.MD) ([]wire.Metadata, *endpoint.Error) {
	encoded, err := wire.FromMD(md)
	if err != nil {
		return nil, &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: err.Error(), Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Cause: err}
	}
	return encoded, nil
}

// handOver hands p to the session l, by the route of the message before if it takes the same.
func (r *remote) handOver(ctx context.Context, l *link.Link, p *session.Posting, o link.PostOptions) *endpoint.Error {
	route := r.route.Load()
	p.Route = route
	err := l.Post(ctx, p, o)
	if p.Route != route {
		r.route.Store(p.Route)
	}
	return err
}

// authorize has the credentials of q say what they have to, of a call that takes the session l and is addressed to envID. It ends at until, unless that is zero.
func (r *remote) authorize(ctx context.Context, q *endpoint.Request, l *link.Link, envID string, until time.Time) *endpoint.Error {
	if !until.IsZero() {
		bounded, cancel := context.WithDeadlineCause(ctx, until, errAskTimeout)
		defer cancel()
		ctx = bounded
	}
	authority := r.path.via
	if r.clientMode && envID == "" { // the session is with that Env, and nobody need have dialled
		authority = l.Carrier().Addr.String()
	}
	return q.Authorize(ctx, l.Carrier(), authority)
}

// expired returns the error of an ask whose time was over before it had a place; setting says what controls that.
func expired(setting string) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonTimeout, Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Setting: setting}
}
