// Package rpcstats tells a stats.Handler of gRPC the events of one call, in the order and with the fields of grpc-go, as far as a call that has no HTTP/2
// stream of its own has them: sizes are those of encoded messages, without what an envelope adds, and metadata is what was given to the call.
package rpcstats

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Combine returns one handler that stands for all; nil for none.
func Combine(handlers []stats.Handler) stats.Handler {
	switch len(handlers) {
	case 0:
		return nil
	case 1:
		return handlers[0]
	}
	return combined(handlers)
}

type combined []stats.Handler

func (c combined) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	for _, h := range c {
		ctx = h.TagRPC(ctx, info)
	}
	return ctx
}

func (c combined) HandleRPC(ctx context.Context, s stats.RPCStats) {
	for _, h := range c {
		h.HandleRPC(ctx, s)
	}
}

func (c combined) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (c combined) HandleConn(context.Context, stats.ConnStats) {}

// Kind is what is known of a call before it begins.
type Kind struct {
	// Method is the full name, "package.Service/Method".
	Method string
	// FailFast, of a client, says that it does not wait for a peer that cannot be reached.
	FailFast bool
	// ClientStreams and ServerStreams say which sides send any number of messages.
	ClientStreams, ServerStreams bool
}

// Call is one call, from one of its sides. A nil Call tells nobody. A side that sends on one goroutine and receives on another may use it from both; what
// happens after End is not told.
type Call struct {
	handler stats.Handler
	ctx     context.Context
	carried context.Context // ctx with the peer, of a client: headers and trailers come with it, as in grpc-go
	method  string
	client  bool
	begun   time.Time
	err     error // of Fail
	ended   atomic.Bool
}

// Client begins a call of the client side, whose outgoing metadata is md. It returns what md has become by the handler.
func Client(ctx context.Context, h stats.Handler, k Kind, md metadata.MD) (*Call, metadata.MD) {
	if len(md) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	c := &Call{handler: h, method: "/" + k.Method, client: true, begun: time.Now()}
	c.ctx = h.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: c.method, FailFast: k.FailFast})
	c.carried = c.ctx
	h.HandleRPC(c.ctx, &stats.Begin{Client: true, BeginTime: c.begun, FailFast: k.FailFast, IsClientStream: k.ClientStreams, IsServerStream: k.ServerStreams})
	md, _ = metadata.FromOutgoingContext(c.ctx)
	return c, md
}

// Server begins a call of the server side, which has come with the context ctx.
func Server(ctx context.Context, h stats.Handler, k Kind) *Call {
	c := &Call{handler: h, method: "/" + k.Method}
	md, _ := metadata.FromIncomingContext(ctx)
	in := &stats.InHeader{FullMethod: c.method, Header: md}
	if p, ok := peer.FromContext(ctx); ok {
		in.RemoteAddr, in.LocalAddr = p.Addr, p.LocalAddr
	}
	c.ctx = h.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: c.method})
	c.carried = c.ctx
	h.HandleRPC(c.ctx, in)
	c.begun = time.Now()
	h.HandleRPC(c.ctx, &stats.Begin{BeginTime: c.begun, IsClientStream: k.ClientStreams, IsServerStream: k.ServerStreams})
	return c
}

// Context returns the context of the call, which is the one that TagRPC returned. c must not be nil.
func (c *Call) Context() context.Context { return c.ctx }

// Sent says that a client's call is on its way to p, which may be nil, with the metadata md. Nothing else may be told meanwhile.
func (c *Call) Sent(md metadata.MD, p *peer.Peer) {
	if c == nil {
		return
	}
	out := &stats.OutHeader{Client: true, FullMethod: c.method, Header: md.Copy()}
	if p != nil {
		c.carried = peer.NewContext(c.ctx, p)
		out.RemoteAddr, out.LocalAddr = p.Addr, p.LocalAddr
	}
	c.tell(c.carried, out)
}

// InHeader says that headers have come.
func (c *Call) InHeader(md metadata.MD) {
	if c != nil {
		c.tell(c.carried, &stats.InHeader{Client: c.client, Header: md.Copy()})
	}
}

// OutHeader says that a server's headers were sent.
func (c *Call) OutHeader(md metadata.MD) {
	if c != nil {
		c.tell(c.carried, &stats.OutHeader{Client: c.client, Header: md.Copy()})
	}
}

// InPayload says that the message m has come, which took size bytes.
func (c *Call) InPayload(m any, size int) {
	if c != nil {
		c.tell(c.ctx, &stats.InPayload{Client: c.client, Payload: m, Length: size, CompressedLength: size, WireLength: size, RecvTime: time.Now()})
	}
}

// OutPayload says that the message m was sent, which takes size bytes.
func (c *Call) OutPayload(m any, size int) {
	if c != nil {
		c.tell(c.ctx, &stats.OutPayload{Client: c.client, Payload: m, Length: size, CompressedLength: size, WireLength: size, SentTime: time.Now()})
	}
}

// InTrailer says that the answer of a client's call has ended.
func (c *Call) InTrailer(md metadata.MD) {
	if c != nil {
		c.tell(c.carried, &stats.InTrailer{Client: true, Trailer: md.Copy()})
	}
}

// OutTrailer says that the end of the answer of a server's call was sent.
func (c *Call) OutTrailer(md metadata.MD) {
	if c != nil {
		c.tell(c.carried, &stats.OutTrailer{Trailer: md.Copy()})
	}
}

func (c *Call) tell(ctx context.Context, s stats.RPCStats) {
	if !c.ended.Load() {
		c.handler.HandleRPC(ctx, s)
	}
}

// Fail says what End is going to say, unless that has an error of its own.
func (c *Call) Fail(err error) {
	if c != nil {
		c.err = err
	}
}

// End ends the call, with an error or nil. Only the first time counts.
func (c *Call) End(err error, trailer metadata.MD) {
	if c == nil || !c.ended.CompareAndSwap(false, true) {
		return
	}
	if err == nil {
		err = c.err
	}
	c.handler.HandleRPC(c.ctx, &stats.End{Client: c.client, BeginTime: c.begun, EndTime: time.Now(), Trailer: trailer, Error: statusError(err)})
}

// statusError returns err as an error that is nothing but a status, as the field of stats.End says.
func statusError(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	return st.Err()
}
