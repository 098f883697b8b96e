package endpoint

import (
	"context"
	"reflect"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/latch"
)

// Method is one rpc of an endpoint, from the caller's side: a field of a generated Ref. It may be copied and used
// concurrently. The zero Method refuses every call with ErrInvalid.
//
// The metadata of metadata.NewOutgoingContext(ctx) travels with the message, the deadline of ctx with an ask. Of
// grpc.CallOption the verbs know what a Conn knows but for OnFinish, which is refused with ErrInvalid, as what the end of a send would be is not gRPC's to say. What is told of
// an answer (Header, Trailer, and Peer) is there when Wait or AskSync has returned the outcome; a send has a Peer only. A context that has ended already fails every verb at
// once, and nothing is handed over.
type Method[Req, Res any] struct {
	core *methodCore
}

// methodCore is what the verbs need, without type parameters. There may be one for each of many endpoints: what all of a type have in common is not here,
// and what each AskSync and Send needs comes first, in one cache line.
type methodCore struct {
	name     string // full name
	caller   Caller
	messages messageTypes         // nil of streaming calls
	inside   *interception        // what runs around messages, or instead; nil for nothing
	reply    func() proto.Message // a new one

	ref     *Ref         // nil if the Bound is zero
	resets  reflect.Type // of replies of stubs that are messages themselves; nil if none is known
	watches watches      // of the calls of Ask
	stub    bool         // of a Conn, or of streaming calls: knows more call options

	_ [16]byte // to two cache lines: the memory of such objects begins one
}

// messageTypes is what a method knows of the types of its messages.
type messageTypes interface {
	message(req any) proto.Message // of a *Req; a nil *Req is an empty message
	newRes() any                   // a *Res
	asProto(res any) proto.Message // of a *Res
}

// typesOf are the types of a generated method.
type typesOf[Req, Res any, PReq Message[Req], PRes Message[Res]] struct{}

func (typesOf[Req, Res, PReq, PRes]) message(req any) proto.Message { return PReq(req.(*Req)) }
func (typesOf[Req, Res, PReq, PRes]) newRes() any                   { return new(Res) }
func (typesOf[Req, Res, PReq, PRes]) asProto(res any) proto.Message { return PRes(res.(*Res)) }

// Verbs, as errors name them.
const (
	verbSend    = "send"
	verbTrySend = "try-send"
	verbAsk     = "ask"
	verbReceipt = "send with receipt"
	verbStream  = "stream"
)

// NewMethod returns the method with the full name "package.Service/Method" of the endpoint that b is bound to.
// Generated code calls it.
func NewMethod[Req, Res any, PReq Message[Req], PRes Message[Res]](b Bound, name string) Method[Req, Res] {
	core := &methodCore{
		name:     name,
		ref:      b.ref,
		caller:   b.caller,
		messages: typesOf[Req, Res, PReq, PRes]{},
		reply:    func() proto.Message { return PRes(new(Res)) },
	}
	if run, cc := interceptorOf(b.caller); run != nil {
		inner := newStubCore(b, name)
		inner.reply = core.reply
		core.inside = &interception{run: run, cc: cc, inner: inner}
	}
	return Method[Req, Res]{core: core}
}

// MethodFunc returns a Method whose verbs call f, for tests of code that uses a Ref. Send drops the reply and returns f's
// error; Ask runs f before it returns.
func MethodFunc[Req, Res any](f func(ctx context.Context, req *Req) (*Res, error)) Method[Req, Res] {
	return Method[Req, Res]{core: &methodCore{
		name: "fake",
		inside: &interception{fake: func(ctx context.Context, req any) (any, error) {
			res, err := f(ctx, req.(*Req))
			return res, err
		}},
	}}
}

// Send hands over req, one way. It returns when the message is accepted into the session (or, for a local endpoint, into
// the mailbox): from then on it is in order with all that this goroutine sends later. It waits for a session and for room
// in the endpoint's window under ctx, or for the Env's queue timeout (30 s unless set) if that is sooner; ctx does not
// matter afterwards. Acceptance is not delivery: what became of the message, SendWithReceipt and parley.WithUnacknowledged tell. The wait
// for a session is bounded by the connect timeout of each attempt, not by the queue timeout.
//
// Errors: ErrUnreachable, ErrEnvStopped, ErrSessionEnded, ErrNotHere, ErrOverloaded, ErrTooLarge, ErrUnencodable,
// ErrTimeout, ErrCancelled and, for local endpoints only, ErrEndpointNotFound and ErrEndpointStopped. All of them mean that the
// message has not been executed.
func (m Method[Req, Res]) Send(ctx context.Context, req *Req, opts ...grpc.CallOption) error {
	return m.core.send(ctx, verbSend, req, opts, false)
}

// TrySend is Send that never waits: where Send would, it fails with ErrOverloaded or ErrUnreachable.
func (m Method[Req, Res]) TrySend(ctx context.Context, req *Req, opts ...grpc.CallOption) error {
	return m.core.send(ctx, verbTrySend, req, opts, true)
}

// SendWithReceipt hands req over like Send, and returns a Receipt, which tells when the endpoint's mailbox has taken the message, or why it
// has not. That costs an answer for each message; it says nothing of the handler, for which there is Ask. The wait for it ends with ctx, or
// with the Env's ask timeout if ctx has no deadline; the message is not taken back by that. Like Ask it has one error path: everything comes
// out of Wait.
//
// Errors: those of Send; ErrEndpointNotFound, ErrEndpointStopped, ErrMethodNotFound and the like of the peer, not executed;
// ErrSessionEnded, which says whether the message may have been taken; ErrTimeout and ErrCancelled of ctx, may have executed.
func (m Method[Req, Res]) SendWithReceipt(ctx context.Context, req *Req, opts ...grpc.CallOption) *Receipt {
	r := &Receipt{send: awaited{core: m.core}}
	if fake := m.core.fake(); fake != nil {
		_, err := fake(ctx, req)
		r.settle(AsError(err))
		return r
	}
	r.send.begin(ctx, true, req, opts)
	return r
}

// Ask hands over req, as Send does, and returns a future for the reply. Every error comes out of the future. The ask ends when ctx
// does, with ErrTimeout or ErrCancelled, and the handler's context with it; without a deadline in ctx it ends after the Env's ask timeout (120 s
// unless set), which includes the wait for a session and for room. A message is asked once, never again by itself.
func (m Method[Req, Res]) Ask(ctx context.Context, req *Req, opts ...grpc.CallOption) *Future[Res] {
	f := newFuture[Res](m.core)
	if fake := m.core.fake(); fake != nil {
		f.settle(fake(ctx, req))
		return f
	}
	f.ask.begin(ctx, false, req, opts)
	return f
}

// AskSync is Ask and Wait in one. A serial endpoint that asks itself gets ErrSelfAsk at once, unless it has called
// Release.
func (m Method[Req, Res]) AskSync(ctx context.Context, req *Req, opts ...grpc.CallOption) (*Res, error) {
	v, err := m.core.askSync(ctx, req, opts)
	if err != nil {
		return nil, err
	}
	return v.(*Res), nil
}

// askSync returns the reply, a *Res.
func (c *methodCore) askSync(ctx context.Context, req any, opts []grpc.CallOption) (any, error) {
	if c != nil && c.caller != nil && c.caller.WaitsForItself(ctx) {
		return nil, c.describe(errSelfAsk(), verbAsk, time.Now())
	}
	if c != nil && c.inside != nil {
		return c.askSyncInside(ctx, req, opts)
	}
	a := c.acquire(nil)
	a.start(ctx, req, opts, false)
	select {
	case <-a.turn:
	case <-ctx.Done():
		a.abandon(ctx)
		<-a.turn
	}
	v, err := a.outcome()
	c.release(a)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// askSyncInside is askSync where there are interceptors, or a fake.
func (c *methodCore) askSyncInside(ctx context.Context, req any, opts []grpc.CallOption) (any, error) {
	if fake := c.inside.fake; fake != nil {
		return fake(ctx, req)
	}
	a := awaited{core: c}
	a.begin(ctx, false, req, opts)
	<-a.over.Done()
	v, err := a.call.outcome()
	if err != nil {
		return nil, err
	}
	return v, nil
}

// fake returns the function of MethodFunc; nil if c is not its.
func (c *methodCore) fake() func(ctx context.Context, req any) (any, error) {
	if c == nil || c.inside == nil {
		return nil
	}
	return c.inside.fake
}

// acquire returns a call that begins now and sets over at its end, or, if that is nil, sends to its turn.
func (c *methodCore) acquire(over *latch.Latch) *call {
	var a *call
	if c != nil && c.caller != nil {
		a, _ = c.caller.Calls().pool.Get().(*call)
	}
	if a == nil {
		a = new(call)
	}
	a.core, a.started, a.over = c, time.Now(), over
	if over == nil && a.turn == nil {
		a.turn = make(chan struct{}, 1)
	}
	return a
}

// release takes back a call whose outcome nobody looks at any more.
func (c *methodCore) release(a *call) {
	if c == nil || c.caller == nil || a.held {
		return
	}
	if spare, ok := a.pending.(Reusable); ok {
		spare.Reset()
		a.spare = spare
	}
	a.core, a.over, a.receipt, a.response, a.options, a.from, a.pending = nil, nil, false, Response{}, callOptions{}, nil, nil
	c.caller.Calls().pool.Put(a)
}

func (c *methodCore) send(ctx context.Context, verb string, req any, opts []grpc.CallOption, noWait bool) error {
	if c != nil && c.inside != nil {
		return c.sendInside(ctx, verb, req, opts, noWait)
	}
	var r Request
	var o callOptions
	err := c.request(ctx, req, opts, &r, &o)
	if err == nil {
		r.NoWait = noWait
		err = AsError(c.caller.Send(ctx, r))
	}
	if err == nil && o.wantsPeer() {
		o.fillPeer(c.caller.Carried())
	}
	var failed error
	if err != nil {
		failed = c.describe(err, verb, time.Time{})
	}
	o.more.finished(failed)
	return failed
}

// sendInside is send where there are interceptors, or a fake.
func (c *methodCore) sendInside(ctx context.Context, verb string, req any, opts []grpc.CallOption, noWait bool) error {
	if fake := c.inside.fake; fake != nil {
		_, err := fake(ctx, req)
		return err
	}
	if err := c.inside.send(ctx, verb, c.messages.message(req), c.reply(), opts, noWait); err != nil {
		return c.describe(err, verb, time.Time{})
	}
	return nil
}

// request fills in r, the Request of a verb with a message, and o.
func (c *methodCore) request(ctx context.Context, req any, opts []grpc.CallOption, r *Request, o *callOptions) *Error {
	if c != nil && c.messages != nil {
		r.Message, r.NewReply = c.messages.message(req), c.reply
	}
	return c.prepare(ctx, opts, r, o)
}

// prepare fills in what r, the Request of a verb, has beside its message, and o.
func (c *methodCore) prepare(ctx context.Context, opts []grpc.CallOption, r *Request, o *callOptions) *Error {
	if c == nil || c.caller == nil {
		return &Error{Reason: ReasonInvalid, Text: "this Ref is not bound: use the generated New, Lookup or Register function", Execution: NotExecuted}
	}
	if len(opts) > 0 { // few have any, and stub is in another cache line
		if err := o.take(opts, c.stub, r); err != nil { // first, because OnFinish is among them
			return err
		}
	}
	if ctx.Err() != nil {
		e := ContextError(ctx)
		e.Phase, e.Execution = PhaseQueued, NotExecuted
		return e
	}
	r.Method = c.name
	if out, ok := metadata.FromOutgoingContext(ctx); ok {
		r.Metadata = out
	}
	r.Deadline, _ = ctx.Deadline()
	if o.more == nil {
		return nil
	}
	return o.more.check(r)
}

// describe fills in what only the caller's side knows of an error. started is zero for a send: where it had to wait, the
// error has the time of that already, and elsewhere there is nothing to tell.
func (c *methodCore) describe(e *Error, verb string, started time.Time) *Error {
	d := *e // an error may be shared by many calls
	d.Verb = verb
	if !started.IsZero() {
		d.Elapsed = time.Since(started)
	}
	if c != nil {
		d.Method = c.name
		if c.ref != nil {
			d.Endpoint = c.ref.Name()
		}
		if c.caller != nil {
			d.Peer = c.caller.Peer()
		}
	}
	return &d
}
