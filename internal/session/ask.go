package session

import (
	"slices"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/idtable"
	"github.com/parley-rpc/parley/internal/wire"
)

// Ask is an ask, a lookup, a send that wants a receipt, or a streaming call, of this side that waits for its answer.
type Ask struct {
	// Done is told the outcome, by the owner of the session.
	Done endpoint.Completion
	// Expires is when the ask ends by itself; zero if only its context ends it. It is for the Env's default timeout, so that
	// asks come nearly in its order.
	Expires time.Time
	// Stream makes it a streaming call; nil for all else.
	Stream *Stream
	// Shares says that the reply may be a part of the frame that brought it, as Done releases that soon.
	Shares bool
	// Room may be where the reply is copied to. It is not used by the session.
	Room []byte

	receipt    bool   // it is a send that wants a receipt
	listed     bool   // in the list of those with Expires
	id         uint64 // 0 while it is not pending
	transfer   *transfer
	account    *account // that it was charged to; nil for a lookup
	prev, next *Ask
}

// answer returns what kind of answer a waits for.
func (a *Ask) answer() wire.Kind {
	switch {
	case a.Stream != nil:
		return wire.KindEnd
	case a.receipt:
		return wire.KindReceipt
	default:
		return wire.KindReply
	}
}

// asks are the pending asks of this side.
type asks struct {
	lastID      uint64
	unanswered  int                 // asks without a reply, whether somebody still waits for it or not
	streams     map[uint64]struct{} // of them, the streaming calls; nil until there is one
	waiting     idtable.Table[*Ask]
	first, last *Ask // those with Expires, the earliest first
}

// stream notes that the ask with that id is a streaming call.
func (l *asks) stream(id uint64) {
	if l.streams == nil {
		l.streams = make(map[uint64]struct{})
	}
	l.streams[id] = struct{}{}
}

func (l *asks) add(a *Ask) {
	l.lastID++
	l.unanswered++
	a.id = l.lastID
	l.waiting.Put(a.id, a)
	if a.Expires.IsZero() {
		return
	}
	a.listed = true
	before := l.last // most often the right place; an ask that had to wait comes late
	for before != nil && a.Expires.Before(before.Expires) {
		before = before.prev
	}
	a.prev, a.next = before, l.first
	if before != nil {
		a.next = before.next
		before.next = a
	} else {
		l.first = a
	}
	if a.next != nil {
		a.next.prev = a
	} else {
		l.last = a
	}
}

// answered counts an answer.
func (l *asks) answered(id uint64) {
	if id <= l.lastID && l.unanswered > 0 {
		l.unanswered--
	}
	delete(l.streams, id)
}

func (l *asks) remove(a *Ask) {
	l.waiting.Delete(a.id)
	a.id = 0
	if !a.listed {
		return
	}
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		l.first = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	} else {
		l.last = a.prev
	}
	a.prev, a.next, a.listed = nil, nil, false
}

// Unanswered is an ask that has ended without an answer. It is not pending any more, and has to be completed by the caller.
type Unanswered struct {
	Ask *Ask
	// Phase and Execution say how far it came.
	Phase     endpoint.Phase
	Execution endpoint.Execution
}

// end ends the wait of a, which is pending.
func (s *Session) end(a *Ask) Unanswered {
	u := Unanswered{Ask: a, Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted}
	if a.id > s.out.written {
		u.Phase = endpoint.PhaseQueued
	}
	if a.id > s.out.written || a.transfer != nil && !a.transfer.written() {
		u.Execution = endpoint.NotExecuted
	}
	s.asks.remove(a)
	return u
}

// Abandon ends the wait of a, if it is pending. What is not written yet is withdrawn; the peer is told of all else that nobody waits.
func (s *Session) Abandon(a *Ask) (u Unanswered, pending bool) {
	id, t := a.id, a.transfer
	if id == 0 {
		return Unanswered{}, false
	}
	u = s.end(a)
	switch {
	case a.Stream != nil:
		s.abandonStream(a, id, u.Phase == endpoint.PhaseQueued)
	case a.receipt: // nobody waits for the receipt, but the message goes on
		u.Execution = endpoint.MayHaveExecuted
	case t != nil && !t.written():
		s.abort(t)
		s.asks.unanswered-- // an aborted ask is not answered
	case u.Phase == endpoint.PhaseQueued:
		s.withdraw(id, a.account)
	case s.over == nil:
		s.append(&wire.Envelope{Kind: wire.KindCancel, ID: id})
	}
	a.account = nil
	return u, true
}

// withdraw takes the ask or lookup with that id, which is in no frame, out of its batch, as if it had not been posted; account is
// what it was charged to, if anything.
func (s *Session) withdraw(id uint64, account *account) {
	o := &s.out
	b, at := &o.open, slices.IndexFunc(o.ready, func(b batch) bool { return b.lastAsk >= id })
	if at >= 0 {
		b = &o.ready[at]
	}
	before := len(b.body.Bytes)
	var cost uint64
	b.removeAll(func(e *wire.Envelope) bool {
		return e.ID == id && (e.Kind == wire.KindAsk || e.Kind == wire.KindLookup)
	}, func(_ *wire.Envelope, c uint64) { cost = c })
	o.queued -= before - len(b.body.Bytes)
	if account != nil {
		account.window.Discharge(1, cost)
		o.session.Discharge(1, cost)
	}
	s.asks.unanswered--
	if len(b.body.Bytes) == 0 {
		b.body.Release()
		if at >= 0 {
			o.ready = slices.Delete(o.ready, at, at+1)
		} else {
			o.open = batch{}
		}
	}
	s.drained()
	s.wake()
}

// Lookup asks whether an endpoint exists and, if service is not empty, implements it. It takes no credit.
func (s *Session) Lookup(a *Ask, envID, name, service string) *endpoint.Error {
	if s.over != nil {
		return sessionOver(s.over)
	}
	if err := s.refuseAsk(); err != nil {
		return err
	}
	s.asks.add(a)
	s.append(&wire.Envelope{Kind: wire.KindLookup, ID: a.id, Target: wire.Target{EnvID: envID, Endpoint: name}, Service: service})
	s.out.open.lastAsk = a.id
	return nil
}
