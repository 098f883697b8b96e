package server

import (
	"context"
	"errors"
	"io"
	"sync"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/asproto"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/rpcstats"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// answers is how a streaming call is answered: to a peer, or in this Env.
type answers interface {
	headers(md []wire.Metadata) *endpoint.Error
	// message encodes a message and sends it. It waits for room until ctx ends, or the call. It returns the encoded size.
	message(ctx context.Context, m proto.Message, json bool) (size int, e *endpoint.Error)
	end(st *spb.Status, trailer []wire.Metadata)
}

// stream is a streaming call, from the handler's side: its grpc.ServerStream. It behaves as one of grpc-go does.
type stream struct {
	ctx      *callctx.Context
	in       *inbox.Inbox
	answers  answers
	oneOnly  bool           // the caller sends one message
	received bool           // a message has come; of the receiver
	told     *rpcstats.Call // set before the handler runs; nil if nobody is told of the call

	mu      sync.Mutex
	header  metadata.MD
	trailer metadata.MD
	headed  bool // the headers have been sent
	ended   bool
	json    bool // the caller speaks JSON
}

// errLate is what grpc-go says of headers that come too late.
var errLate = status.Error(codes.Internal, "transport: SendHeader called multiple times")

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context {
	if s.told != nil {
		return s.told.Context()
	}
	return s.ctx
}

// SetHeader implements grpc.ServerStream.
func (s *stream) SetHeader(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	if _, err := wire.FromMD(md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headed || s.ended {
		return errLate
	}
	s.header = metadata.Join(s.header, md)
	return nil
}

// SendHeader implements grpc.ServerStream.
func (s *stream) SendHeader(md metadata.MD) error {
	if err := s.SetHeader(md); err != nil {
		return err
	}
	sent, err := s.sendHeaders()
	if err == nil && !sent {
		return errLate
	}
	return err
}

// SetTrailer implements grpc.ServerStream.
func (s *stream) SetTrailer(md metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.trailer = metadata.Join(s.trailer, md)
	}
}

// sendHeaders sends the headers, and reports false if they have been sent already, or the call is over.
func (s *stream) sendHeaders() (bool, error) {
	s.mu.Lock()
	if s.headed || s.ended {
		s.mu.Unlock()
		return false, nil
	}
	s.headed = true
	header := s.header
	md, err := wire.FromMD(header)
	s.mu.Unlock()
	if err != nil {
		return true, status.Error(codes.Internal, err.Error())
	}
	if e := s.answers.headers(md); e != nil {
		return true, s.failed(e)
	}
	s.told.OutHeader(header)
	return true, nil
}

// failed returns the error of a handler that could not send, for the reason e: where the call has ended, why.
func (s *stream) failed(e *endpoint.Error) error {
	if err := s.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	return e
}

// SendMsg implements grpc.ServerStream. It waits for room in the caller's window.
func (s *stream) SendMsg(m any) error {
	message, ok := asproto.Message(m)
	if !ok {
		return status.Errorf(codes.Internal, "%T is no protobuf message", m)
	}
	if _, err := s.sendHeaders(); err != nil {
		return err
	}
	s.mu.Lock()
	json := s.json
	s.mu.Unlock()
	size, e := s.answers.message(s.ctx, message, json)
	switch {
	case e == nil:
		s.told.OutPayload(m, size)
		return nil
	case e.Reason == endpoint.ReasonUnencodable: // whether the call has ended or not
		return e
	default:
		return s.failed(e)
	}
}

// unencodable returns the error of a reply that cannot be encoded.
func unencodable(err error) *endpoint.Error {
	return failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err)
}

// RecvMsg implements grpc.ServerStream.
func (s *stream) RecvMsg(m any) error {
	message, ok := asproto.Message(m)
	if !ok {
		return status.Errorf(codes.Internal, "%T is no protobuf message", m)
	}
	got, err := s.next()
	switch {
	case errors.Is(err, io.EOF) && s.oneOnly && !s.received:
		return status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	case err != nil:
		return err
	}
	s.received = true
	size := got.Len() // nothing is left of it when it is decoded
	if err := decode(got, message); err != nil {
		return failure(endpoint.ReasonUndecodable, endpoint.MayHaveExecuted, "request: %v", err)
	}
	s.told.InPayload(m, size)
	if !s.oneOnly {
		return nil
	}
	switch _, err := s.next(); {
	case err == nil:
		return status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// next returns the next message; io.EOF when the caller sends no more.
func (s *stream) next() (inbox.Message, error) {
	got, err := s.in.Next(s.ctx)
	var e *endpoint.Error
	switch {
	case err == nil && got.JSON:
		s.mu.Lock()
		s.json = true
		s.mu.Unlock()
	case errors.As(err, &e):
		return got, e
	case err != nil && !errors.Is(err, io.EOF):
		return got, status.FromContextError(err).Err()
	}
	return got, err
}

// finish ends the call; e is nil for OK. Only the first time counts.
func (s *stream) finish(e *endpoint.Error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	header, headed, set := s.header, s.headed, s.trailer
	trailer, err := wire.FromMD(set)
	s.mu.Unlock()
	cut := s.told != nil && s.ctx.Err() != nil // the caller waits no more
	if err != nil {
		set, trailer, e = nil, nil, failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "trailer: %v", err)
	}
	heads := false
	if md, err := wire.FromMD(header); !headed && len(md) > 0 && err == nil {
		refused := s.answers.headers(md)
		if refused != nil && e == nil {
			e = refused
		}
		heads = refused == nil
	}
	var st *spb.Status
	if e != nil {
		st = statusOf(e)
	}
	s.answers.end(st, trailer)
	s.in.Drop(errors.New("parley: the handler has returned"))
	// Behind all that, or a stats handler that panics would leave a caller that waits for good.
	if heads && !cut {
		s.told.OutHeader(header)
	}
	if !cut {
		s.told.OutTrailer(set)
	}
	if e != nil {
		s.told.Fail(e)
	}
}

// runStream runs the handler of a streaming call, which counts as released from its start, so that it holds up nobody.
func (c *call) runStream() {
	if !c.turn.Release() {
		e := failure(endpoint.ReasonOverloaded, endpoint.NotExecuted, "too many released handlers")
		e.Setting = "endpoint.MaxReleased"
		c.refuseTaken(e)
		return
	}
	if err := c.method.ServeStream(c.hosted.impl, c.stream, c.hosted.server.config.StreamInterceptor); err != nil {
		c.noteError(err)
		c.answerError(c.errorOf(err))
		return
	}
	c.endStream(nil)
}

// endStream ends a streaming call. Its place is free before its caller knows of the end, and opens another.
func (c *call) endStream(e *endpoint.Error) {
	c.turn.Leave()
	c.stream.finish(e)
}

// Headed implements link.Streaming. Only callers are told that.
func (s *stream) Headed(metadata.MD) {}

// Came implements link.Streaming.
func (s *stream) Came(m inbox.Message) { s.in.Put(m) }

// HalfClosed implements link.Streaming.
func (s *stream) HalfClosed() { s.in.End(io.EOF, nil) }

// Fail implements link.Streaming: the caller did not keep to the protocol. Its handler finds its context ended.
func (s *stream) Fail(e *endpoint.Error) {
	s.in.End(e, nil)
	s.ctx.CancelCall(e)
}

func decode(got inbox.Message, m proto.Message) error {
	defer bulk.Begin(got.Len())()
	switch {
	case got.JSON:
		return protojson.Unmarshal(got.Payload, m)
	case got.Parts != nil:
		proto.Reset(m)
		return piecewise.Unmarshal(got.Parts, m)
	default:
		return proto.Unmarshal(got.Payload, m)
	}
}

// peerAnswers answers a peer.
type peerAnswers struct {
	link *link.Link
	side *session.Stream
}

func (a peerAnswers) headers(md []wire.Metadata) *endpoint.Error { return a.link.Headers(a.side, md) }

func (a peerAnswers) message(ctx context.Context, m proto.Message, json bool) (size int, e *endpoint.Error) {
	buffer := payload.NewBuffer()
	defer buffer.Free()
	var message session.Message
	var err error
	if json {
		message.Encoding = wire.JSON
		message.Payload, err = protojson.Marshal(m)
	} else {
		message, err = buffer.Message(m)
	}
	if err != nil {
		return 0, unencodable(err)
	}
	return message.Len(), a.link.SendMessage(ctx, a.side, message)
}

func (a peerAnswers) end(st *spb.Status, trailer []wire.Metadata) {
	a.link.EndStream(a.side, st, trailer)
}
