package session

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/internal/wire"
)

// replay is what makes a session outlive its streams: the frames that the peer has not acknowledged. Its zero value keeps nothing.
type replay struct {
	on       bool   // both sides have agreed to "resume"
	detached bool   // there is no stream
	kept     []kept // in order
	bytes    uint64 // of bodies in kept
	next     int    // the first in kept that is still to be written on this stream
	since    time.Time
}

// fewKept is for how many frames a session that has none to keep holds room.
const fewKept = 128

// kept is a frame until it is acknowledged.
type kept struct {
	number uint64
	frame  *wire.Buffer
	body   int       // how much of frame is envelopes; a head, which is made anew each time, follows them
	chunk  bool      // its envelope is a chunk
	ready  time.Time // when it was first ready to be written
}

// Resume makes the session outlive its streams: both sides have agreed to that. It must be called before anything else.
func (s *Session) Resume() { s.out.replay.on = true }

// Resumable reports whether the session outlives its streams.
func (s *Session) Resumable() bool { return s.out.replay.on }

// Detached reports whether the session has no stream at present.
func (s *Session) Detached() bool { return s.out.replay.detached }

// DetachedSince returns when the session lost its stream, and reports whether it has none at present.
func (s *Session) DetachedSince() (since time.Time, detached bool) {
	if r := &s.out.replay; r.detached {
		return r.since, true
	}
	return time.Time{}, false
}

// Received returns the number of the last frame that was taken over, for the hello or welcome of an attach.
func (s *Session) Received() uint64 { return s.in.received }

// Unacknowledged returns how many frames, and bytes, are kept.
func (s *Session) Unacknowledged() (frames int, bytes uint64) {
	return len(s.out.replay.kept), s.out.replay.bytes
}

// FirstUnacknowledged returns the number of the first frame that was written and is not acknowledged; 0 if there is none.
func (s *Session) FirstUnacknowledged() uint64 {
	if len(s.out.replay.kept) == 0 {
		return 0
	}
	return s.out.replay.kept[0].number
}

// Progress returns a number that rises with every frame that either side has taken over.
func (s *Session) Progress() uint64 { return s.in.received + s.out.acked }

// Detach says that the stream is gone: nothing is written until Attach, and the session expires after its time-to-live.
func (s *Session) Detach(now time.Time) {
	r := &s.out.replay
	if r.detached {
		return
	}
	r.detached, r.since = true, now
	s.out.pongs = nil
	s.counters.Breaks++
}

// MayAttach reports whether the peer can have received that many frames. It may have acknowledged more: a dialler says what it has
// received before the stream that it still has is retired.
func (s *Session) MayAttach(received uint64) bool { return received <= s.out.number }

// Attach says that there is a new stream, and how much the peer has received. Every frame above that is written again, in order, and
// what heads said is said anew: all of it may have been lost.
func (s *Session) Attach(now time.Time, received uint64) *Violation {
	if !s.MayAttach(received) {
		return violation("A37", codes.InvalidArgument, "the peer has received frame %d, where %d were sent", received, s.out.number)
	}
	s.acknowledge(now, received)
	r := &s.out.replay
	r.detached, r.next = false, 0
	s.out.pace.restart(s.out.number)
	s.out.pongs, s.out.drain = nil, 0
	s.live.restart(now)
	s.counters.Attaches++
	s.restate()
	return nil
}

// restate makes the next frames say again what has been acknowledged and every total above the initial one.
func (s *Session) restate() {
	s.Acknowledge()
	var accounts []*Account
	for _, a := range s.in.accounts.All() {
		accounts = append(accounts, a)
	}
	slices.SortFunc(accounts, func(a, b *Account) int { return a.key.compare(b.key) })
	for _, a := range accounts {
		if messages, _ := a.grant.Totals(); messages > s.own.MailboxMessages {
			s.StateCredit(a)
		}
	}
	s.out.dirtyIn = true
}

// acknowledge drops the frames up to number.
func (s *Session) acknowledge(now time.Time, number uint64) {
	s.out.acked = max(s.out.acked, number)
	r, p := &s.out.replay, &s.out.pace
	n := 0
	var chunk kept // the last of those that have a chunk
	for n < len(r.kept) && r.kept[n].number <= number {
		r.bytes -= uint64(r.kept[n].body)
		r.kept[n].frame.Release()
		if r.kept[n].chunk {
			chunk = r.kept[n]
			p.ahead -= chunk.body
		}
		r.kept[n] = kept{}
		n++
	}
	if n < len(r.kept) || cap(r.kept) > fewKept {
		r.kept = r.kept[n:]
	} else {
		r.kept = r.kept[:0] // the next frame takes the place of this one
	}
	s.out.sends = slices.DeleteFunc(s.out.sends, func(t *transfer) bool { return t.last != 0 && t.last <= s.out.acked })
	r.next = max(0, r.next-n)
	if n > 0 {
		s.live.progressed()
	}
	if chunk.chunk {
		p.acknowledged(now, chunk.number, s.out.number, now.Sub(chunk.ready), s.own.ReplayBytes)
	}
}

// full reports whether no further body may be started until something is acknowledged.
func (s *Session) replayFull() bool {
	r := &s.out.replay
	return r.on && len(r.kept) > 0 && r.bytes+s.nextBody() > s.own.ReplayBytes
}

// nextBody returns how long the next body is at the most. One that a single envelope makes longer than a batch is known already.
func (s *Session) nextBody() uint64 {
	body := s.out.open.body
	if len(s.out.ready) > 0 {
		body = s.out.ready[0].body
	}
	if body == nil {
		return batchBytes
	}
	return max(batchBytes, uint64(len(body.Bytes)))
}

// keep remembers a frame.
func (r *replay) keep(k kept) {
	k.frame.Retain(1)
	r.kept = append(r.kept, k)
	r.bytes += uint64(k.body)
	r.next = len(r.kept)
}

// again returns the next frame to be written again, with a new head, in a buffer of its own: the writer of the stream that
// is gone may still be looking at the old one.
func (s *Session) again(now time.Time) *wire.Buffer {
	r := &s.out.replay
	k := &r.kept[r.next]
	r.next++
	s.counters.Replayed++
	frame := wire.NewBuffer(k.body + headRoom)
	frame.Bytes = append(frame.Bytes, k.frame.Bytes[:k.body]...)
	// At least 1: an age says that a frame comes again.
	s.appendHead(frame, wire.Head{Number: k.number, AgeMicros: uint64(max(now.Sub(k.ready), time.Microsecond) / time.Microsecond)})
	return frame
}

// expired reports whether the session has been without a stream for too long.
func (s *Session) expired(now time.Time) bool {
	d := s.expiry()
	return !d.IsZero() && !now.Before(d)
}

// expiry returns when the session ends if there is no stream until then; zero for never.
func (s *Session) expiry() time.Time {
	r := &s.out.replay
	if !r.detached {
		return time.Time{}
	}
	return r.since.Add(s.ttl)
}

// ExpireWithin lowers the time-to-live of a session to d, which counts from now if there is no stream.
func (s *Session) ExpireWithin(now time.Time, d time.Duration) {
	s.ttl = min(s.ttl, d)
	s.out.replay.since = now
}

// release gives back the frames that are kept.
func (r *replay) release() {
	for i := range r.kept {
		r.kept[i].frame.Release()
	}
	r.kept, r.bytes, r.next = nil, 0, 0
}
