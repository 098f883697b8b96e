package client

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// remoteStream is a streaming call to an endpoint of another Env.
type remoteStream struct {
	ask  session.Ask
	side session.Stream
	link *link.Link
	in   *inbox.Inbox
}

// Open implements endpoint.Caller.
func (r *remote) Open(ctx context.Context, q endpoint.Request) (endpoint.StreamCarrier, *endpoint.Error) {
	var until time.Time
	if q.Deadline.IsZero() { // it bounds the opening, not the call
		until = q.Started.Add(r.client.config.AskTimeout)
	}
	l, envID, _, err := r.session(ctx, q.WaitForReady, q.NoWait, until)
	if err != nil {
		return nil, err
	}
	if q.Credentials != nil {
		if err := r.authorize(ctx, &q, l, envID, until); err != nil {
			return nil, err
		}
	}
	md, err := encodeMetadata(q.Metadata)
	if err != nil {
		return nil, err
	}
	s := &remoteStream{link: l, in: inbox.New()}
	s.side.Owner, s.ask.Stream, s.ask.Done = s, &s.side, s
	p := &session.Posting{Ask: &s.ask, Target: wire.Target{EnvID: envID, Endpoint: r.name, Method: q.Method}, Metadata: md}
	if !q.Deadline.IsZero() {
		p.Started, p.Deadline = time.Now(), q.Deadline
	}
	if err := l.Post(ctx, p, link.PostOptions{NoWait: q.NoWait, QueueTimeout: r.client.config.QueueTimeout}); err != nil {
		return nil, err
	}
	return s, nil
}

// UnaryInterceptor implements endpoint.Caller.
func (r *remote) UnaryInterceptor() (grpc.UnaryClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}

// StreamInterceptor implements endpoint.Caller.
func (r *remote) StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}

// StatsHandler implements endpoint.Caller.
func (r *remote) StatsHandler() stats.Handler { return nil }

// Send implements endpoint.StreamCarrier.
func (s *remoteStream) Send(ctx context.Context, m proto.Message) (size int, e *endpoint.Error) {
	buffer := payload.NewBuffer()
	defer buffer.Free()
	message, err := buffer.Message(m)
	if err != nil {
		return 0, payload.Unencodable(err)
	}
	return message.Len(), s.link.SendMessage(ctx, &s.side, message)
}

// HalfClose implements endpoint.StreamCarrier.
func (s *remoteStream) HalfClose() { s.link.HalfClose(&s.side) }

// Header implements endpoint.StreamCarrier.
func (s *remoteStream) Header(ctx context.Context) (metadata.MD, error) { return s.in.Header(ctx) }

// Receive implements endpoint.StreamCarrier.
func (s *remoteStream) Receive(ctx context.Context) (endpoint.Received, error) {
	m, err := s.in.Next(ctx)
	if err == nil && m.JSON {
		err := &endpoint.Error{Reason: endpoint.ReasonUndecodable, Text: "the reply is JSON where protobuf was asked for", Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted}
		s.Abandon(err)
		return endpoint.Received{}, err
	}
	return m.Received(), err
}

// Trailer implements endpoint.StreamCarrier.
func (s *remoteStream) Trailer() metadata.MD { return s.in.Trailer() }

// Abandon implements endpoint.StreamCarrier.
func (s *remoteStream) Abandon(e *endpoint.Error) {
	s.link.Abandon(&s.ask, e)
	s.in.Drop(e)
}

// Complete implements endpoint.Completion: it is told the end.
func (s *remoteStream) Complete(r endpoint.Response) {
	if r.Err != nil {
		s.in.End(r.Err, r.Trailer)
		return
	}
	s.in.End(io.EOF, r.Trailer)
}

// Headed implements link.Streaming.
func (s *remoteStream) Headed(md metadata.MD) { s.in.PutHeader(md) }

// Came implements link.Streaming.
func (s *remoteStream) Came(m inbox.Message) { s.in.Put(m) }

// HalfClosed implements link.Streaming. Only callees are told that.
func (s *remoteStream) HalfClosed() {}

// Fail implements link.Streaming.
func (s *remoteStream) Fail(e *endpoint.Error) { s.Abandon(e) }
