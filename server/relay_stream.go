package server

import (
	"context"
	"errors"
	"io"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// relayedStream is what a streaming call that is passed on has beside its opening: two goroutines carry its messages, one each way. A message is taken
// from one session when it is about to be handed to the other, so that the window of each side reaches through to the other.
type relayedStream struct {
	from     *link.Link
	caller   *session.Stream // the side at from
	host     session.Stream  // the side at the host
	requests *inbox.Inbox
	replies  *inbox.Inbox
	life     context.Context // ends with the call; its cause is the error that both sides get, if it is one of Parley
	end      context.CancelCauseFunc
}

// fromCaller is told what comes from the caller of a relayed call.
type fromCaller struct{ m *relayed }

// Headed implements link.Streaming. Only callers are told that.
func (c fromCaller) Headed(metadata.MD) {}

// Came implements link.Streaming.
func (c fromCaller) Came(m inbox.Message) { c.m.stream.requests.Put(m) }

// HalfClosed implements link.Streaming.
func (c fromCaller) HalfClosed() { c.m.stream.requests.End(io.EOF, nil) }

// Fail implements link.Streaming.
func (c fromCaller) Fail(e *endpoint.Error) { c.m.fail(e) }

// fromHost is told what comes from the host of a relayed call.
type fromHost struct{ m *relayed }

// Headed implements link.Streaming.
func (h fromHost) Headed(md metadata.MD) { h.m.stream.replies.PutHeader(md) }

// Came implements link.Streaming.
func (h fromHost) Came(m inbox.Message) { h.m.stream.replies.Put(m) }

// HalfClosed implements link.Streaming. Only callees are told that.
func (h fromHost) HalfClosed() {}

// Fail implements link.Streaming.
func (h fromHost) Fail(e *endpoint.Error) { h.m.fail(e) }

// newRelayedStream makes m, whose event has opened a streaming call, ready for what follows.
func (m *relayed) newRelayedStream() {
	st := &relayedStream{from: m.relay.key.from, caller: m.event.Stream, requests: inbox.New(), replies: inbox.New()}
	st.life, st.end = context.WithCancelCause(m.relay.server.life)
	st.host.Owner = fromHost{m}
	m.event.Stream.Owner = fromCaller{m}
	m.stream = st
	m.ask.Stream = &st.host
}

// passMessages passes on the messages of a streaming call that the host has got.
func (m *relayed) passMessages(to *link.Link) {
	m.relay.server.Go(func() { m.passRequests(to) })
	m.relay.server.Go(func() { m.passReplies(to) })
}

func (m *relayed) passRequests(to *link.Link) {
	st := m.stream
	for {
		got, err := st.requests.Next(st.life)
		if errors.Is(err, io.EOF) {
			to.HalfClose(&st.host)
		}
		if err != nil {
			return
		}
		e := to.SendMessage(st.life, &st.host, passedOn(got))
		if e != nil && e.Reason == endpoint.ReasonTooLarge { // the call is not over: its handler would wait for good
			m.fail(e)
		}
		if e != nil {
			return // the replies tell why
		}
	}
}

func (m *relayed) passReplies(to *link.Link) {
	st := m.stream
	err := m.passHeaders()
	for err == nil {
		var got inbox.Message
		if got, err = st.replies.Next(st.life); err != nil {
			break
		}
		if e := st.from.SendMessage(st.life, st.caller, passedOn(got)); e != nil {
			err = e
		}
	}
	if errors.Is(err, io.EOF) {
		m.endStream(nil)
		return
	}
	var e *endpoint.Error
	switch {
	case errors.As(context.Cause(st.life), &e): // perhaps that of all calls, whether they were passed on or not
		e = e.At(endpoint.PhaseSent, endpoint.MayHaveExecuted)
	case !errors.As(err, &e):
		e = failure(endpoint.ReasonCancelled, endpoint.MayHaveExecuted, "the asker gave up")
	}
	to.Abandon(&m.ask, e)
	m.endStream(e)
}

func (m *relayed) passHeaders() error {
	md, err := m.stream.replies.Header(m.stream.life)
	if err != nil || md == nil {
		return err
	}
	entries, _ := wire.FromMD(md) // what came by wire is well-formed
	if e := m.stream.from.Headers(m.stream.caller, entries); e != nil {
		return e
	}
	return nil
}

// endStream ends the call for its caller; e is nil for OK.
func (m *relayed) endStream(e *endpoint.Error) {
	st := m.stream
	var code *spb.Status
	if e != nil {
		code = statusOf(e)
	}
	trailer, _ := wire.FromMD(st.replies.Trailer())
	st.from.EndStream(st.caller, code, trailer)
	st.end(nil)
	over := errors.New("parley: the call is over")
	st.requests.Drop(over)
	st.replies.Drop(over)
}

// fail ends the call at both sides with e.
func (m *relayed) fail(e *endpoint.Error) {
	m.stream.end(e)
	m.stream.replies.Drop(e)
}

// passedOn returns what has come as a message to be sent.
func passedOn(m inbox.Message) session.Message {
	encoding := wire.Proto
	if m.JSON {
		encoding = wire.JSON
	}
	return session.Message{Payload: m.Payload, Parts: m.Parts, Encoding: encoding}
}
