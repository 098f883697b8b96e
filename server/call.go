package server

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/mailbox"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// call is one message in a mailbox, and what its handler's context knows: an ask or a send, from a peer or from this Env,
// or a callback.
type call struct {
	ctx    callctx.Context
	hosted *hosted
	turn   mailbox.Turn // set when the handler runs

	callback func(c *call) // instead of a message
	during   string        // the callback's name, or the full method

	method   *endpoint.ServiceMethod
	id       uint64 // of a peer's ask; 0 for its send
	payload  []byte
	encoding wire.Encoding

	link    *link.Link // where it came from; nil for local ones
	account *session.Account
	cost    session.Cost
	local   *localAsk // of a local ask
	size    int       // what it took of the local window

	mu              sync.Mutex // guards what follows
	header, trailer metadata.MD
}

// control returns a callback as a call.
func (h *hosted) control(during string, f func(c *call)) *call {
	c := &call{hosted: h, callback: f, during: during}
	c.ctx.Init(h.server.life, time.Time{}, c)
	return c
}

// begin gives a message its context.
func (c *call) begin(md metadata.MD, deadline time.Time) {
	parent := c.hosted.server.life
	if len(md) > 0 {
		parent = metadata.NewIncomingContext(parent, md)
	}
	parent = grpc.NewContextWithServerTransportStream(parent, transportStream{c})
	c.ctx.Init(parent, deadline, c)
}

// handle is the mailbox's handler.
func (h *hosted) handle(t mailbox.Turn, c *call) {
	c.turn = t
	returned := false
	defer func() {
		if v := recover(); v != nil || !returned {
			c.panicked(v)
		}
		c.ctx.Cancel(context.Canceled, nil)
	}()
	if c.callback != nil {
		c.callback(c)
	} else {
		c.run()
	}
	returned = true
}

// run handles a message.
func (c *call) run() {
	c.take()
	if c.hosted.failed.Load() {
		c.refuseTaken(failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "OnStart of %s has failed", c.hosted.name))
		return
	}
	if err := c.ctx.Err(); err != nil && c.isAsk() {
		c.refuseTaken(expired(err))
		return
	}
	req := c.method.NewRequest()
	if err := c.decode(req); err != nil {
		c.refuseTaken(failure(endpoint.ReasonUndecodable, endpoint.NotExecuted, "request: %v", err))
		return
	}
	c.payload = nil
	res, err := c.method.Call(&c.ctx, req)
	switch {
	case !c.isAsk() && err != nil:
		c.hosted.onError(c, err)
	case !c.isAsk():
	case err != nil:
		c.answerError(handlerError(err))
	default:
		c.answer(res)
	}
}

func (c *call) isAsk() bool { return c.id != 0 || c.local != nil }

func (c *call) decode(req proto.Message) error {
	if c.encoding == wire.JSON {
		return protojson.Unmarshal(c.payload, req)
	}
	return proto.Unmarshal(c.payload, req)
}

// take gives back the room that the message had in its sender's window.
func (c *call) take() {
	if c.link != nil {
		c.link.Take(c.account, c.cost)
	} else {
		c.hosted.local.giveBack(c.size)
	}
}

// refuse ends a message that no handler is going to get.
func (c *call) refuse(e *endpoint.Error) {
	if c.callback != nil {
		return
	}
	c.take()
	c.refuseTaken(e)
	c.ctx.Cancel(context.Canceled, nil)
}

func (c *call) refuseTaken(e *endpoint.Error) {
	if c.isAsk() {
		c.answerError(e)
		return
	}
	if e.Reason == endpoint.ReasonUndecodable {
		c.hosted.onError(c, e)
	}
	c.hosted.server.drop(c.hosted.name, c.during, e)
}

// answer answers an ask with a reply.
func (c *call) answer(res proto.Message) {
	var payload []byte
	var err error
	if c.encoding == wire.JSON {
		payload, err = protojson.Marshal(res)
	} else {
		payload, err = proto.Marshal(res)
	}
	if err != nil {
		c.answerError(failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err))
		return
	}
	header, trailer := c.metadata()
	if c.local != nil {
		c.local.complete(endpoint.Response{Payload: payload, Header: header, Trailer: trailer})
		return
	}
	encoding := wire.Proto
	if c.encoding == wire.JSON {
		encoding = wire.JSON
	}
	c.reply(&session.Reply{ID: c.id, Payload: payload, Encoding: encoding}, header, trailer)
}

// answerError answers an ask with an error.
func (c *call) answerError(e *endpoint.Error) {
	header, trailer := c.metadata()
	if c.local != nil {
		c.local.complete(endpoint.Response{Err: e, Header: header, Trailer: trailer})
		return
	}
	c.reply(&session.Reply{ID: c.id, Status: statusOf(e)}, header, trailer)
}

func (c *call) reply(r *session.Reply, header, trailer metadata.MD) {
	var err error
	if r.Header, err = wire.FromMD(header); err == nil {
		r.Trailer, err = wire.FromMD(trailer)
	}
	if err != nil {
		*r = session.Reply{ID: c.id, Status: statusOf(failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err))}
	}
	c.link.Reply(r)
}

func (c *call) metadata() (header, trailer metadata.MD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header, c.trailer
}

// panicked is told that a handler or callback panicked with v, or ended its goroutine.
func (c *call) panicked(v any) {
	if v == nil {
		v = "runtime.Goexit was called"
	}
	p := newPanic(v, c.during)
	if c.callback == nil && c.isAsk() {
		c.answerError(failure(endpoint.ReasonPanic, endpoint.MayHaveExecuted, "%v", v))
	}
	c.hosted.onError(c, p)
}

func newPanic(v any, during string) *endpoint.PanicError {
	return &endpoint.PanicError{Value: v, Stack: debug.Stack(), During: during}
}

func expired(err error) *endpoint.Error {
	if err == context.DeadlineExceeded {
		return failure(endpoint.ReasonTimeout, endpoint.NotExecuted, "the deadline passed in the mailbox")
	}
	return failure(endpoint.ReasonCancelled, endpoint.NotExecuted, "the asker gave up, or the session ended")
}

// CancelCall implements link.Running.
func (c *call) CancelCall(cause error) { c.ctx.Cancel(context.Canceled, cause) }

// ReleaseTurn lets the mailbox go on; see endpoint.Release. OnStart and OnStop run alone.
func (c *call) ReleaseTurn() bool {
	return c.during != onStart && c.during != onStop && c.turn.Release()
}

// Self returns the endpoint's Ref; see endpoint.Self.
func (c *call) Self() (endpoint.Ref, bool) {
	if c.hosted.ending.Load() {
		return endpoint.Ref{}, false
	}
	return c.hosted.ref, true
}

// Sender returns where the message came from; see endpoint.Sender.
func (c *call) Sender() endpoint.Peer {
	if c.link != nil {
		return c.link.Peer()
	}
	l := c.hosted.server.config.Link
	return endpoint.Peer{EnvID: l.EnvID, Address: c.hosted.ref.Address()}
}

// Bind binds a Ref; see endpoint.Bind.
func (c *call) Bind(r endpoint.Ref) (endpoint.Bound, error) { return c.hosted.server.config.Bind(r) }

// holdsUp reports whether ctx is that of a handler that holds up the mailbox of h.
func (h *hosted) holdsUp(ctx context.Context) bool {
	c, ok := callctx.From(ctx).(*call)
	alone := h.settings.Concurrency == 1 || c != nil && (c.during == onStart || c.during == onStop)
	return ok && c.hosted == h && alone && !c.turn.Released() && c.ctx.Running()
}
