package session

import (
	"bytes"
	"slices"
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// The model of package link: section 3.2 of docs/protocol.md, and no more of it than a simulation needs.

// The two ends of a stream, and of a pairing.
const (
	dialler  = 0
	listener = 1
)

// pairing is two Envs, one of which dials the other, time and again.
type pairing struct {
	dialler, listener *env
	end               *end      // the dialler's side of its session; nil if it has none
	opening           *stream   // on which it waits for a welcome; nil if there is none
	until             time.Time // how long it waits
	again             time.Time // it does not dial before
	hellos            []hello   // that were sent, of which some may come again
}

// stream is one call of Connect.
type stream struct {
	pairing *pairing
	hello   hello
	serves  *end    // the listener's session, once it was accepted
	pipes   [2]pipe // by who reads
	holed   bool    // a frame was lost from its middle
}

// pipe is one direction of a stream.
type pipe struct {
	flights []flight
	delay   time.Duration
	last    time.Time // when the last of them arrives
	cut     bool      // what is written is lost
}

// flight is what is on its way: one of these.
type flight struct {
	due     time.Time
	hello   bool
	welcome *welcome
	refusal string
	frame   []byte
	end     bool // the stream's
}

// hello is the dialler's; without a session it wants a new one.
type hello struct {
	from, env       string // the Env ids of the dialler and, to attach, the listener
	session, token  uint64
	epoch, received uint64
	wrong           bool // received was never true
}

type welcome struct {
	end      *end // the listener's
	received uint64
	wrong    bool
}

// dialAll lets those dial who should.
func (s *sim) dialAll() {
	for _, p := range s.pairs {
		if p.opening != nil && !s.now.Before(p.until) {
			s.leave(p.opening, dialler)
			p.opening = nil
		}
		if p.opening == nil && (p.end == nil || p.end.Detached()) && !s.now.Before(p.again) {
			s.dial(p)
		}
	}
}

// dial opens a stream: for a new session, or to go on with the one that there is, whose stream may still work.
func (s *sim) dial(p *pairing) {
	p.again = s.now.Add(s.millis(30))
	p.until = s.now.Add(50*time.Millisecond + s.millis(100))
	h := hello{from: p.dialler.id, epoch: 1}
	if e := p.end; e != nil {
		e.epoch++
		h = hello{from: e.envID, env: e.peerEnv, session: e.session, token: e.token, epoch: e.epoch, received: e.Received()}
		if s.once(s.faults.replica) {
			h.env = "another replica"
		}
		if h.wrong = s.once(s.faults.wrong); h.wrong {
			h.received += 1 << 40
		}
		if e.stream != nil {
			s.rotations++
			if s.r.IntN(2) == 0 { // it may go on with the old stream, or stop writing there
				e.Detach(s.now)
			}
		}
	}
	p.opening = s.open(p, h)
	p.hellos = append(p.hellos, h)
}

// open starts a stream with a hello.
func (s *sim) open(p *pairing, h hello) *stream {
	st := &stream{pairing: p, hello: h}
	for i := range st.pipes {
		st.pipes[i].delay = s.millis(1 + s.r.IntN(10))
		if s.once(6) {
			st.pipes[i].delay = s.millis(100)
		}
	}
	s.streams = append(s.streams, st)
	s.put(st, listener, flight{hello: true})
	return st
}

// put sends f to the one who reads there.
func (s *sim) put(st *stream, reader int, f flight) {
	p := &st.pipes[reader]
	if p.cut {
		return
	}
	f.due = s.now.Add(p.delay + s.millis(2))
	if f.due.Before(p.last) {
		f.due = p.last
	}
	p.last = f.due
	p.flights = append(p.flights, f)
	p.cut = f.end
}

// leave is what side does with a stream that it uses no more: the other reads what is on its way, and then the end.
func (s *sim) leave(st *stream, side int) {
	if st != nil {
		s.put(st, 1-side, flight{end: true})
	}
}

// read lets side read up to n of what has come.
func (s *sim) read(st *stream, side, n int) {
	p := &st.pipes[side]
	for ; n > 0 && len(p.flights) > 0 && !s.now.Before(p.flights[0].due); n-- {
		f := p.flights[0]
		p.flights = p.flights[1:]
		switch {
		case f.hello:
			s.accept(st)
		case f.welcome != nil:
			s.welcomed(st, f.welcome)
		case f.refusal != "":
			s.refused(st, f.refusal)
		case f.end:
			s.readEnd(st, side)
		default:
			s.readFrame(st, side, f.frame)
		}
	}
	if st.quiet() {
		s.streams = slices.DeleteFunc(s.streams, func(other *stream) bool { return other == st })
	}
}

// quiet reports whether nothing is read any more on st.
func (st *stream) quiet() bool {
	return len(st.pipes[dialler].flights) == 0 && len(st.pipes[listener].flights) == 0 &&
		st.reader(dialler) == nil && st.reader(listener) == nil && st.pairing.opening != st
}

// unopened reports whether the listener has still to read the hello.
func (st *stream) unopened() bool {
	p := &st.pipes[listener]
	return len(p.flights) > 0 && p.flights[0].hello
}

// reader returns the session whose current stream st is at that side, or nil: then what is read there is dropped.
func (st *stream) reader(side int) *end {
	e := st.pairing.end
	if side == listener {
		e = st.serves
	}
	if e == nil || e.stream != st {
		return nil
	}
	return e
}

// accept is the listener's answer to a hello.
func (s *sim) accept(st *stream) {
	h, v := st.hello, st.pairing.listener
	if h.session == 0 {
		s.acceptNew(st)
		return
	}
	e := v.session(h.session)
	switch {
	case h.env != v.id:
		s.refuse(st, "WRONG_ENV")
	case e == nil && v.outlived[h.session]:
		s.refuse(st, "EXPIRED")
	case e == nil:
		s.refuse(st, "UNKNOWN")
	case h.token != e.token:
		s.refuse(st, "DENIED")
	case h.epoch <= e.epoch:
		s.staleEpochs++
		s.refuse(st, "DENIED")
	case h.wrong && !e.MayAttach(h.received):
		s.wrong++
		s.refuse(st, "UNKNOWN")
	default:
		s.attach(st, e)
	}
}

// acceptNew opens a session. One whose dialler has not been heard since its hello ends: its welcome was lost.
func (s *sim) acceptNew(st *stream) {
	p := st.pairing
	for _, e := range slices.Clone(p.listener.ends) {
		if e.peerEnv == st.hello.from && e.pairing == p && !e.dialled && !e.heard {
			s.orphans++
			s.over(e)
		}
	}
	e := s.newEnd(p, p.listener, p.dialler, s.next())
	e.peerEnv, e.epoch, e.stream, e.token = st.hello.from, 1, st, s.next()
	st.serves = e
	s.welcome(st, &welcome{end: e})
}

// welcome lets the dialler know, unless that is lost: then it is going to try again.
func (s *sim) welcome(st *stream, w *welcome) {
	if s.once(s.faults.lost) {
		s.lost++
		st.pipes[dialler].flights, st.pipes[dialler].cut = nil, true
		return
	}
	s.put(st, dialler, flight{welcome: w})
}

// attach moves e to st, which retires the stream before.
func (s *sim) attach(st *stream, e *end) {
	if e.stream != nil {
		s.retired++
		s.leave(e.stream, listener)
	}
	e.Detach(s.now)
	s.risen(e, st.hello.epoch)
	e.stream, e.epoch, st.serves = st, st.hello.epoch, e
	received := e.Received()
	if v := e.Attach(s.now, st.hello.received); v != nil {
		s.failf("%s, attached with %+v: %v", e, st.hello, v)
	}
	w := &welcome{end: e, received: received}
	if w.wrong = s.once(s.faults.wrong); w.wrong {
		w.received += 1 << 40
	}
	s.welcome(st, w)
}

func (s *sim) refuse(st *stream, why string) {
	s.refusedAttaches++
	s.put(st, dialler, flight{refusal: why})
	s.leave(st, listener)
}

// welcomed is the dialler's part, unless it waits no more.
func (s *sim) welcomed(st *stream, w *welcome) {
	p := st.pairing
	if p.opening != st {
		return
	}
	p.opening = nil
	if st.hello.session == 0 {
		e := s.newEnd(p, p.dialler, p.listener, w.end.session)
		e.dialled, e.epoch, e.stream, e.token = true, 1, st, w.end.token
		e.peer, w.end.peer = w.end, e
		e.peerEnv = w.end.envID // as the welcome says: the listener may have been restarted since
		p.end = e
		s.sessions++
		s.put(st, listener, flight{frame: []byte{}}) // so that the listener knows that its welcome has come
		return
	}
	e := p.end
	s.leave(e.stream, dialler)
	e.Detach(s.now)
	e.stream = st
	if v := e.Attach(s.now, w.received); v != nil {
		if v.Row != "A37" || !w.wrong {
			s.failf("%s, welcomed with %+v: %v", e, w, v)
		}
		s.wrong++
		s.over(e)
	}
}

// refused is what a refusal means to the dialler.
func (s *sim) refused(st *stream, why string) {
	p := st.pairing
	if p.opening != st {
		return
	}
	p.opening = nil
	switch why {
	case "UNKNOWN", "EXPIRED":
		s.over(p.end)
	case "DENIED":
		s.failf("%s was denied its attach %+v", p.end, st.hello)
	default: // of WRONG_ENV it tries again, until the time-to-live
	}
}

// readFrame takes a frame over, if st is the current stream of who reads it.
func (s *sim) readFrame(st *stream, side int, frame []byte) {
	e := st.reader(side)
	if e == nil {
		return
	}
	e.heard = true
	events, v := e.Receive(new(Intake), s.now, frame)
	for i := range events {
		s.arrive(e, &events[i])
	}
	switch {
	case v == nil:
	case v.Stream && st.holed:
		s.gaps++
		s.broken(e)
	default:
		s.failf("%s found %v", e, v)
	}
}

// readEnd is told that a stream has ended.
func (s *sim) readEnd(st *stream, side int) {
	if side == dialler && st.pairing.opening == st {
		st.pairing.opening = nil
	}
	if e := st.reader(side); e != nil {
		s.broken(e)
	}
}

// broken takes the stream from e.
func (s *sim) broken(e *end) {
	s.leave(e.stream, e.side())
	e.stream = nil
	e.Detach(s.now)
}

// write puts a frame on its way, unless too much is.
func (s *sim) write(e *end) bool {
	if e.stream == nil || len(e.stream.pipes[1-e.side()].flights) > 20 {
		return false
	}
	if e.replayFull() {
		s.replayFulls++
	}
	before := e.out.pace
	b := e.NextFrame(s.now)
	s.paced(e, before)
	if b == nil {
		return false
	}
	s.wrote(e, b.Bytes)
	s.put(e.stream, 1-e.side(), flight{frame: bytes.Clone(b.Bytes)})
	b.Release()
	return true
}

// cut ends a stream at any frame: some of what is on its way may still come. Who reads may be told, or not.
func (s *sim) cut(st *stream) {
	for i := range st.pipes {
		p := &st.pipes[i]
		if n := len(p.flights); n > 0 && s.r.IntN(3) > 0 {
			p.flights = p.flights[:s.r.IntN(n+1)]
		}
		if !p.cut && s.r.IntN(4) > 0 {
			s.put(st, i, flight{end: true})
		}
		p.cut = true
	}
}

// hole loses a frame that side has still to read, if another one comes behind it: nothing else would tell.
func (s *sim) hole(st *stream, side int) {
	e := st.reader(side)
	if e == nil {
		return
	}
	p := &st.pipes[side]
	var numbered []int
	for i, f := range p.flights {
		var h wire.Head
		if f.frame != nil && wire.ParseHead(f.frame, &h) == nil && h.Number > e.Received() {
			numbered = append(numbered, i)
		}
	}
	if len(numbered) > 1 {
		i := numbered[s.r.IntN(len(numbered)-1)]
		p.flights = slices.Delete(p.flights, i, i+1)
		st.holed = true
	}
}
