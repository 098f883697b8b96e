package session

import (
	"maps"
	"math"
	"slices"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// receiveStreaming takes an envelope of a streaming call.
func (s *Session) receiveStreaming(size uint64) *Violation {
	e := &s.in.env
	if !s.in.calls {
		return violation("A9", codes.Unimplemented, "an envelope of kind %v, which was not agreed to", e.Kind)
	}
	if e.Kind == wire.KindHeaders && !e.FromCallee {
		return s.receiveMessage(size)
	}
	if e.Kind == wire.KindEnd {
		s.asks.answered(e.ID)
		s.deliverAnswer(&Event{Kind: wire.KindEnd, ID: e.ID, Status: e.Status, Trailer: s.allowed(e.Trailer)})
		return nil
	}
	st := s.streamOf(e)
	if st == nil && e.Kind != wire.KindMessage {
		return nil
	}
	switch e.Kind {
	case wire.KindHeaders:
		s.raiseStream(st, e.WindowBytes)
		s.in.events = append(s.in.events, Event{Kind: e.Kind, ID: e.ID, Stream: st, Metadata: s.allowed(e.Metadata)})
	case wire.KindHalfClose:
		st.heard = true
		s.in.events = append(s.in.events, Event{Kind: e.Kind, ID: e.ID, Stream: st})
	case wire.KindWindow:
		s.raiseStream(st, e.WindowBytes)
	case wire.KindMessage:
		return s.receiveStreamMessage(st, size)
	}
	return nil
}

// streamOf returns the call that an envelope belongs to, or nil, which is counted.
func (s *Session) streamOf(e *wire.Envelope) *Stream {
	if e.FromCallee {
		if a := s.asks.waiting.Get(e.ID); a != nil && a.Stream != nil {
			return a.Stream
		}
		s.counters.LateReplies++
		return nil
	}
	if st := s.in.streams[e.ID]; st != nil && (!st.heard || e.Kind == wire.KindWindow) {
		return st
	}
	s.counters.LateMessages++
	return nil
}

// raiseStream takes a new total of the window of st; 0 says nothing.
func (s *Session) raiseStream(st *Stream, bytes uint64) {
	if !st.out.window.Raise(0, bytes) {
		s.counters.StaleTotals++
	}
	s.wake()
}

// receiveStreamMessage takes a message of st; nil if the call is over.
func (s *Session) receiveStreamMessage(st *Stream, size uint64) *Violation {
	e := &s.in.env
	size += besideBytes
	ev := Event{Kind: e.Kind, ID: e.ID, Stream: st, Payload: e.Payload, Encoding: e.Encoding, Cost: Cost{mailbox: size}}
	switch {
	case st == nil:
	case !st.in.ReceiveBytes(size):
		ev.Refused = &endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "the window of the streaming call is overrun", Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted}
	case uint64(len(e.Payload)) > s.own.MessageBytes:
		ev.Refused = tooLarge(len(e.Payload), s.own.MessageBytes)
		ev.Refused.Phase, ev.Refused.Execution = endpoint.PhaseSent, endpoint.MayHaveExecuted
	case len(e.Payload) > wholeBytes: // A71
		ev.Refused = tooLarge(len(e.Payload), wholeBytes)
		ev.Refused.Text += " unless in chunks"
		ev.Refused.Phase, ev.Refused.Execution = endpoint.PhaseSent, endpoint.MayHaveExecuted
	}
	if e.Encoding == wire.Transfer {
		s.in.events = append(s.in.events, ev)
		return s.beginTransfer(&s.in.events[len(s.in.events)-1])
	}
	if st != nil {
		s.in.events = append(s.in.events, ev)
	}
	return nil
}

// deliverStreamMessage makes an event of a message that has come in chunks, unless its call is over; why, if it is not nil, says that the rest of it
// is not coming.
func (s *Session) deliverStreamMessage(p *partial, why *spb.Status) {
	ev := &p.event
	st := ev.Stream
	if st == nil || st.over {
		s.in.transfer.TakeBytes(p.size)
		s.out.dirtyIn = true
		return
	}
	if why != nil && ev.Refused == nil {
		ev.Encoding = wire.NoPayload
		ev.Refused = endpoint.ErrorFromStatus(why)
	}
	if why != nil && st.callee {
		st.heard = true // the call has failed; it does not end well for want of more
	}
	s.in.events = append(s.in.events, *ev)
}

// halfClosed ends the callers' halves of all calls, because the carrier of what they send has ended: no window that their messages take is going to
// be raised, either.
func (s *Session) halfClosed() {
	for _, id := range slices.Sorted(maps.Keys(s.in.streams)) {
		st := s.in.streams[id]
		if !st.heard {
			st.heard = true
			s.in.events = append(s.in.events, Event{Kind: wire.KindHalfClose, ID: id, Stream: st})
		}
		st.out.window.Raise(0, math.MaxUint64)
	}
	s.out.transfer.Raise(0, math.MaxUint64)
	s.wake()
}
