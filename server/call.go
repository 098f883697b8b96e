package server

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/asproto"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/mailbox"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/rpcstats"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// call is one message in a mailbox, and what its handler's context knows: an ask or a send, from a peer or from this Env,
// or a callback. Calls are used again; their contexts, which a handler may keep, are not.
type call struct {
	ctx      *callctx.Context
	batch    *callBatch // that it was made with; nil if it is not used again
	hosted   *hosted
	turn     mailbox.Turn // set when the handler runs
	callback *callback    // instead of a message
	method   *offered
	payload  []byte       // until it has been decoded
	parts    *wire.Parts  // the payload instead, if it is not in one piece yet
	frame    *wire.Buffer // what payload is a part of: that which brought it, or one of its own; nil if it is not
	encoding wire.Encoding
	size     uint32        // what it took of window: no message has 4 GiB
	arrived  time.Duration // when it came into the mailbox, since the server's base; 0 if nobody looked at the clock

	link    *link.Link // where it came from; nil for local ones
	id      uint64     // of a peer's ask; 0 for its send
	account *session.Account
	cost    session.Cost
	local   *localAsk      // of a local ask
	from    *peer.Peer     // who sent a local message
	window  *localWindow   // that it was charged to
	stream  *stream        // of a streaming call; nil for all else
	told    *rpcstats.Call // set when the handler runs; nil if nobody is told of the call
}

// callback is a callback of an endpoint on its way through the mailbox.
type callback struct {
	name string
	run  func(c *call)
}

// control returns a callback as a call.
func (h *hosted) control(name string, run func(c *call)) *call {
	c := &call{ctx: new(callctx.Context), hosted: h, callback: &callback{name, run}, arrived: h.server.clock(time.Now())}
	c.ctx.Init(h.server.life, time.Time{}, c)
	return c
}

// during returns the full name of the method, or the name of the callback.
func (c *call) during() string {
	if c.callback != nil {
		return c.callback.name
	}
	return c.method.Name()
}

// begin gives a message its context; parent knows who has sent it.
func (c *call) begin(parent context.Context, md metadata.MD, deadline time.Time) {
	if len(md) > 0 {
		parent = metadata.NewIncomingContext(parent, md)
	}
	c.ctx.Init(parent, deadline, c)
}

// handle is the handler of the mailboxes of all endpoints.
func handle(t mailbox.Turn, c *call) {
	c.turn = t
	returned := false
	defer func() {
		if v := recover(); v != nil || !returned {
			c.panicked(v)
		}
		c.told.End(nil, nil)
		c.end()
	}()
	if c.callback != nil {
		c.callback.run(c)
	} else {
		c.run()
	}
	returned = true
}

// run handles a message.
func (c *call) run() {
	c.take()
	c.tell()
	if e := c.hosted.notStarted(); e != nil {
		c.refuseTaken(e)
		return
	}
	if p := c.localPending(); p != nil {
		// Before the context is looked at: an ask that an abort does not find here finds its context ended.
		c.hosted.asks.add(p)
		defer c.hosted.asks.remove(p)
	}
	if c.isAsk() {
		if err := c.ctx.Err(); err != nil {
			c.refuseTaken(c.ended(err, endpoint.NotExecuted))
			return
		}
	}
	if c.stream != nil {
		c.runStream()
		return
	}
	res, err, undecodable := c.serve()
	switch {
	case undecodable != nil:
		c.refuseTaken(failure(endpoint.ReasonUndecodable, endpoint.NotExecuted, "request: %v", undecodable))
	case !c.isAsk() && err != nil:
		c.noteError(err)
		c.told.Fail(c.errorOf(err))
		c.hosted.onError(c, err)
	case !c.isAsk():
	case err != nil:
		c.noteError(err)
		c.answerError(c.errorOf(err))
	default:
		c.answer(res)
	}
}

// localPending returns what waits in this Env for the answer; nil for nothing.
func (c *call) localPending() endpoint.Pending {
	if c.local != nil {
		return c.local
	}
	if c.stream != nil {
		if l, ok := c.stream.answers.(*localStream); ok {
			return l
		}
	}
	return nil
}

// tell begins to tell of the message, if there is somebody to be told.
func (c *call) tell() {
	h := c.hosted.server.config.StatsHandler
	if h == nil {
		return
	}
	kind := rpcstats.Kind{Method: c.method.Name()}
	kind.ClientStreams, kind.ServerStreams = c.method.Streams()
	c.told = rpcstats.Server(c.ctx, h, kind)
	if c.stream != nil {
		c.stream.told = c.told
	}
}

// context returns what the handler gets.
func (c *call) context() context.Context {
	if c.told != nil {
		return c.told.Context()
	}
	return c.ctx
}

// serve runs the method's handler, inside the interceptors if there are any. undecodable says why it could not be run.
func (c *call) serve() (res proto.Message, err, undecodable error) {
	interceptor := c.hosted.server.config.Interceptor
	if interceptor != nil || c.method.IsStock() {
		return c.serveInside(interceptor)
	}
	req := c.method.NewRequest()
	if err := c.decode(req); err != nil {
		return nil, nil, err
	}
	res, err = c.method.Call(c.context(), req)
	return res, err, nil
}

// serveInside is serve where there are interceptors, or a stock handler, which decodes the request itself.
func (c *call) serveInside(interceptor grpc.UnaryServerInterceptor) (res proto.Message, err, undecodable error) {
	res, err = c.method.Serve(c.context(), c.hosted.impl, func(req proto.Message) error {
		undecodable = c.decode(req)
		return undecodable
	}, interceptor)
	return res, err, undecodable
}

// isAsk reports whether somebody waits for an answer.
func (c *call) isAsk() bool { return c.id != 0 || c.local != nil || c.stream != nil }

// Stream returns what a streaming handler answers by; nil for a unary call.
func (c *call) Stream() grpc.ServerStream {
	if c.stream == nil {
		return nil
	}
	return c.stream
}

// decode decodes the request, once.
func (c *call) decode(req proto.Message) error {
	size := len(c.payload)
	if c.parts != nil {
		size = c.parts.Len()
	}
	err := c.unmarshal(req, size)
	c.payload = nil
	if c.frame != nil { // a message that is never decoded leaves it to the garbage collector
		c.frame.Release()
		c.frame = nil // the handler may take long, and the buffer may be a large one
	}
	if err == nil {
		c.told.InPayload(req, size)
	}
	return err
}

// unmarshal decodes a request of size bytes.
func (c *call) unmarshal(req proto.Message, size int) error {
	if size >= bulk.Large {
		defer bulk.Begin(size)()
	}
	if parts := c.parts; parts != nil { // JSON has none
		c.parts = nil
		if c.method.IsStock() {
			proto.Reset(req)
		}
		return piecewise.Unmarshal(parts, req)
	}
	switch {
	case c.encoding == wire.JSON:
		return protojson.Unmarshal(c.payload, req)
	case c.method.IsStock(): // which brings its own request
		return proto.Unmarshal(c.payload, req)
	default:
		return asproto.UnmarshalNew(c.payload, req)
	}
}

// take gives back the room that the message had in its sender's window.
func (c *call) take() {
	if c.link != nil {
		c.link.Take(c.account, c.cost)
	} else {
		c.window.giveBack(int(c.size))
	}
}

// refuse ends a message that no handler is going to get.
func (c *call) refuse(e *endpoint.Error) {
	if c.callback != nil {
		return
	}
	c.take()
	c.refuseTaken(e)
	c.end()
}

func (c *call) refuseTaken(e *endpoint.Error) {
	c.payload, c.parts, c.frame = nil, nil, nil // the call is used again, and would keep what nobody has decoded
	c.noteError(e)
	if c.isAsk() {
		c.answerError(e)
		return
	}
	c.told.Fail(e)
	if e.Reason == endpoint.ReasonUndecodable {
		c.hosted.onError(c, e)
	}
	c.hosted.server.drop(c.hosted.name(), c.during(), e)
}

// goexit stands for the value of a panic where a handler ended its goroutine.
const goexit = "runtime.Goexit was called"

// panicked is told that a handler or callback panicked with v, or ended its goroutine.
func (c *call) panicked(v any) {
	if v == nil {
		v = goexit
	}
	if c.callback != nil && c.callback.name == onStart {
		return // it has said so itself
	}
	p := newPanic(v, c.during())
	c.noteError(p)
	if c.callback == nil {
		e := failure(endpoint.ReasonPanic, endpoint.MayHaveExecuted, "%v", v)
		if c.isAsk() {
			c.answerError(e)
		} else {
			c.told.Fail(e)
		}
	}
	c.hosted.onError(c, p)
}

func newPanic(v any, during string) *endpoint.PanicError {
	return &endpoint.PanicError{Value: v, Stack: debug.Stack(), During: during}
}

// errorOf returns what the asker gets of the error of a handler. A handler that only says that its context has ended is not
// the one to blame.
func (c *call) errorOf(err error) *endpoint.Error {
	if ctxErr := c.ctx.Err(); ctxErr != nil && endpoint.AsError(err).Code() == endpoint.AsError(ctxErr).Code() {
		return c.ended(ctxErr, endpoint.MayHaveExecuted)
	}
	return handlerError(err)
}

// ended returns why the context of an ask has ended, with the error err.
func (c *call) ended(err error, x endpoint.Execution) *endpoint.Error {
	var cause *endpoint.Error
	switch {
	case errors.As(context.Cause(c.ctx), &cause) && cause.Reason == endpoint.ReasonHandler: // with a status of its own, as that of an abort
		return cause.At(endpoint.PhaseSent, x)
	case cause != nil:
		return failure(cause.Reason, x, "%s", cause.Text)
	case err == context.DeadlineExceeded:
		return failure(endpoint.ReasonTimeout, x, "the deadline passed at the receiver")
	default:
		return failure(endpoint.ReasonCancelled, x, "the asker gave up")
	}
}

// alone reports whether c is a callback that runs alone, whatever the concurrency.
func (c *call) alone() bool {
	return c.callback != nil && (c.callback.name == onStart || c.callback.name == onStop)
}

// FullMethod returns what grpc.Method says in a handler.
func (c *call) FullMethod() string { return "/" + c.during() }

// ReleaseTurn lets the mailbox go on; see endpoint.Release.
func (c *call) ReleaseTurn() *endpoint.Error {
	switch {
	case c.alone():
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: "endpoint.Release in " + c.callback.name + ": OnStart and OnStop run alone"}
	case !c.turn.Release():
		return &endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "too many released handlers", Setting: "endpoint.MaxReleased"}
	default:
		return nil
	}
}

// Self returns the endpoint's Ref; see endpoint.Self.
func (c *call) Self() (endpoint.Ref, bool) {
	if c.hosted.is(ending) {
		return endpoint.Ref{}, false
	}
	return c.hosted.ref, true
}

// Arrived returns when the message came into the mailbox; see endpoint.Arrived.
func (c *call) Arrived() (time.Time, bool) {
	return c.hosted.server.base.Add(c.arrived), c.arrived != 0
}

// Sender returns where the message came from; see endpoint.Sender.
func (c *call) Sender() endpoint.Peer {
	if c.link != nil {
		return c.link.Peer()
	}
	if c.from != nil && c.from != here { // by the unary face: of no Env
		return endpoint.Peer{Remote: c.from.Addr.String()}
	}
	l := c.hosted.server.config.Link
	return endpoint.Peer{EnvID: l.EnvID, Address: c.hosted.ref.Address()}
}

// Bind binds a Ref; see endpoint.Bind.
func (c *call) Bind(r endpoint.Ref) (endpoint.Bound, error) { return c.hosted.server.config.Bind(r) }

// holdsUp reports whether ctx is that of a handler that holds up the mailbox of h.
func (h *hosted) holdsUp(ctx context.Context) bool {
	var holds bool
	callctx.Use(ctx, func(of any) {
		c := of.(*call)
		holds = c.hosted == h && (h.box.Concurrency() == 1 || c.alone()) && !c.turn.Released()
	})
	return holds
}
