package session

import (
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// Event is what a frame means to the owner of the session.
type Event struct {
	// Kind is KindAsk, KindSend, KindLookup, KindCancel, KindReply, KindReceipt or KindBye; of streaming calls KindHeaders, KindMessage,
	// KindHalfClose or KindEnd.
	Kind wire.Kind
	// ID is that of the peer's ask or lookup; for a cancel, of what is cancelled.
	ID uint64
	// To is where an ask, send or lookup is to go.
	To *Destination
	// Service is what a lookup wants to be implemented.
	Service string
	// RemainingMicros is how long the asker waits; 0 for ever.
	RemainingMicros uint64
	// Metadata is that of an ask or send, of headers, or the header of a reply.
	Metadata, Trailer []wire.Metadata
	// Payload aliases the frame, or Memory; it may be kept.
	Payload []byte
	// Memory is what Payload is in, if it came in chunks. Whoever gets the event is its user, who may release it.
	Memory *wire.Buffer
	// Parts is the payload instead, if it came in chunks and is too large for Memory. Whoever decodes it takes them; the reader of the session should not.
	Parts    *wire.Parts
	Encoding wire.Encoding
	// Status is that of a reply or bye; nil for OK.
	Status *spb.Status
	// Ask is the ask of this side that a reply, receipt or end is for. It is not pending any more.
	Ask *Ask
	// Stream is the streaming call that headers, a message or a half-close belong to. With Refused it is to be failed. The Cost of a message is to be
	// given to TakeMessage when it is read, or dropped.
	Stream *Stream
	// Account and Cost of an ask or send, and of headers that open a call, are to be given to Take when a handler takes the message, or when it is refused.
	Account *Account
	Cost    Cost
	// Refused says why an ask, send or lookup must not be handled, or why a reply is not kept.
	Refused *endpoint.Error
}

// Destination is a target of this side.
type Destination struct {
	wire.Target
	// Invalid says what is wrong with it; nil if nothing is.
	Invalid *endpoint.Error
	// Found is for whoever handles the events, to keep there what it has found. It may also put another string that is equal into Target.Method.
	Found any
}

// announced is a route of the peer's. The account is here so that messages over many routes need not wait for the memory of both, one after the other.
type announced struct {
	to      *Destination
	account *Account // that of its mailbox; nil until the first message arrives, and of an invalid one
}

// destinations are the routes that the peer has announced, by their numbers. Those that it has counted, from 1, are not looked up.
type destinations struct {
	counted []announced
	others  map[uint32]*announced // nil if there are none
}

func (d *destinations) len() int { return len(d.counted) + len(d.others) }

// get returns the route with that number, until another one is put; nil if it was not announced.
func (d *destinations) get(number uint32) *announced {
	if i := number - 1; uint64(i) < uint64(len(d.counted)) {
		return &d.counted[i]
	}
	return d.others[number]
}

// put adds a route that was not announced.
func (d *destinations) put(number uint32, to *Destination) {
	if uint64(number) == uint64(len(d.counted))+1 {
		d.counted = append(d.counted, announced{to: to})
		return
	}
	if d.others == nil {
		d.others = make(map[uint32]*announced)
	}
	d.others[number] = &announced{to: to}
}

// Cost is what a message took of the windows.
type Cost struct {
	mailbox, session, transfer uint64
}

// Account is the receiver's side of one mailbox's window.
type Account struct {
	grant    credit.Grant
	key      mailboxKey
	dirty    bool        // in outgoing.dirty
	withheld atomic.Bool // something has been taken that was not stated, and it is known when it will be

	_ [24]byte // to three cache lines: the memory of such objects begins one, and so does the grant
}

// Take returns the credit of a message. Unlike the other methods it may be called at any time, concurrently. If it
// reports true, StateCredit is to be called.
func (s *Session) Take(a *Account, c Cost) bool {
	due := a == nil || a.grant.Take(1, c.mailbox) // of a malformed target no account says it later
	if s.in.session.TakeBytes(c.session) {
		due = true
	}
	if c.transfer > 0 && s.in.transfer.TakeBytes(c.transfer) {
		due = true
	}
	return due
}

// Withheld reports that credit of a was taken that the peer may soon wait for, and that nobody has seen to: StateCreditLater is to be called. Like Take it may be
// called at any time, after a Take that reported false.
func (s *Session) Withheld(a *Account) bool {
	return a != nil && (a.grant.WasTight() || s.in.session.WasTight() || s.in.transfer.WasTight()) && a.withhold()
}

// withhold reports that nobody has seen to the credit of a yet, and that the caller has to do so.
func (a *Account) withhold() bool {
	return !a.withheld.Load() && a.withheld.CompareAndSwap(false, true)
}

// tighten sees to what was taken of a while the peer was far from waiting for it, when it no longer is.
func (s *Session) tighten(a *Account) {
	near := a.grant.Tight() || s.in.session.Tight() || s.in.transfer.Tight()
	if near && (a.grant.Untold() || s.in.session.Untold() || s.in.transfer.Untold()) && a.withhold() {
		s.StateCreditLater(s.in.now, a)
	}
}

// StateCreditLater makes the totals of a be told to the peer soon, unless they are sooner for another reason. Where other
// mailboxes hold most of the session's window, the peer may be waiting for what is less than a quarter of anything. Where nobody is near waiting, nothing
// is stated: with many mailboxes that few messages each go to, each message would bring one of these about.
func (s *Session) StateCreditLater(now time.Time, a *Account) {
	s.in.withheld = append(s.in.withheld, a)
	if s.in.creditAt.IsZero() {
		s.in.creditAt = now.Add(creditDelay)
	}
}

// stateWithheld states all that was withheld.
func (s *Session) stateWithheld() {
	s.in.creditAt = time.Time{}
	for i, a := range s.in.withheld {
		s.StateCredit(a)
		s.in.withheld[i] = nil
	}
	s.in.withheld = s.in.withheld[:0]
}

// StateCredit makes the next frame tell the peer the totals of a, which may be nil, and of the session.
func (s *Session) StateCredit(a *Account) {
	if a != nil && !a.dirty {
		a.dirty = true
		s.out.dirty = append(s.out.dirty, a)
	}
	s.out.dirtyIn = true
}
