package server

import (
	"context"
	"io"
	"math"
	"sync/atomic"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/wire"
)

// localStream is a streaming call to an endpoint of the same Env: the caller's side, and what answers it.
type localStream struct {
	server   *Server
	requests localWindow // of messages to the handler
	replies  localWindow // of messages to the caller
	to       *stream
	in       *inbox.Inbox // of the caller
	ended    atomic.Bool  // nothing of the call is expected any more
}

// Open implements endpoint.Caller.
func (l *localCaller) Open(ctx context.Context, r endpoint.Request) (endpoint.StreamCarrier, *endpoint.Error) {
	h, err := l.server.find(l.name)
	if err != nil {
		return nil, err
	}
	method, err := h.method(r.Method, true)
	if err != nil {
		return nil, err
	}
	if err := h.authorize(ctx, &r); err != nil {
		return nil, err
	}
	incoming, size, err := l.incoming(r.Metadata)
	if err != nil {
		return nil, err
	}
	size += messageBytes
	window := l.window(h)
	if err := window.take(ctx, size, r.NoWait, l.server.config.QueueTimeout); err != nil {
		return nil, err
	}
	s := &localStream{server: l.server, in: inbox.New()}
	limits := l.server.config.Link.Limits
	s.requests.init(math.MaxInt64, limits.StreamBytes, &h.counts.stalls)
	s.replies.init(math.MaxInt64, limits.StreamBytes, &h.counts.stalls)
	c := &call{ctx: new(callctx.Context), hosted: h, method: method, from: l.from, window: window, size: uint32(size), arrived: l.server.arrival(r.Started)}
	s.to = &stream{ctx: c.ctx, in: inbox.New(), answers: s, oneOnly: method.TakesOne()}
	c.stream = s.to
	c.begin(l.life(), incoming, r.Deadline)
	method.calls.Add(1)
	if h.box.Post(c) == 0 {
		window.giveBack(size)
		return nil, l.server.closedMailbox(l.name)
	}
	return s, nil
}

// UnaryInterceptor implements endpoint.Caller.
func (l *localCaller) UnaryInterceptor() (grpc.UnaryClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}

// StreamInterceptor implements endpoint.Caller.
func (l *localCaller) StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}

// StatsHandler implements endpoint.Caller.
func (l *localCaller) StatsHandler() stats.Handler { return nil }

// put puts a message into an inbox, when there is room in its window.
func (s *localStream) put(ctx context.Context, w *localWindow, in *inbox.Inbox, m inbox.Message) *endpoint.Error {
	if limit := s.server.config.Link.Limits.MessageBytes; uint64(m.Len()) > limit {
		return failure(endpoint.ReasonTooLarge, endpoint.NotExecuted, "%d bytes, where the receiver allows %d", m.Len(), limit)
	}
	size := m.Len() + messageBytes
	if err := w.take(ctx, size, false, math.MaxInt64); err != nil {
		return err
	}
	if s.ended.Load() {
		return queuedOver()
	}
	m.Taken = func() { w.giveBack(size) }
	in.Put(m)
	return nil
}

func queuedOver() *endpoint.Error {
	return failure(endpoint.ReasonCancelled, endpoint.NotExecuted, "the streaming call is over")
}

// end ends the call for the caller, whose messages find no window any more. It reports false if that has been done.
func (s *localStream) over() bool {
	if !s.ended.CompareAndSwap(false, true) {
		return false
	}
	s.requests.close()
	s.replies.close()
	return true
}

// Send implements endpoint.StreamCarrier.
func (s *localStream) Send(ctx context.Context, m proto.Message) (size int, e *endpoint.Error) {
	encoded, parts, err := payload.Marshal(m, false)
	if err != nil {
		return 0, payload.Unencodable(err)
	}
	message := inbox.Message{Payload: encoded, Parts: parts}
	return message.Len(), s.put(ctx, &s.requests, s.to.in, message)
}

// HalfClose implements endpoint.StreamCarrier.
func (s *localStream) HalfClose() { s.to.in.End(io.EOF, nil) }

// Header implements endpoint.StreamCarrier.
func (s *localStream) Header(ctx context.Context) (metadata.MD, error) { return s.in.Header(ctx) }

// Receive implements endpoint.StreamCarrier.
func (s *localStream) Receive(ctx context.Context) (endpoint.Received, error) {
	m, err := s.in.Next(ctx)
	return m.Received(), err
}

// Trailer implements endpoint.StreamCarrier.
func (s *localStream) Trailer() metadata.MD { return s.in.Trailer() }

// Abandon implements endpoint.StreamCarrier, and endpoint.Pending.
func (s *localStream) Abandon(e *endpoint.Error) {
	if s.over() {
		err := context.Canceled
		if e.Reason == endpoint.ReasonTimeout {
			err = context.DeadlineExceeded
		}
		s.to.ctx.Cancel(err, nil)
	}
	s.in.Drop(e)
}

func (s *localStream) headers(md []wire.Metadata) *endpoint.Error {
	if metadataBytes(md) > maxMetadataBytes {
		return failure(endpoint.ReasonTooLarge, endpoint.NotExecuted, "more than 64 KiB of metadata")
	}
	s.in.PutHeader(wire.MD(md))
	return nil
}

func (s *localStream) message(ctx context.Context, m proto.Message, _ bool) (size int, e *endpoint.Error) {
	encoded, parts, err := payload.Marshal(m, false)
	if err != nil {
		return 0, unencodable(err)
	}
	message := inbox.Message{Payload: encoded, Parts: parts}
	return message.Len(), s.put(ctx, &s.replies, s.in, message)
}

func (s *localStream) end(st *spb.Status, trailer []wire.Metadata) {
	r := endpoint.Response{Trailer: wire.MD(trailer)}
	if st != nil {
		r.Err = endpoint.ErrorFromStatus(st) // no more than a peer would get
		r.Err.Remote = false
	}
	if e := s.server.refuseReply(&r); e != nil {
		r = endpoint.Response{Err: e}
	}
	if !s.over() {
		return
	}
	if r.Err != nil {
		s.in.End(r.Err, r.Trailer)
	} else {
		s.in.End(io.EOF, r.Trailer)
	}
}
