package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// sim is one run of the simulator: Envs with sessions between them, over streams that are delayed, cut and replaced at random. All
// it does follows from its seed: it has no clock and no goroutine, and what it goes through is in slices.
type sim struct {
	*testing.T
	*tally
	seed    uint64
	r       *rand.Rand
	now     time.Time
	resume  bool // the sessions outlive their streams; if not, nothing goes wrong with these
	faults  faults
	envs    []*env
	pairs   []*pairing
	streams []*stream // that anything can still be read from
	last    uint64    // the last number given to a message or session
	data    []byte    // every payload is a part of it
	calm    bool      // the faults are over
	trace   uint64    // a sum of all that was written and when, for a comparison of two runs
}

// faults are what goes wrong in a run, and how seldom; 0 for never.
type faults struct {
	cut, stall, rotate, crash, kill, bye, stale, hole, lull int // once in so many steps
	lost, wrong                                             int // once in so many openings: a lost welcome, a received that is not true
	replica                                                 int // once in so many: the dialler comes to another replica
}

// tally counts what happened in all runs, so that a simulation which did not try something fails.
type tally struct {
	seeds, steps, cuts, attaches, replays, duplicates, staleEpochs, refusedAttaches, aborts uint64

	rests, crashes, kills, byes, expired, dead, gaps, wrong, lost, orphans, retired, rotations                                                      uint64
	sessions, delivered, replies, relayed, notHere, cancels, withdrawn, unposted, waits, full, replayFulls, lostSends, notExecuted, mayHaveExecuted uint64

	callWaits, callEnds, readMessages uint64

	held, widened uint64 // chunks that waited for an acknowledgement, and windows of them that had grown
}

// env is a program, through its restarts.
type env struct {
	name     string
	id       string // new at each start
	limits   Limits
	ends     []*end          // the sessions that live here, the oldest first
	outlived map[uint64]bool // the sessions here that outlived their time
	relays   []*relay
}

// newSim returns a run: two Envs, or three of which one is between the others.
func newSim(t *testing.T, seed uint64, count *tally) *sim {
	r := rand.New(rand.NewPCG(seed, 3))
	s := &sim{T: t, tally: count, seed: seed, r: r, now: epoch, data: simData}
	if r.IntN(8) > 0 {
		s.resume, s.faults = true, someFaults(r)
	}
	ttl := time.Duration(100+r.IntN(2000)) * time.Millisecond
	if r.IntN(2) == 0 {
		ttl *= 5
	}
	beat := time.Duration(60+r.IntN(400)) * time.Millisecond
	names := []string{"a", "b"}
	if r.IntN(3) == 0 {
		names = append(names, "c")
	}
	for _, name := range names {
		s.envs = append(s.envs, &env{name: name, limits: s.limits(ttl, beat)})
	}
	for _, v := range s.envs {
		s.start(v)
	}
	s.pairs = append(s.pairs, &pairing{dialler: s.envs[0], listener: s.envs[1]})
	if len(s.envs) == 3 { // b is the relay, and is dialled or dials
		p := &pairing{dialler: s.envs[2], listener: s.envs[1]}
		if r.IntN(2) == 0 {
			p.dialler, p.listener = p.listener, p.dialler
		}
		s.pairs = append(s.pairs, p)
	}
	return s
}

// someFaults returns what goes wrong in a run.
func someFaults(r *rand.Rand) faults {
	often := func(least int) int { // in one run of three never
		if r.IntN(3) == 0 {
			return 0
		}
		return least + r.IntN(3*least)
	}
	return faults{
		cut: 15 + r.IntN(150), stall: often(40), rotate: often(20), crash: often(400), kill: often(800), bye: often(400), stale: often(60),
		hole: often(60), lull: often(50), lost: often(3), wrong: often(40), replica: often(5),
	}
}

// limits are small, so that windows fill, and different at each side; or so wide that queues do.
func (s *sim) limits(ttl, beat time.Duration) Limits {
	wide := s.r.IntN(3) == 0
	return limited(func(l *Limits) {
		l.SessionTTL, l.Heartbeat = ttl+time.Duration(s.r.IntN(100))*time.Millisecond, beat
		if wide {
			return
		}
		l.MailboxMessages, l.MailboxBytes = 1+s.r.Uint64N(40), 1+s.r.Uint64N(100_000)
		l.SessionBytes, l.TransferBytes = 1+s.r.Uint64N(50_000), 1+s.r.Uint64N(300_000)
		l.Routes, l.Transfers, l.Pending = 1+s.r.Uint32N(8), 1+s.r.Uint32N(4), 1+s.r.Uint32N(50)
		l.StreamBytes, l.Streams = 1+s.r.Uint64N(30_000), 1+s.r.Uint32N(20)
		l.ReplayBytes = 1 + s.r.Uint64N(1_000_000)
		if s.r.IntN(4) == 0 {
			l.ReplayBytes = 1 + s.r.Uint64N(batchBytes+20_000)
		}
	})
}

// start starts v, perhaps again: as another Env, which knows nothing.
func (s *sim) start(v *env) {
	id := uuid.UUID{6: 0x70, 8: 0x80, 15: byte(s.next())}
	id[14] = byte(s.last >> 8)
	v.id, v.ends, v.relays, v.outlived = id.String(), nil, nil, map[uint64]bool{}
}

func (s *sim) next() uint64 {
	s.last++
	return s.last
}

func (s *sim) failf(format string, args ...any) {
	s.Helper()
	s.Fatalf("PARLEY_SEED=%d after %v: %s", s.seed, s.now.Sub(epoch), fmt.Sprintf(format, args...))
}

// once reports true once in n times; never if n is 0.
func (s *sim) once(n int) bool { return !s.calm && n > 0 && s.r.IntN(n) == 0 }

// millis returns a time below n milliseconds.
func (s *sim) millis(n int) time.Duration {
	return time.Duration(s.r.IntN(n*1000)) * time.Microsecond
}

// run takes so many steps at random, and then lets all come to its end.
func (s *sim) run(steps int) {
	for range steps {
		s.now = s.now.Add(s.millis(4))
		s.dialAll()
		if e := s.anEnd(); e != nil {
			s.step(e)
		}
		for n := s.r.IntN(3); n > 0 && len(s.streams) > 0; n-- {
			s.read(s.streams[s.r.IntN(len(s.streams))], s.r.IntN(2), s.r.IntN(4))
		}
		s.fault()
	}
	s.steps += uint64(steps)
	s.seeds++
	s.finish()
}

// anEnd returns one side of a session, or nil if there is none.
func (s *sim) anEnd() *end {
	v := s.envs[s.r.IntN(len(s.envs))]
	if len(v.ends) == 0 {
		return nil
	}
	return v.ends[s.r.IntN(len(v.ends))]
}

// step lets e do something.
func (s *sim) step(e *end) {
	switch s.r.IntN(19) {
	case 0, 1, 2:
		n := 1
		if s.r.IntN(20) == 0 {
			n = s.r.IntN(100)
		}
		for ; n > 0; n-- {
			s.post(e)
		}
	case 3:
		s.retry(e)
	case 4, 5:
		s.take(e)
	case 6, 7:
		s.answer(e)
	case 8:
		if s.r.IntN(5) == 0 {
			s.abandon(e)
		}
	case 9:
		s.tick(e)
	case 10:
		if s.r.IntN(4) == 0 {
			s.call(e)
		}
	case 11, 12:
		for n := s.r.IntN(8); n > 0; n-- {
			s.converse(e)
		}
	default:
		for n := s.r.IntN(3); n > 0 && s.write(e); n-- {
		}
	}
}

// finish lets everything come to its end without further faults, and fails if anything is left.
func (s *sim) finish() {
	s.calm = true
	for round := 0; round%8 != 0 || s.left() != ""; round++ {
		pause := 5 * time.Millisecond
		if len(s.streams) == 0 {
			pause *= 5
		}
		s.round(pause)
		if round > 8000 {
			s.failf("left in the end: %s", s.left())
		}
	}
	if s.r.IntN(4) == 0 {
		s.rest()
	}
	for _, v := range s.envs {
		for _, e := range v.ends {
			s.count(e)
		}
	}
}

// round lets time pass, and then each side do all that it can.
func (s *sim) round(pause time.Duration) {
	s.now = s.now.Add(pause)
	s.dialAll()
	for _, v := range s.envs {
		for _, e := range slices.Clone(v.ends) {
			s.retry(e)
			for s.take(e) || s.answer(e) {
			}
			for _, c := range slices.Clone(e.calls) {
				for n := 0; n < 20 && s.goOn(c); n++ {
				}
			}
			for s.write(e) {
			}
			s.tick(e)
		}
	}
	for _, st := range slices.Clone(s.streams) {
		s.read(st, dialler, 1000)
		s.read(st, listener, 1000)
	}
}

// rest lets nothing happen but heartbeats, and checks that no stream is given up. Of streams that are slow some would be, and those must be that
// were cut without a word to one side; and an old hello that is still on its way would open a session that nobody wants.
func (s *sim) rest() {
	const quick, pause = 20 * time.Millisecond, 20 * time.Millisecond
	for _, st := range s.streams {
		for _, p := range st.pipes {
			if p.delay > quick || p.cut {
				return
			}
		}
		if st.unopened() {
			return
		}
	}
	s.rests++
	dead := s.dead
	for until := s.now.Add(3 * mostMisses * s.envs[0].limits.Heartbeat); s.now.Before(until); {
		s.round(pause)
	}
	if left := s.left(); left != "" || s.dead != dead {
		s.failf("%d streams were given up for being silent; %s", s.dead-dead, left)
	}
}
