package session

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/smallmap"
	"github.com/parley-rpc/parley/internal/wire"
)

const (
	// reservedTransfer is how much room is made, at most, for a transfer before its bytes come. A larger one comes in parts.
	reservedTransfer = wire.MostUndivided
	mostPongs        = 16
	// unreadBytes is how much may wait to be written when the peer sends more. Replies alone never come to it while the
	// peer keeps to its limit of pending asks: from replyBytes on they are short errors.
	unreadBytes = 2*replyBytes + 128<<20
)

// named is about what a route or account takes beside its names.
const named = 256

// incoming is what the peer has sent.
type incoming struct {
	received uint64 // the number of the last frame
	acked    uint64 // the last acknowledgement that was made
	unacked  int    // bytes since then
	chunks   int    // of them in chunks
	ackAt    time.Time

	withheld []*Account // whose credit is to be stated at creditAt
	creditAt time.Time  // zero if nothing is

	lastID       uint64             // of asks, lookups and sends with an id
	open         int32              // asks, lookups and streaming calls without an answer
	bye          bool               // the peer has said the last it had to say
	receipts     bool               // it gives receipts, and may want them: both sides have agreed to that
	calls        bool               // it takes streaming calls, and may open them: both sides have agreed to that
	streams      map[uint64]*Stream // streaming calls of the peer; nil until there is one
	routes       destinations
	session      credit.Grant // which begins a cache line
	transfer     credit.Grant
	accounts     smallmap.Map[mailboxKey, *Account]
	transfers    map[uint64]*partial
	lastTransfer uint64
	replyBytes   uint64          // told by the large replies that are under way
	partialBytes uint64          // in partial messages
	namesBytes   uint64          // about what routes and accounts take
	ended        *endpoint.Error // why the peer sends no more, and so answers nothing; nil while it may

	*Intake // where the frame at hand is taken over; nil in between
}

// partial is a message whose payload has not come wholly.
type partial struct {
	event    Event
	began    time.Time // when event came
	id       uint64
	size     uint64
	got      uint64
	memory   *wire.Buffer // up to reservedTransfer
	parts    *wire.Parts  // of a larger one
	unwanted bool         // a reply, or a message of a streaming call, whose bytes are not kept
}

// Receive takes a frame over. The events are in room, an Intake that is new or has been reset, and valid until that is reset; payloads alias frame, which must not be changed.
// After a violation the session, or its stream, is to be ended; the events before it count.
func (s *Session) Receive(room *Intake, now time.Time, frame []byte) ([]Event, *Violation) {
	s.in.enter(room, now)
	defer s.in.leave()
	if v := s.parse(frame); v != nil {
		return nil, v
	}
	h := &s.in.head
	if h.Hello != nil || h.Welcome != nil || h.Refusal != nil {
		return nil, violation("A8", codes.FailedPrecondition, "hello, welcome or refusal in an open session")
	}
	return s.receive(frame)
}

// ReceiveFirst is Receive for the frame that had the hello of the dialler.
func (s *Session) ReceiveFirst(room *Intake, now time.Time, frame []byte) ([]Event, *Violation) {
	s.in.enter(room, now)
	defer s.in.leave()
	if v := s.parse(frame); v != nil {
		return nil, v
	}
	return s.receive(frame)
}

// enter has what comes be taken over in room.
func (in *incoming) enter(room *Intake, now time.Time) {
	room.now = now
	in.Intake = room
}

func (in *incoming) leave() { in.Intake = nil }

// parse checks the size of a frame and parses its head into s.in.head.
func (s *Session) parse(frame []byte) *Violation {
	if uint64(len(frame)) > s.own.FrameBytes {
		return violation("A2", codes.ResourceExhausted, "a frame of %d bytes, where %d are allowed", len(frame), s.own.FrameBytes)
	}
	if err := wire.ParseHead(frame, &s.in.head); err != nil {
		return violation("A1", codes.InvalidArgument, "undecodable frame: %v", err)
	}
	return nil
}

// receive takes over a frame whose head has been parsed into s.in.head.
func (s *Session) receive(frame []byte) ([]Event, *Violation) {
	in := &s.in
	now := in.now
	h := &in.head
	if v := s.receiveHead(h); v != nil {
		return nil, v
	}
	s.live.read(now)
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
	case s.out.queued+s.out.largeReplies > unreadBytes:
		return nil, violation("A69", codes.ResourceExhausted, "more than %d bytes wait because the peer does not read", unreadBytes)
	case in.bye:
		in.received = h.Number
		s.counters.LateFrames++
		return nil, nil
	}
	delay := answersAckDelay
	for ; more && !in.bye; envelope, more = body.Next() {
		if err := in.env.Decode(envelope); err != nil {
			return in.events, violation("A1", codes.InvalidArgument, "undecodable envelope: %v", err)
		}
		whole := len(in.events)
		if v := s.receiveEnvelope(len(envelope)); v != nil {
			return in.events[:whole], v // the last one may not be complete
		}
		if in.env.Kind != wire.KindReply && in.env.Kind != wire.KindReceipt {
			delay = ackDelay
		}
	}
	in.received = h.Number
	s.counters.FramesIn++
	in.unacked += len(frame)
	if uint64(in.unacked) >= s.peer.ReplayBytes/4 || in.chunks >= ackedChunks && s.out.replay.on {
		s.out.ackNow = true
	} else if at := now.Add(delay); in.ackAt.IsZero() || at.Before(in.ackAt) {
		in.ackAt = at
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
	s.acknowledge(s.in.now, h.Ack)
	for i := range h.Credits {
		s.raise(&h.Credits[i])
	}
	if len(h.Credits) > 0 {
		s.wake()
	}
	if h.Drain != nil {
		s.live.drain = true
	}
	if h.Ping != nil && len(s.out.pongs) < mostPongs {
		s.out.pongs = append(s.out.pongs, *h.Ping)
	}
	if h.Pong != nil && !s.live.pong(*h.Pong) {
		s.counters.UnmatchedPongs++
	}
	return nil
}

// raise takes new totals. A total that is absent says nothing.
func (s *Session) raise(c *wire.Credit) {
	current := true
	switch a := s.out.accounts.Get(mailboxKey{c.EnvID, c.Endpoint}); {
	case c.EnvID == "" && c.Endpoint == "":
		current = s.out.session.Raise(0, c.Bytes)
		current = s.out.transfer.Raise(0, c.TransferBytes) && current
	case a == nil:
		s.counters.UnknownCredits++
	default:
		current = a.window.Raise(c.Messages, c.Bytes)
	}
	if !current {
		s.counters.StaleTotals++
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
	case wire.KindReceipt:
		if !s.in.receipts {
			return violation("A9", codes.Unimplemented, "a receipt, which was not agreed to")
		}
		s.asks.answered(e.ID)
		s.deliverAnswer(&Event{Kind: wire.KindReceipt, ID: e.ID, Status: e.Status})
	case wire.KindHeaders, wire.KindMessage, wire.KindHalfClose, wire.KindEnd, wire.KindWindow:
		return s.receiveStreaming(uint64(size))
	case wire.KindCancel:
		if st := in.streams[e.ID]; st != nil {
			st.cancelled = true
			if st.last != nil { // nobody waits for the large message, and its handler has returned
				s.abort(st.out.transfer)
			}
		}
		in.events = append(in.events, Event{Kind: e.Kind, ID: e.ID})
	case wire.KindRoute:
		return s.receiveRoute()
	case wire.KindLookup:
		if v := s.nextID(e.ID); v != nil {
			return v
		}
		in.open++
		in.events = append(in.events, Event{Kind: e.Kind, ID: e.ID, To: newDestination(e.Target, false), Service: e.Service, Refused: s.refusePending()})
	case wire.KindChunk:
		return s.receiveChunk(uint64(size))
	case wire.KindAbort:
		s.receiveAbort()
	case wire.KindBye:
		in.bye = true
		s.out.ackNow = true // the peer waits for it, to be gone
		in.events = append(in.events, Event{Kind: e.Kind, Status: e.Status})
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

// remaining returns how long the sender of the envelope is still going to wait: a frame that comes again is older than it says.
func (in *incoming) remaining() uint64 {
	return less(in.env.RemainingMicros, in.head.AgeMicros)
}

// less returns a remaining time, in microseconds, that much later: at least 1, as 0 is for ever.
func less(remaining, later uint64) uint64 {
	switch {
	case remaining == 0:
		return 0
	case later >= remaining:
		return 1
	default:
		return remaining - later
	}
}

// newEvent appends an event. There is no more to clear than what the frame before has had: the list is written once for each message.
func (in *incoming) newEvent() *Event {
	n := len(in.events)
	if n == cap(in.events) {
		in.events = append(in.events, Event{})
	} else {
		in.events = in.events[:n+1]
	}
	return &in.events[n]
}

// receiveMessage takes an ask or a send.
func (s *Session) receiveMessage(size uint64) *Violation {
	in := &s.in
	e := &in.env
	if e.Kind == wire.KindSend && e.ID != 0 && !s.in.receipts {
		return violation("A9", codes.Unimplemented, "a send wants a receipt, which was not agreed to")
	}
	if e.Kind != wire.KindSend || e.ID != 0 {
		if v := s.nextID(e.ID); v != nil {
			return v
		}
		in.open++
	}
	ev := in.newEvent()
	ev.Kind, ev.ID, ev.RemainingMicros, ev.Payload, ev.Encoding = e.Kind, e.ID, in.remaining(), e.Payload, e.Encoding
	ev.Cost = Cost{mailbox: size, session: size}
	var route *announced
	if e.Text {
		route = &announced{to: newDestination(e.Target, true)}
	} else if route = in.routes.get(e.Route); route == nil {
		return violation("A11", codes.InvalidArgument, "route %d was not announced", e.Route)
	}
	if v := s.chargeMessage(route, size); v != nil {
		return v
	}
	ev.To, ev.Account = route.to, route.account
	ev.Refused = s.refuseMessage(route)
	if len(e.Metadata) > 0 && ev.Refused == nil {
		ev.Metadata = s.without(e.Metadata, isReserved)
	}
	if e.Kind == wire.KindHeaders {
		s.beginCall(ev)
	}
	if e.Encoding == wire.Transfer {
		return s.beginTransfer(ev)
	}
	return nil
}

// beginCall makes ev the opening of a streaming call.
func (s *Session) beginCall(ev *Event) {
	st := new(Stream)
	s.begin(st, ev.ID, true)
	if len(s.in.streams) >= int(s.own.Streams) && ev.Refused == nil {
		ev.Refused = overloaded("the limit on streaming calls", "too many streaming calls are open")
	}
	if s.in.streams == nil {
		s.in.streams = make(map[uint64]*Stream)
	}
	s.in.streams[ev.ID] = st
	ev.Stream = st
	if w := s.in.env.WindowBytes; w != 0 {
		s.raiseStream(st, w)
	}
}

// refuseMessage returns why the ask or send at hand must not be handled, or nil.
func (s *Session) refuseMessage(route *announced) *endpoint.Error {
	e := &s.in.env
	switch {
	case route.account == nil:
		return route.to.Invalid
	case uint64(len(e.Payload)) > s.own.MessageBytes:
		return tooLarge(len(e.Payload), s.own.MessageBytes)
	case len(e.Metadata) > 0:
		if err := refuseMetadata(e.Metadata); err != nil {
			return err
		}
	}
	if e.ID != 0 {
		return s.refusePending()
	}
	return nil
}

// refusePending returns why an ask or lookup, which counts already, is one too many, or nil.
func (s *Session) refusePending() *endpoint.Error {
	if uint32(s.in.open) <= s.own.Pending {
		return nil
	}
	return overloaded("the limit on pending asks", "too many asks are pending")
}

// chargeMessage takes the cost of a message from the windows.
func (s *Session) chargeMessage(route *announced, size uint64) *Violation {
	in := &s.in
	if !in.session.ReceiveBytes(size) {
		return violation("A19", codes.ResourceExhausted, "the session's window is overrun")
	}
	if route.account == nil {
		if route.to.Invalid != nil {
			return nil // there is no such mailbox, so it has no window
		}
		if v := s.openAccount(route); v != nil {
			return v
		}
	}
	a := route.account
	if !a.grant.Receive(1, size) {
		return violation("A18", codes.ResourceExhausted, "the window of mailbox %.300q is overrun", route.to.Endpoint)
	}
	s.tighten(a)
	return nil
}

// openAccount finds the account of the mailbox that a route leads to, or makes it if this is its first message.
func (s *Session) openAccount(route *announced) *Violation {
	key := mailboxKey{route.to.EnvID, route.to.Endpoint}
	a := s.in.accounts.Get(key)
	if a == nil {
		if s.in.accounts.Len() >= int(s.own.Mailboxes) {
			return violation("A13", codes.ResourceExhausted, "messages to more than %d mailboxes", s.own.Mailboxes)
		}
		a = &Account{key: key}
		a.grant.Init(s.own.MailboxMessages, s.own.MailboxBytes)
		s.in.accounts.Set(key, a)
		s.in.namesBytes += named + uint64(len(key.envID)+len(key.endpoint))
	}
	route.account = a
	return nil
}

// receiveReply takes a reply.
func (s *Session) receiveReply() *Violation {
	in := &s.in
	e := &in.env
	ev := Event{
		Kind: e.Kind, ID: e.ID, Status: e.Status, Payload: e.Payload, Encoding: e.Encoding,
		Metadata: s.allowed(e.Metadata), Trailer: s.allowed(e.Trailer),
	}
	if e.Encoding == wire.Transfer {
		in.events = append(in.events, ev)
		return s.beginTransfer(&in.events[len(in.events)-1])
	}
	s.asks.answered(ev.ID)
	s.deliverAnswer(&ev)
	return nil
}

// deliverAnswer makes an event of a reply, a receipt or an end, if somebody waits for it.
func (s *Session) deliverAnswer(ev *Event) {
	a := s.asks.waiting.Get(ev.ID)
	if a == nil {
		s.counters.LateReplies++
		return
	}
	s.asks.remove(a)
	a.account = nil // who keeps the ask, for its reply, does not keep the session
	ev.Ask = a
	if ev.Kind != a.answer() {
		ev.Refused = &endpoint.Error{Reason: endpoint.ReasonUndecodable, Text: fmt.Sprintf("the answer is a %v, where a %v is due", ev.Kind, a.answer()), Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted}
	}
	if st := a.Stream; st != nil {
		st.last = nil
		if t := st.out.transfer; t != nil {
			s.abort(t)
		}
		s.finishStream(st)
	}
	s.in.events = append(s.in.events, *ev)
}

// receiveRoute takes the announcement of a route.
func (s *Session) receiveRoute() *Violation {
	in := &s.in
	e := &in.env
	switch {
	case e.Route == 0 || in.routes.get(e.Route) != nil:
		return violation("A12", codes.InvalidArgument, "route %d is announced twice, or is 0", e.Route)
	case in.routes.len() >= int(s.own.Routes):
		return violation("A13", codes.ResourceExhausted, "more than %d routes", s.own.Routes)
	}
	d := newDestination(e.Target, true)
	in.routes.put(e.Route, d)
	in.namesBytes += named + uint64(len(d.EnvID)+len(d.Endpoint)+len(d.Method))
	return nil
}

// newDestination checks a target. A lookup has no method.
func newDestination(t wire.Target, method bool) *Destination {
	d := &Destination{Target: t}
	err := endpoint.ValidateName(t.Endpoint)
	if err == nil {
		err = validateEnvID(t.EnvID)
	}
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
