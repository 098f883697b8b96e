package session

import (
	"bytes"
	"fmt"
	"slices"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// What the simulator holds streaming calls to: each side gets what the other has sent, in order, and has got all of it when it is told
// that no more is coming; what it has not read is bounded by the window of the call; and a call leaves nothing behind.

// call is a streaming call.
type call struct {
	caller, callee *callSide // the callee's is nil until the headers have arrived
}

// callSide is one side of a call.
type callSide struct {
	*call
	end     *end
	opening *message
	side    *Stream
	sent    [][]byte       // all that were accepted
	next    []byte         // that waits for room; nil if none does
	waiter  *credit.Waiter // of next
	came    int            // how many of the other's have
	unread  []Event
	heard   bool // the other side sends no more
	closed  bool // this side sends no more
	gone    bool // the caller has given up
}

func (c *callSide) String() string {
	if c == c.caller {
		return fmt.Sprintf("the caller's side of call %d of %s", c.side.id, c.end)
	}
	return fmt.Sprintf("the callee's side of call %d at %s", c.side.id, c.end)
}

// other returns the other side, or nil if it does not know of the call yet.
func (c *callSide) other() *callSide {
	if c == c.caller {
		return c.callee
	}
	return c.caller
}

// call opens a streaming call.
func (s *sim) call(e *end) {
	m := s.message(e, 0)
	m.payload = nil
	c := &callSide{call: new(call), end: e, opening: m, side: new(Stream)}
	c.caller = c
	c.side.Owner = c
	m.call = c
	m.ask = &Ask{Done: noReply{}, Stream: c.side}
	q := &posting{m: m, Posting: Posting{Target: to(fmt.Sprintf("e%d", s.r.IntN(simEndpoints)))}}
	if s.r.IntN(2) == 0 {
		q.Waiter = credit.NewWaiter()
	}
	s.tryPost(e, q)
}

// converse lets one of the calls of e go on, if there is any. It reports whether anything was done.
func (s *sim) converse(e *end) bool {
	if len(e.calls) == 0 {
		return false
	}
	return s.goOn(e.calls[s.r.IntN(len(e.calls))])
}

// goOn lets one side of a call do something.
func (s *sim) goOn(c *callSide) bool {
	if s.readOne(c) {
		return true
	}
	talk := 12 // how many more turns it takes to come to an end, about
	if s.calm {
		talk = 2
	}
	// In the end nobody helps a message that waits for room by ending the call: the room has to come.
	waits := s.calm && !c.gone && (c.caller.next != nil || c.callee != nil && c.callee.next != nil)
	switch ending := s.r.IntN(talk) == 0; {
	case c.closed, waits && c.next == nil:
		return false
	case waits:
		return s.say(c)
	case c == c.callee && (c.gone || ending && (c.heard || !s.calm || s.r.IntN(4) == 0)):
		s.endCall(c)
	case c == c.callee && s.calm && !c.heard && len(c.sent) > 0: // one that waits for its caller
		return false
	case c == c.caller && ending && c.next == nil:
		c.closed = true
		c.end.HalfClose(c.side)
	default:
		return s.say(c)
	}
	return true
}

// endCall lets the callee end a call. What waits for room is not sent.
func (s *sim) endCall(c *callSide) {
	if c.next != nil {
		c.end.LeaveStream(c.side, c.waiter)
		c.next = nil
	}
	var st *spb.Status
	if s.r.IntN(3) == 0 {
		st = &spb.Status{Code: int32(codes.Aborted), Message: "enough"}
	}
	c.end.EndStream(c.side, st, nil)
	s.closeCall(c)
}

// say sends a message, or tries again to send the one that waits.
func (s *sim) say(c *callSide) bool {
	if c.next == nil {
		size := s.r.IntN(100)
		if s.r.IntN(6) == 0 {
			size = s.r.IntN(1 << (13 + s.r.IntN(5)))
		}
		at := int(s.next()) * 8 % (256 << 10)
		c.next, c.waiter = s.data[at:at+size], nil
		if s.r.IntN(3) > 0 {
			c.waiter = credit.NewWaiter()
		}
	} else if c.waiter != nil && !turn(c.waiter) {
		return false
	}
	accepted, err := c.end.PostMessage(c.side, Message{Payload: c.next, Encoding: wire.Proto}, c.waiter)
	switch {
	case accepted:
		c.sent = append(c.sent, c.next)
		c.next = nil
	case err != nil && c.end.Over() == nil:
		s.failf("%s: PostMessage: %v", c, err)
	case err == nil && c.waiter != nil:
		s.callWaits++
		return false
	default:
		c.next = nil
		return false
	}
	return true
}

// readOne reads a message, and lets its room be used again.
func (s *sim) readOne(c *callSide) bool {
	if len(c.unread) == 0 {
		return false
	}
	ev := c.unread[0]
	c.unread = c.unread[1:]
	s.readMessages++
	if c.end.TakeMessage(c.side, ev.Cost) {
		c.end.StateWindow(c.side)
	}
	return true
}

// opened is told of a call that a peer opens.
func (s *sim) opened(e *end, ev *Event, m *message) {
	c := &callSide{call: m.call.call, end: e, opening: m, side: ev.Stream}
	c.callee = c
	c.side.Owner = c
}

// hear is told what comes for a call that is open.
func (s *sim) hear(e *end, ev *Event) {
	c := ev.Stream.Owner.(*callSide)
	o := c.other()
	if c == c.callee && c.closed { // its end waited behind a large message
		if ev.Kind == wire.KindMessage && e.TakeMessage(c.side, ev.Cost) {
			e.StateWindow(c.side)
		}
		return
	}
	switch {
	case c.end != e || c.side != ev.Stream || c.heard:
		s.failf("%s gets a %v, after its end or of another call", c, ev.Kind)
	case ev.Kind == wire.KindHalfClose:
		c.heard = true
		if c != c.callee || !o.closed || c.came != len(o.sent) {
			s.failf("%s is half-closed after %d of %d messages", c, c.came, len(o.sent))
		}
	case ev.Refused != nil: // an abort
		if c != c.callee || c.opening.outcomes == 0 || c.came != len(o.sent)-1 {
			s.failf("%s gets a message that is refused: %v", c, ev.Refused)
		}
		c.gone, c.heard = true, true
		if e.TakeMessage(c.side, ev.Cost) {
			e.StateWindow(c.side)
		}
	case c.came >= len(o.sent) || !bytes.Equal(ev.Payload, o.sent[c.came]):
		s.failf("%s gets another message than the next, which is number %d of %d", c, c.came+1, len(o.sent))
	default:
		c.came++
		c.unread = append(c.unread, *ev)
	}
	held := uint64(0)
	for i := range max(0, len(c.unread)-1) { // the last may overdraw
		held += c.unread[i].Cost.mailbox
	}
	if held >= e.own.StreamBytes+1 && held > 0 && len(c.unread) > 1 {
		s.failf("%s holds %d bytes and more, where %d are allowed", c, held, e.own.StreamBytes)
	}
}

// callEnded checks the end of a call that comes to its caller.
func (s *sim) callEnded(c *callSide, ev *Event) {
	s.callEnds++
	if c.callee != nil && !c.callee.closed || c.callee != nil && c.came != len(c.callee.sent) {
		s.failf("%s is told the end after %d of %d messages", c, c.came, len(c.callee.sent))
	}
	if ev.Status == nil && c.callee == nil {
		s.failf("%s ends well, and was not served", c)
	}
	s.closeCall(c)
}

// closeCall is called when nothing more is expected or sent at one side: what it has not read is dropped.
func (s *sim) closeCall(c *callSide) {
	c.closed, c.heard = true, true
	c.next = nil
	for s.readOne(c) {
	}
	c.end.calls = slices.DeleteFunc(c.end.calls, func(other *callSide) bool { return other == c })
	if !c.side.out.window.Waiters.Empty() && c.waiter != nil {
		c.end.LeaveStream(c.side, c.waiter)
	}
	if !c.side.over && c.side.last == nil && c.end.Over() == nil {
		s.failf("%s is over, and its session does not know", c)
	}
}

// refuseCall ends a call that no handler has got.
func (s *sim) refuseCall(e *end, ev *Event, why *endpoint.Error) {
	c := ev.Stream.Owner.(*callSide)
	e.EndStream(c.side, why.GRPCStatus().Proto(), nil)
	s.closeCall(c)
}

// leftOfStreams returns what a session keeps of streaming calls when none is under way.
func leftOfStreams(s *Session) string {
	if len(s.asks.streams) == 0 && len(s.in.streams) == 0 {
		return ""
	}
	return fmt.Sprintf("%d streaming calls of this side, and %d of the peer, are not over; ", len(s.asks.streams), len(s.in.streams))
}

// endCalls ends the calls of a session that is over, as their handlers would, and checks that nothing of them is left.
func (s *sim) endCalls(e *end) {
	for _, c := range slices.Clone(e.calls) {
		if c == c.callee {
			s.endCall(c)
		} else {
			s.failf("%s was not told that its session is over", c)
		}
	}
	for i := range e.boxes {
		for _, d := range e.boxes[i] {
			if d.ev.Kind == wire.KindHeaders {
				s.refuseCall(e, &d.ev, errEnded)
			}
		}
	}
	if n := len(e.in.streams); n != 0 {
		s.failf("%s is over and keeps %d streaming calls", e, n)
	}
}
