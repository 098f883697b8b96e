package session

import (
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

const (
	// reservedTransfer is how much room is made for a transfer before its bytes come.
	reservedTransfer = 1 << 20
	mostPongs        = 16
)

// incoming is what the peer has sent.
type incoming struct {
	received uint64 // the number of the last frame
	acked    uint64 // the last acknowledgement that was made
	unacked  int    // bytes since then
	ackAt    time.Time

	lastID       uint64 // of asks, lookups and sends with an id
	open         int    // asks and lookups without a reply
	routes       map[uint32]*Destination
	accounts     map[mailboxKey]*Account
	session      *credit.Grant
	transfer     *credit.Grant
	transfers    map[uint64]*partial
	lastTransfer uint64
	replyBytes   uint64 // told by the large replies that are under way

	head   wire.Head
	env    wire.Envelope
	events []Event
}

// partial is a message whose payload has not come wholly.
type partial struct {
	event    Event
	size     uint64
	got      uint64
	data     []byte
	unwanted bool // a reply whose bytes are not kept
}

// Receive takes a frame over. The events are valid until the next call; payloads alias frame, which must not be changed.
// After a violation the session, or its stream, is to be ended; the events before it count.
func (s *Session) Receive(now time.Time, frame []byte) ([]Event, *Violation) {
	if v := s.parse(frame); v != nil {
		return nil, v
	}
	h := &s.in.head
	if h.Hello != nil || h.Welcome != nil || h.Refusal != nil {
		return nil, violation("A8", codes.FailedPrecondition, "hello, welcome or refusal in an open session")
	}
	return s.receive(now, frame)
}

// ReceiveFirst is Receive for the frame that had the hello of the dialler.
func (s *Session) ReceiveFirst(now time.Time, frame []byte) ([]Event, *Violation) {
	if v := s.parse(frame); v != nil {
		return nil, v
	}
	return s.receive(now, frame)
}

// parse checks the size of a frame and parses its head into s.in.head.
func (s *Session) parse(frame []byte) *Violation {
	s.in.events = s.in.events[:0]
	if uint64(len(frame)) > s.own.FrameBytes {
		return violation("A2", codes.ResourceExhausted, "a frame of %d bytes, where %d are allowed", len(frame), s.own.FrameBytes)
	}
	if err := wire.ParseHead(frame, &s.in.head); err != nil {
		return violation("A1", codes.InvalidArgument, "undecodable frame: %v", err)
	}
	return nil
}

// receive takes over a frame whose head has been parsed into s.in.head.
func (s *Session) receive(now time.Time, frame []byte) ([]Event, *Violation) {
	in := &s.in
	h := &in.head
	if v := s.receiveHead(h); v != nil {
		return nil, v
	}
	body := wire.Body(frame)
	envelope, more := body.Next()
	if !more {
		if h.Number != 0 {
			return nil, violation("A4", codes.InvalidArgument, "frame %d has a number and no envelopes", h.Number)
		}
		return nil, nil
	}
	switch {
	case h.Number == 0:
		return nil, violation("A3", codes.InvalidArgument, "a frame with envelopes has no number")
	case h.Number <= in.received:
		s.counters.Duplicates++
		return nil, nil
	case h.Number != in.received+1:
		return nil, gap(in.received+1, h.Number)
	}
	for ; more; envelope, more = body.Next() {
		if err := in.env.Decode(envelope); err != nil {
			return in.events, violation("A1", codes.InvalidArgument, "undecodable envelope: %v", err)
		}
		if v := s.receiveEnvelope(len(envelope)); v != nil {
			return in.events, v
		}
	}
	in.received = h.Number
	s.counters.FramesIn++
	in.unacked += len(frame)
	if uint64(in.unacked) >= s.peer.ReplayBytes/4 {
		s.out.ackNow = true
	} else if in.ackAt.IsZero() {
		in.ackAt = now.Add(ackDelay)
	}
	return in.events, nil
}

func (s *Session) receiveHead(h *wire.Head) *Violation {
	if h.Ack > s.out.number {
		return violation("A20", codes.InvalidArgument, "frame %d was acknowledged before it was sent", h.Ack)
	}
	if h.Ack < s.out.acked && h.Ack != 0 {
		s.counters.StaleTotals++
	}
	s.out.acked = max(s.out.acked, h.Ack)
	for i := range h.Credits {
		s.raise(&h.Credits[i])
	}
	if len(h.Credits) > 0 {
		s.wake()
	}
	if h.Ping != nil && len(s.out.pongs) < mostPongs {
		s.out.pongs = append(s.out.pongs, *h.Ping)
	}
	return nil
}

func (s *Session) raise(c *wire.Credit) {
	if c.EnvID == "" && c.Endpoint == "" {
		s.out.session.Raise(0, c.Bytes)
		s.out.transfer.Raise(0, c.TransferBytes)
		return
	}
	if a := s.out.accounts[mailboxKey{c.EnvID, c.Endpoint}]; a != nil {
		a.window.Raise(c.Messages, c.Bytes)
	}
}

func (s *Session) receiveEnvelope(size int) *Violation {
	in := &s.in
	e := &in.env
	switch e.Kind {
	case wire.KindAsk, wire.KindSend:
		return s.receiveMessage(uint64(size))
	case wire.KindReply:
		return s.receiveReply()
	case wire.KindCancel:
		in.events = append(in.events, Event{Kind: e.Kind, ID: e.ID})
	case wire.KindRoute:
		return s.receiveRoute()
	case wire.KindLookup:
		if v := s.nextID(e.ID); v != nil {
			return v
		}
		in.open++
		in.events = append(in.events, Event{Kind: e.Kind, ID: e.ID, To: newDestination(e.Target, false), Service: e.Service})
	case wire.KindChunk:
		return s.receiveChunk(uint64(size))
	case wire.KindAbort:
		s.receiveAbort()
	case wire.KindBye:
		in.events = append(in.events, Event{Kind: e.Kind, Status: e.Status})
	case wire.KindReceipt:
		s.counters.LateReplies++ // this side never asks for receipts
	default:
		return violation("A9", codes.Unimplemented, "an envelope of kind %v, which was not agreed to", e.Kind)
	}
	return nil
}

// nextID checks that ids rise.
func (s *Session) nextID(id uint64) *Violation {
	if id <= s.in.lastID {
		return violation("A14", codes.InvalidArgument, "id %d came after %d", id, s.in.lastID)
	}
	s.in.lastID = id
	return nil
}

// receiveMessage takes an ask or a send.
func (s *Session) receiveMessage(size uint64) *Violation {
	in := &s.in
	e := &in.env
	if e.Kind == wire.KindSend && e.ID != 0 {
		return violation("A9", codes.Unimplemented, "a send wants a receipt, which was not agreed to")
	}
	if e.Kind == wire.KindAsk {
		if v := s.nextID(e.ID); v != nil {
			return v
		}
		in.open++
	}
	in.events = append(in.events, Event{
		Kind: e.Kind, ID: e.ID, RemainingMicros: e.RemainingMicros, Payload: e.Payload, Encoding: e.Encoding,
		Metadata: clone(e.Metadata), Cost: Cost{mailbox: size, session: size},
	})
	ev := &in.events[len(in.events)-1]
	if e.Text {
		ev.To = newDestination(e.Target, true)
	} else if ev.To = in.routes[e.Route]; ev.To == nil {
		return violation("A11", codes.InvalidArgument, "route %d was not announced", e.Route)
	}
	if v := s.chargeMessage(ev, size); v != nil {
		return v
	}
	ev.Refused = ev.To.Invalid
	if uint64(len(e.Payload)) > s.own.MessageBytes {
		ev.Refused = tooLarge(len(e.Payload), s.own.MessageBytes)
	}
	if in.open > int(s.own.Pending) && e.Kind == wire.KindAsk {
		ev.Refused = overloaded("the limit on pending asks", "too many asks are pending")
	}
	if e.Encoding == wire.Transfer {
		return s.beginTransfer(ev)
	}
	return nil
}

// chargeMessage takes the cost of a message from the windows.
func (s *Session) chargeMessage(ev *Event, size uint64) *Violation {
	in := &s.in
	if !in.session.Receive(1, size) {
		return violation("A19", codes.ResourceExhausted, "the session's window is overrun")
	}
	if ev.To.Invalid != nil {
		return nil // there is no such mailbox, so it has no window
	}
	key := mailboxKey{ev.To.EnvID, ev.To.Endpoint}
	a := in.accounts[key]
	if a == nil {
		if len(in.accounts) >= int(s.own.Mailboxes) {
			return violation("A13", codes.ResourceExhausted, "messages to more than %d mailboxes", s.own.Mailboxes)
		}
		a = &Account{key: key, grant: credit.NewGrant(s.own.MailboxMessages, s.own.MailboxBytes)}
		in.accounts[key] = a
	}
	ev.Account = a
	if !a.grant.Receive(1, size) {
		return violation("A18", codes.ResourceExhausted, "the window of mailbox %.300q is overrun", ev.To.Endpoint)
	}
	return nil
}

// receiveReply takes a reply.
func (s *Session) receiveReply() *Violation {
	in := &s.in
	e := &in.env
	ev := Event{
		Kind: e.Kind, ID: e.ID, Status: e.Status, Payload: e.Payload, Encoding: e.Encoding,
		Metadata: clone(e.Metadata), Trailer: clone(e.Trailer),
	}
	if e.Encoding == wire.Transfer {
		in.events = append(in.events, ev)
		return s.beginTransfer(&in.events[len(in.events)-1])
	}
	s.deliverReply(&ev)
	return nil
}

// deliverReply makes an event of a reply, if somebody waits for it.
func (s *Session) deliverReply(ev *Event) {
	a := s.asks.waiting[ev.ID]
	if a == nil {
		s.counters.LateReplies++
		return
	}
	s.asks.remove(a)
	ev.Ask = a
	s.in.events = append(s.in.events, *ev)
}

// receiveRoute takes the announcement of a route.
func (s *Session) receiveRoute() *Violation {
	in := &s.in
	e := &in.env
	switch {
	case e.Route == 0 || in.routes[e.Route] != nil:
		return violation("A12", codes.InvalidArgument, "route %d is announced twice, or is 0", e.Route)
	case len(in.routes) >= int(s.own.Routes):
		return violation("A13", codes.ResourceExhausted, "more than %d routes", s.own.Routes)
	}
	in.routes[e.Route] = newDestination(e.Target, true)
	return nil
}

// newDestination checks a target. A lookup has no method.
func newDestination(t wire.Target, method bool) *Destination {
	d := &Destination{Target: t}
	err := endpoint.ValidateName(t.Endpoint)
	if err == nil && method {
		err = validateMethod(t.Method)
	}
	if err != nil {
		// The text of what is wrong is kept, the wrong name, which may be long, is not.
		d.Target = wire.Target{}
		d.Invalid = &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: err.Error(), Phase: endpoint.PhaseSent, Execution: endpoint.NotExecuted}
	}
	return d
}

func clone(md []wire.Metadata) []wire.Metadata {
	if len(md) == 0 {
		return nil
	}
	return append([]wire.Metadata(nil), md...)
}
