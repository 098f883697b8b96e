package session

import (
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// Ask is an ask, a lookup, or a send that wants a receipt, of this side that waits for its answer.
type Ask struct {
	// Done is told the outcome, by the owner of the session.
	Done endpoint.Completion
	// Expires is when the ask ends by itself; zero if only its context ends it. It is for the Env's default timeout, so that
	// asks come nearly in its order.
	Expires time.Time

	id         uint64 // 0 while it is not pending
	receipt    bool   // it is a send that wants a receipt
	transfer   *transfer
	listed     bool
	prev, next *Ask
}

// asks are the pending asks of this side.
type asks struct {
	lastID      uint64
	unanswered  int // asks without a reply, whether somebody still waits for it or not
	waiting     map[uint64]*Ask
	first, last *Ask // those with Expires, the earliest first
}

func (l *asks) add(a *Ask) {
	l.lastID++
	l.unanswered++
	a.id = l.lastID
	l.waiting[a.id] = a
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
}

func (l *asks) remove(a *Ask) {
	delete(l.waiting, a.id)
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

// Abandon ends the wait of a. It reports whether a was pending; if so, the peer is told that nobody waits, and the caller
// has to complete a.
func (s *Session) Abandon(a *Ask) bool {
	if a.id == 0 {
		return false
	}
	id := a.id
	s.asks.remove(a)
	if s.over != nil {
		return true
	}
	if a.receipt {
		return true // nobody waits for the receipt, but the message goes on
	}
	if t := a.transfer; t != nil && !t.written() {
		s.abort(t)
		s.asks.unanswered-- // an aborted ask is not answered
		return true
	}
	s.append(&wire.Envelope{Kind: wire.KindCancel, ID: id})
	return true
}

// Lookup asks whether an endpoint exists and, if service is not empty, implements it. It takes no credit.
func (s *Session) Lookup(a *Ask, envID, name, service string) *endpoint.Error {
	if s.over != nil {
		return sessionOver(s.over)
	}
	if s.asks.unanswered >= int(s.peer.Pending) {
		return overloaded("the peer's limit on pending asks", "too many asks are pending")
	}
	s.asks.add(a)
	s.append(&wire.Envelope{Kind: wire.KindLookup, ID: a.id, Target: wire.Target{EnvID: envID, Endpoint: name}, Service: service})
	s.out.open.lastAsk = a.id
	return nil
}
