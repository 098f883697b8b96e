package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/asproto"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/rpcstats"
)

// clientStream is a streaming call as stock stubs see it. It behaves as a stream of grpc-go does.
type clientStream struct {
	core    *methodCore
	desc    *grpc.StreamDesc
	carrier StreamCarrier
	ctx     context.Context
	started time.Time
	options callOptions
	stop    func() bool // the watch of ctx

	from   *peer.Peer      // who is at the other end; nil if that is not known
	whole  context.Context // what the user gets: it has the peer, and ends with the call
	cancel context.CancelFunc

	sent     bool // CloseSend was called, or the only message sent; of the sender
	received bool // a message has come; of the receiver

	told     *rpcstats.Call // nil if nobody is told of the call
	answered atomic.Bool    // the end has come from the other side
	heading  sync.Once      // the headers are told

	metadata sync.Once   // the user has what the options Header and Trailer want
	over     atomic.Bool // everybody else was told the end
}

// newStream opens a streaming call of the method c.
func (c *methodCore) newStream(ctx context.Context, desc *grpc.StreamDesc, opts []grpc.CallOption) (*clientStream, *Error) {
	s := &clientStream{core: c, desc: desc, ctx: ctx, started: time.Now()}
	r := Request{Started: s.started}
	err := c.prepare(ctx, opts, &r, &s.options)
	if err == nil && c.caller.WaitsForItself(ctx) {
		err = errSelfAsk()
	}
	if err == nil {
		err = s.open(r)
	}
	if err != nil {
		err = c.describe(err, verbStream, s.started)
		s.options.more.finished(statusError(err))
		return nil, err
	}
	s.from = c.caller.Carried()
	s.whole = s.ctx
	if s.from != nil {
		s.whole = peer.NewContext(s.whole, s.from)
	}
	s.whole, s.cancel = context.WithCancel(s.whole)
	s.stop = context.AfterFunc(ctx, func() {
		err := ContextError(ctx)
		s.carrier.Abandon(err)
		s.end(s.describe(err)) // perhaps nobody receives any more
	})
	return s, nil
}

// open hands the call over.
func (s *clientStream) open(r Request) (err *Error) {
	caller := s.core.caller
	h := caller.StatsHandler()
	if h == nil {
		s.carrier, err = caller.Open(s.ctx, r)
		return err
	}
	kind := rpcstats.Kind{Method: r.Method, FailFast: !r.WaitForReady, ClientStreams: s.desc.ClientStreams, ServerStreams: s.desc.ServerStreams}
	s.told, r.Metadata = rpcstats.Client(WithTarget(s.ctx, *s.core.ref), h, kind, r.Metadata)
	s.ctx = s.told.Context()
	if s.carrier, err = caller.Open(s.ctx, r); err != nil {
		s.told.End(err, nil)
		return err
	}
	s.told.Sent(r.Metadata, caller.Carried())
	return nil
}

// stream opens a streaming call, inside the interceptor if there is one.
func (c *methodCore) stream(ctx context.Context, desc *grpc.StreamDesc, opts []grpc.CallOption) (grpc.ClientStream, error) {
	full := ""
	if c != nil {
		full = "/" + c.name
	}
	open := func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if method != full {
			return nil, statusError(c.describe(errRenamed(full, method), verbStream, time.Time{}))
		}
		s, err := c.newStream(ctx, desc, opts)
		if err != nil {
			return nil, statusError(err)
		}
		return s, nil
	}
	if c != nil && c.caller != nil {
		if interceptor, cc := c.caller.StreamInterceptor(); interceptor != nil {
			return interceptor(WithTarget(ctx, *c.ref), desc, cc, full, open, opts...)
		}
	}
	return open(ctx, desc, nil, full, opts...)
}

// Header implements grpc.ClientStream: it waits for the headers, a message or the end. As with grpc-go, an error comes from RecvMsg only.
func (s *clientStream) Header() (metadata.MD, error) {
	md, err := s.carrier.Header(s.ctx)
	if err != nil {
		return nil, nil
	}
	s.tellHeader(md)
	return md, nil
}

// tellHeader tells of the headers, once; md is nil if there are none.
func (s *clientStream) tellHeader(md metadata.MD) {
	if s.told != nil && md != nil {
		s.heading.Do(func() { s.told.InHeader(md) })
	}
}

// Trailer implements grpc.ClientStream. It is there when RecvMsg has returned an error.
func (s *clientStream) Trailer() metadata.MD { return s.carrier.Trailer() }

// Context implements grpc.ClientStream. It has the peer, and ends when the call does.
func (s *clientStream) Context() context.Context { return s.whole }

// CloseSend implements grpc.ClientStream.
func (s *clientStream) CloseSend() error {
	if !s.sent {
		s.sent = true
		s.carrier.HalfClose()
	}
	return nil
}

// SendMsg implements grpc.ClientStream. It waits for room. Where the call is over already it returns io.EOF, and RecvMsg says why.
func (s *clientStream) SendMsg(m any) error {
	err := s.send(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s.abort(AsError(err)) // the caller's own mistake
	s.finish(err)
	return err
}

func (s *clientStream) send(m any) error {
	if s.sent {
		return status.Error(codes.Internal, "SendMsg called after CloseSend")
	}
	if s.over.Load() {
		return s.sendOver()
	}
	message, ok := asproto.Message(m)
	if !ok {
		return s.describe(&Error{Reason: ReasonInvalid, Text: fmt.Sprintf("%T must be a protobuf message", m), Execution: NotExecuted})
	}
	if o := s.options.more; o != nil && o.maxSend > 0 {
		if size := proto.Size(message); size > o.maxSend {
			return s.describe(tooLargeToSend(size, o.maxSend))
		}
	}
	size, err := s.carrier.Send(s.ctx, message)
	switch {
	case err == nil:
		s.told.OutPayload(m, size)
	case err.Reason == ReasonTooLarge || err.Reason == ReasonUnencodable:
		return s.describe(err)
	default:
		return s.sendOver()
	}
	if !s.desc.ClientStreams {
		s.sent = true
		s.carrier.HalfClose()
	}
	return nil
}

// sendOver returns what SendMsg does in a call that is over, which RecvMsg tells: to a single message generated code does not expect io.EOF.
func (s *clientStream) sendOver() error {
	if s.desc.ClientStreams {
		return io.EOF
	}
	return nil
}

// RecvMsg implements grpc.ClientStream. io.EOF is a good end.
func (s *clientStream) RecvMsg(m any) error {
	err := s.receive(m)
	if err == nil && !s.desc.ServerStreams { // its only one: what follows is the end
		err = s.receive(nil)
		switch {
		case err == nil:
			err = s.violated("received multiple response messages for non-server-streaming RPC")
		case errors.Is(err, io.EOF):
			s.finish(nil)
			return nil
		}
	}
	if err != nil {
		s.finish(err)
	}
	return err
}

// receive receives one message; into nil it drops it.
func (s *clientStream) receive(m any) error {
	got, err := s.carrier.Receive(s.ctx)
	if s.told != nil {
		s.tellAnswer(err)
	}
	switch {
	case errors.Is(err, io.EOF):
		if !s.desc.ServerStreams && !s.received {
			return status.Error(codes.Internal, "cardinality violation: received no response message from non-server-streaming RPC")
		}
		return io.EOF
	case err != nil && s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()): // before the watch of it could say so
		return s.describe(ContextError(s.ctx))
	case err != nil:
		return s.describe(AsError(err))
	}
	s.received = true
	if m == nil {
		return nil
	}
	message, ok := asproto.Message(m)
	if !ok {
		return s.mistake(ReasonInvalid, fmt.Sprintf("%T must be a protobuf message", m), nil)
	}
	size := got.Len() // nothing is left of it when it is decoded
	if o := s.options.more; o != nil && o.maxRecv > 0 && size > o.maxRecv {
		return s.mistake(ReasonTooLarge, fmt.Sprintf("reply: %d bytes, where the call allows %d", size, o.maxRecv), nil)
	}
	if err := got.unmarshal(message); err != nil {
		return s.mistake(ReasonUndecodable, "reply: "+err.Error(), err)
	}
	s.told.InPayload(m, size)
	return nil
}

// unmarshal decodes r.
func (r *Received) unmarshal(message proto.Message) error {
	defer bulk.Begin(r.Len())()
	if r.Parts != nil {
		proto.Reset(message)
		return piecewise.Unmarshal(r.Parts, message)
	}
	return proto.Unmarshal(r.Payload, message)
}

// tellAnswer tells of the headers, which are there when a message, or the end with the error err, has come from the other side.
func (s *clientStream) tellAnswer(err error) {
	var e *Error
	answered := errors.Is(err, io.EOF) || errors.As(err, &e) && (e.Reason == ReasonHandler || e.Remote)
	s.answered.Store(answered)
	if answered || err == nil {
		md, _ := s.carrier.Header(s.ctx)
		s.tellHeader(md)
	}
}

// mistake ends the call because of a reply that is of no use, and returns the error.
func (s *clientStream) mistake(r Reason, text string, cause error) error {
	e := &Error{Reason: r, Text: text, Phase: PhaseSent, Execution: MayHaveExecuted, Cause: cause}
	s.abort(e)
	return s.describe(e)
}

// violated ends the call because the server does not keep to the kind of the method, in gRPC's words.
func (s *clientStream) violated(text string) error {
	err := status.Error(codes.Internal, "cardinality violation: "+text)
	s.abort(AsError(err))
	return err
}

func (s *clientStream) abort(e *Error) { s.carrier.Abandon(e) }

// describe returns what callers get of an error: of a handler's its status, else e with what only this side knows.
func (s *clientStream) describe(e *Error) error {
	d := s.core.describe(e, verbStream, s.started)
	if d.Reason == ReasonTimeout && d.Setting == "" { // the receiver's clock was first
		d.Setting = settingContext
	}
	return statusError(d)
}

// finish is called when the call is over, with the error that its user gets.
func (s *clientStream) finish(err error) {
	s.stop()
	s.metadata.Do(func() { // here, where the user waits, as the variables are the user's
		if s.options.header != nil || s.options.trailer != nil {
			header, _ := s.carrier.Header(s.ctx)
			s.options.fill(header, s.Trailer())
		}
		s.options.fillPeer(s.from)
	})
	s.end(err)
}

// end tells the end, once. Whoever is told may use the stream.
func (s *clientStream) end(err error) {
	if s.over.Swap(true) {
		return
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if s.answered.Load() {
		s.told.InTrailer(s.Trailer())
	}
	s.told.End(err, s.Trailer())
	s.options.more.finished(err)
	s.cancel()
}
