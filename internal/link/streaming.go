package link

import (
	"bytes"
	"context"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Streaming is one side of a streaming call: it is told what comes. The Owner of a session.Stream implements it. Its methods must not block.
type Streaming interface {
	// Headed gets the response headers; of the caller's side.
	Headed(md metadata.MD)
	// Came gets a message.
	Came(m inbox.Message)
	// HalfClosed says that the caller sends no more; of the callee's side.
	HalfClosed()
	// Fail says that something came which ends the call: the owner has to end it, with e.
	Fail(e *endpoint.Error)
}

// stream hands on what has come for a streaming call, in a frame or, if that is nil, by the end of the stream.
func (l *Link) stream(ev *session.Event, frame *wire.Buffer) {
	st := ev.Stream
	owner, ok := st.Owner.(Streaming)
	cost := ev.Cost
	if !ok { // the opening, in the same frame, was refused
		if ev.Kind == wire.KindMessage {
			l.takeMessage(st, cost)
		}
		return
	}
	switch {
	case ev.Kind == wire.KindHeaders:
		owner.Headed(wire.MD(ev.Metadata))
	case ev.Kind == wire.KindHalfClose:
		owner.HalfClosed()
	case ev.Refused != nil:
		l.takeMessage(st, cost)
		owner.Fail(ev.Refused)
	default:
		if ev.Memory == nil { // it is a part of the frame
			ev.Payload = bytes.Clone(ev.Payload)
		}
		owner.Came(inbox.Message{Payload: ev.Payload, Parts: ev.Parts, JSON: ev.Encoding == wire.JSON, Taken: func() { l.takeMessage(st, cost) }})
	}
}

// takeMessage returns the room of a message of st, because it is read or dropped.
func (l *Link) takeMessage(st *session.Stream, c session.Cost) {
	if !l.session.TakeMessage(st, c) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.StateWindow(st)
	l.changed()
}

// SendMessage hands over a message of st. It waits for room until ctx ends, or the call.
func (l *Link) SendMessage(ctx context.Context, st *session.Stream, m session.Message) *endpoint.Error {
	var w *credit.Waiter
	for {
		l.mu.Lock()
		accepted, err := l.session.PostMessage(st, m, w)
		l.changed()
		l.mu.Unlock()
		if accepted || err != nil {
			return err
		}
		if w == nil { // there was no room at first sight
			l.stalled()
			w = credit.NewWaiter()
			continue
		}
		select {
		case <-w.Turn:
		case <-ctx.Done():
			l.mu.Lock()
			l.session.LeaveStream(st, w)
			l.changed()
			l.mu.Unlock()
			err := endpoint.ContextError(ctx)
			err.Phase, err.Execution = endpoint.PhaseQueued, endpoint.NotExecuted
			return err
		}
	}
}

// Headers sends the response headers of st, a callee's.
func (l *Link) Headers(st *session.Stream, md []wire.Metadata) *endpoint.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.session.Headers(st, md)
	l.changed()
	return err
}

// HalfClose says that st, a caller's, sends no more messages.
func (l *Link) HalfClose(st *session.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.HalfClose(st)
	l.changed()
}

// EndStream ends st, a callee's.
func (l *Link) EndStream(st *session.Stream, status *spb.Status, trailer []wire.Metadata) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running.Delete(st.ID())
	l.session.EndStream(st, status, trailer)
	l.changed()
}
