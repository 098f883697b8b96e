package session

import (
	"fmt"
	"slices"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// end is one side of a session, with what its program does.
type end struct {
	*Session
	pairing        *pairing
	env            *env
	envID, peerEnv string // the Env ids of this side and the other
	dialled        bool
	session, token uint64
	epoch          uint64  // of the stream that was attached last; at the dialler, that it has tried
	attached       uint64  // as the checks have seen it
	stream         *stream // nil if there is none
	heard          bool    // the other side has sent something
	bye            bool    // it has said bye
	peer           *end    // the other side; nil until the dialler has its welcome

	// As a sender.
	sent    map[mailboxKey][]*message // accepted, and neither arrived nor known not to come
	pending map[*Ask]*message
	asks    []*message // the same, in order
	waiting []*posting
	calls   []*callSide // streaming calls of both directions that run here
	frames  frames

	// As a receiver.
	boxes   [simEndpoints][]delivered
	open    []delivered // asks and lookups without an answer
	arrived map[uint64]bool
	relayed map[uint64]*relayed // asks that are passed on
}

// simEndpoints is how many endpoints an Env has.
const simEndpoints = 5

// delivered is a message that has arrived.
type delivered struct {
	ev Event
	m  *message // nil for a lookup
}

// posting is a message that is on its way into a session. done is told once whether it was accepted.
type posting struct {
	Posting
	m    *message
	done func(*endpoint.Error)
}

func (s *sim) newEnd(p *pairing, own, peer *env, session uint64) *end {
	e := &end{
		Session: New(own.limits, peer.limits), pairing: p, env: own, envID: own.id, peerEnv: peer.id, session: session,
		sent: map[mailboxKey][]*message{}, pending: map[*Ask]*message{}, arrived: map[uint64]bool{}, relayed: map[uint64]*relayed{},
		frames: frames{transfers: map[uint64]*message{}, routes: map[uint32]wire.Target{}, sends: map[mailboxKey][]*message{}},
	}
	e.CarryStreams()
	if s.resume {
		e.Resume()
		e.out.pace = newPace(s.someAhead())
		e.Watch(s.now)
	}
	own.ends = append(own.ends, e)
	return e
}

func (e *end) side() int {
	if e.dialled {
		return dialler
	}
	return listener
}

func (e *end) String() string { return fmt.Sprintf("%s in session %d", e.env.name, e.session) }

// session returns the session of v with that id, or nil.
func (v *env) session(id uint64) *end {
	for _, e := range v.ends {
		if e.session == id {
			return e
		}
	}
	return nil
}

// endTo returns the oldest session of v with an Env, or nil.
func (v *env) endTo(envID string) *end {
	for _, e := range v.ends {
		if e.peerEnv == envID {
			return e
		}
	}
	return nil
}

// post posts something: an ask or send to the peer, or through it to the Env behind it, or a lookup.
func (s *sim) post(e *end) {
	if s.r.IntN(10) == 0 {
		m := &message{from: e, lookup: true, ask: &Ask{Done: noReply{}, Expires: s.now.Add(s.millis(2000))}}
		switch err := e.Lookup(m.ask, "", "e0", ""); {
		case err == nil:
			s.asked(e, m)
		case err.Reason != endpoint.ReasonOverloaded && e.Over() == nil:
			s.failf("Lookup: %v", err)
		}
		return
	}
	size := 8 + s.r.IntN(100)
	if s.r.IntN(6) == 0 {
		size = 8 + s.r.IntN(1<<(13+s.r.IntN(5)))
	}
	m := s.message(e, size)
	q := &posting{m: m, Posting: Posting{Target: to(fmt.Sprintf("e%d", s.r.IntN(simEndpoints))), Encoding: wire.Proto}}
	q.Payload, q.Parts = s.either(m.payload)
	if s.r.IntN(4) == 0 {
		q.Target.EnvID = s.behind(e)
	}
	if s.r.IntN(2) == 0 {
		m.ask = &Ask{Done: noReply{}}
		if s.r.IntN(2) == 0 {
			m.ask.Expires = s.now.Add(s.millis(2000))
		}
		if s.r.IntN(2) == 0 {
			q.Started, q.Deadline = s.now, s.now.Add(time.Duration(1+s.r.Uint64N(1_000_000))*time.Microsecond)
		}
	}
	if s.r.IntN(2) == 0 {
		q.Waiter = credit.NewWaiter()
	}
	s.tryPost(e, q)
}

// behind returns the id of the Env behind the peer of e, or none.
func (s *sim) behind(e *end) string {
	if len(s.envs) == 3 && e.env != s.envs[1] {
		return s.envs[2-slices.Index(s.envs, e.env)].id
	}
	return ""
}

// tryPost posts q; if it has to wait, it joins those that do.
func (s *sim) tryPost(e *end, q *posting) {
	q.Ask = q.m.ask
	accepted, err := e.Post(&q.Posting)
	switch {
	case accepted:
		s.accepted(e, q)
	case err == nil && q.Waiter != nil:
		s.waits++
		e.waiting = append(e.waiting, q)
		return
	case err == nil:
		s.full++
		err = overloaded("", "no room")
	case err.Reason != endpoint.ReasonOverloaded && e.Over() == nil:
		s.failf("Post: %v", err)
	}
	if q.done != nil {
		q.done(err)
	}
}

// accepted notes a message that was accepted.
func (s *sim) accepted(e *end, q *posting) {
	key := mailboxKey{q.Target.EnvID, q.Target.Endpoint}
	if q.m.deadline = q.Deadline; !q.Deadline.IsZero() {
		q.m.patience = max(0, q.Deadline.Sub(q.Started))
	}
	e.sent[key] = append(e.sent[key], q.m)
	if q.m.call != nil {
		e.calls = append(e.calls, q.m.call)
	}
	if q.m.ask != nil {
		s.asked(e, q.m)
	} else {
		e.frames.sent(key, q.m, e.out.lastTransfer)
	}
}

// asked notes an ask or lookup that was accepted.
func (s *sim) asked(e *end, m *message) {
	e.pending[m.ask] = m
	e.asks = append(e.asks, m)
	e.frames.asked(m)
}

// retry lets those that were woken try again; now and then one gives up.
func (s *sim) retry(e *end) {
	waiting := e.waiting
	e.waiting = nil
	for _, q := range waiting {
		switch {
		case q.done == nil && s.r.IntN(30) == 0:
			e.Leave(&q.Posting)
		case turn(q.Waiter):
			s.tryPost(e, q)
		default:
			e.waiting = append(e.waiting, q)
		}
	}
}

// take takes a message out of some mailbox, and begins to handle it.
func (s *sim) take(e *end) bool {
	first := s.r.IntN(simEndpoints)
	for i := range e.boxes {
		box := &e.boxes[(first+i)%simEndpoints]
		if len(*box) == 0 {
			continue
		}
		d := (*box)[0]
		*box = (*box)[1:]
		s.ran(d.m)
		s.taken(e, &d.ev)
		switch d.ev.Kind {
		case wire.KindAsk:
			e.open = append(e.open, d)
		case wire.KindHeaders:
			e.calls = append(e.calls, d.m.call.callee)
		}
		return true
	}
	return false
}

// taken returns the credit of a message.
func (s *sim) taken(e *end, ev *Event) {
	if e.Take(ev.Account, ev.Cost) {
		e.StateCredit(ev.Account)
	} else if e.Withheld(ev.Account) {
		e.StateCreditLater(s.now, ev.Account)
	}
}

// either returns a payload in one piece or, if it is large, perhaps in parts.
func (s *sim) either(payload []byte) ([]byte, *wire.Parts) {
	if len(payload) > MostWhole && s.r.IntN(2) == 0 {
		return nil, inParts(payload)
	}
	return payload, nil
}

// answer answers an ask or lookup.
func (s *sim) answer(e *end) bool {
	if len(e.open) == 0 {
		return false
	}
	i := s.r.IntN(len(e.open))
	d := e.open[i]
	e.open = slices.Delete(e.open, i, i+1)
	r := &Reply{ID: d.ev.ID}
	if d.m != nil {
		r.Payload, r.Parts = s.either(d.m.root().reply)
		r.Encoding = wire.Proto
	}
	e.Reply(r)
	return true
}

// abandon gives up some ask.
func (s *sim) abandon(e *end) {
	if len(e.asks) == 0 {
		return
	}
	if m := e.asks[s.r.IntN(len(e.asks))]; m.origin == nil {
		s.giveUp(e, m)
	}
}

// giveUp gives up an ask that is pending.
func (s *sim) giveUp(e *end, m *message) {
	u, pending := e.Abandon(m.ask)
	if !pending {
		s.failf("an ask of %s was not pending", e)
	}
	s.givenUp(e, u, endpoint.ReasonCancelled)
}

// givenUp notes an ask that has ended without an answer, though the session lives.
func (s *sim) givenUp(e *end, u Unanswered, why endpoint.Reason) {
	m := e.pending[u.Ask]
	if m == nil {
		s.failf("an ask of %s has ended that was over", e)
	}
	switch t := u.Ask.transfer; {
	case t != nil && t.ended && !t.written():
		m.aborted = true
		s.aborts++
	case u.Phase == endpoint.PhaseQueued:
		s.unposted++
		s.forget(e, m)
	}
	s.endedPending(e, u, why)
}

// forget says that m, which was accepted, is withdrawn.
func (s *sim) forget(e *end, m *message) {
	for key, queue := range e.sent {
		e.sent[key] = slices.DeleteFunc(queue, func(other *message) bool { return other == m })
	}
}

// tick does what the owner's timer does. After both have said bye, and each knows that, it ends the session.
func (s *sim) tick(e *end) {
	if frames, _ := e.Unacknowledged(); e.bye && frames == 0 && e.Idle() && e.out.bye == nil && !e.HasFrame() && e.in.ackAt.IsZero() {
		s.over(e)
		return
	}
	for range 2 * mostMisses {
		d := e.Deadline()
		if d.IsZero() || s.now.Before(d) {
			return
		}
		for _, u := range e.Tick(s.now) {
			s.givenUp(e, u, endpoint.ReasonTimeout)
		}
		switch v := e.Check(s.now); {
		case v.Dead != "":
			s.dead++
			s.broken(e)
		case v.Expired:
			s.expired++
			e.env.outlived[e.session] = !e.dialled
			s.over(e)
			return
		}
	}
	s.failf("%s is due at %v however often it is told the time", e, e.Deadline().Sub(epoch))
}

// over ends a session at one side.
func (s *sim) over(e *end) {
	if e.stream != nil {
		s.leave(e.stream, e.side())
		e.stream = nil
	}
	if p := e.pairing; p.end == e {
		p.end, p.opening = nil, nil
		p.again = s.now.Add(time.Millisecond)
	}
	e.env.ends = slices.DeleteFunc(e.env.ends, func(other *end) bool { return other == e })
	s.unacknowledged(e)
	for _, u := range e.End(errEnded) {
		s.endedPending(e, u, endpoint.ReasonSessionEnded)
	}
	s.endCalls(e)
	waiting := e.waiting
	e.waiting = nil
	for _, q := range waiting {
		accepted, err := e.Post(&q.Posting)
		if accepted || err == nil || err.Execution != endpoint.NotExecuted {
			s.failf("Post at the end of %s: %t, %v", e, accepted, err)
		}
		if q.done != nil {
			q.done(err)
		}
	}
	s.ended(e)
}
