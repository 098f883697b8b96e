package session

import (
	"slices"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// fault lets go wrong what is to go wrong now.
func (s *sim) fault() {
	f := &s.faults
	p := s.pairs[s.r.IntN(len(s.pairs))]
	if len(s.streams) > 0 {
		st := s.streams[s.r.IntN(len(s.streams))]
		if s.once(f.cut) {
			s.cuts++
			s.cut(st)
		}
		if s.once(f.stall) {
			pipe := &st.pipes[s.r.IntN(2)]
			for i := range pipe.flights {
				pipe.flights[i].due = pipe.flights[i].due.Add(100 * time.Millisecond)
			}
			pipe.last = pipe.last.Add(100 * time.Millisecond)
		}
		if s.once(f.hole) {
			s.hole(st, s.r.IntN(2))
		}
	}
	if s.once(f.lull) { // nobody does anything for a while
		s.now = s.now.Add(s.millis(150))
	}
	if s.once(f.rotate) && p.end != nil && p.opening == nil {
		s.dial(p)
	}
	if n := len(p.hellos); s.once(f.stale) && n > 1 { // a hello that was delayed for long; nobody waits for its answer
		s.open(p, p.hellos[s.r.IntN(n-1)])
	}
	if s.once(f.crash) {
		s.crash(s.envs[s.r.IntN(len(s.envs))])
	}
	if e := s.anEnd(); s.once(f.kill) && e != nil {
		s.kills++
		s.over(e)
	}
	if e := s.anEnd(); s.once(f.bye) && e != nil {
		e.Bye(errEnded)
	}
}

// crash ends a program, without a word to anybody, and starts it anew. The streams that it has end, or are just silent.
func (s *sim) crash(v *env) {
	s.crashes++
	for _, st := range s.streams {
		p := st.pairing
		if p.dialler == v || p.listener == v {
			s.cut(st)
		}
	}
	for _, e := range v.ends {
		s.count(e)
		e.stream = nil
	}
	for _, p := range s.pairs {
		if p.dialler == v {
			p.end, p.opening, p.hellos = nil, nil, nil
		}
	}
	s.start(v)
}

// relay is what an Env has still to pass on from one session to one endpoint of another Env, in order.
type relay struct {
	env   *env
	from  *end
	key   mailboxKey
	queue []*relayed
}

// relayed is a message that is passed on.
type relayed struct {
	delivered
	from      *end
	to        *end // once it is accepted there
	hop       *message
	cancelled bool
	deadline  time.Time // zero if it has none
}

// relay passes a message on that came to e for another Env, behind those that came before.
func (s *sim) relay(e *end, d delivered) {
	m := &relayed{delivered: d, from: e}
	if d.ev.RemainingMicros != 0 {
		m.deadline = s.now.Add(time.Duration(d.ev.RemainingMicros) * time.Microsecond)
	}
	if e.env.endTo(d.ev.To.EnvID) == nil {
		s.notHere++
		s.taken(e, &d.ev)
		s.passed(m, sessionOver(errEnded))
		return
	}
	if d.ev.Kind == wire.KindAsk {
		e.relayed[d.ev.ID] = m
	}
	key := mailboxKey{d.ev.To.EnvID, d.ev.To.Endpoint}
	for _, r := range e.env.relays {
		if r.from == e && r.key == key {
			r.queue = append(r.queue, m)
			return
		}
	}
	r := &relay{env: e.env, from: e, key: key, queue: []*relayed{m}}
	e.env.relays = append(e.env.relays, r)
	s.pass(r)
}

// pass passes on the first message of r. The sender gets its credit back after that, so it is held up as long as the receiver is.
func (s *sim) pass(r *relay) {
	m := r.queue[0]
	done := func(err *endpoint.Error) {
		s.taken(r.from, &m.ev)
		if err != nil {
			s.passed(m, err)
		} else if s.relayed++; m.cancelled && m.hop.outcomes == 0 {
			s.giveUp(m.to, m.hop)
		}
		if r.queue = r.queue[1:]; len(r.queue) > 0 {
			s.pass(r)
			return
		}
		r.env.relays = slices.DeleteFunc(r.env.relays, func(other *relay) bool { return other == r })
	}
	m.to = r.env.endTo(r.key.envID)
	if m.to == nil {
		done(sessionOver(errEnded))
		return
	}
	m.hop = &message{from: m.to, payload: m.m.payload, origin: m.m}
	if m.ev.Kind == wire.KindAsk {
		m.hop.ask = &Ask{Done: noReply{}}
		m.hop.answered = func(ev *Event) { s.passBack(m, ev) }
	}
	s.tryPost(m.to, &posting{m: m.hop, done: done, Posting: Posting{
		Target: to(r.key.endpoint), Payload: m.ev.Payload, Encoding: m.ev.Encoding, Started: s.now, Deadline: m.deadline, Waiter: credit.NewWaiter(),
	}})
}

// passed ends a message that was not passed on.
func (s *sim) passed(m *relayed, why *endpoint.Error) {
	if m.ev.Kind == wire.KindAsk {
		s.passBack(m, &Event{Status: why.GRPCStatus().Proto()})
	}
}

// passBack answers an ask as the Env has to which it was passed on, or would have been.
func (s *sim) passBack(m *relayed, ev *Event) {
	delete(m.from.relayed, m.ev.ID)
	m.from.Reply(&Reply{ID: m.ev.ID, Status: ev.Status, Payload: ev.Payload, Encoding: ev.Encoding})
}

// cancelled is told that the asker waits no more for an ask. In the mailbox it is not going to run; elsewhere it is answered as
// usual, unless it was passed on.
func (s *sim) cancelled(e *end, id uint64) {
	if !e.arrived[id] {
		s.failf("%s gets a cancel of %d before the ask", e, id)
	}
	s.cancels++
	if m := e.relayed[id]; m != nil {
		if m.cancelled = true; m.hop != nil && m.to.pending[m.hop.ask] == m.hop {
			s.giveUp(m.to, m.hop)
		}
		return
	}
	for _, c := range e.calls {
		if c == c.callee && c.side.id == id {
			c.gone = true
			return
		}
	}
	for i := range e.boxes {
		for j, d := range e.boxes[i] {
			if d.ev.Kind == wire.KindSend || d.ev.ID != id {
				continue
			}
			s.withdrawn++
			e.boxes[i] = slices.Delete(e.boxes[i], j, j+1)
			s.taken(e, &d.ev)
			why := &endpoint.Error{Reason: endpoint.ReasonCancelled, Execution: endpoint.NotExecuted}
			if d.ev.Kind == wire.KindHeaders {
				s.refuseCall(e, &d.ev, why)
				return
			}
			e.Reply(&Reply{ID: id, Status: why.GRPCStatus().Proto()})
			return
		}
	}
}
