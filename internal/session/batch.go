package session

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-rpc/parley/internal/wire"
)

// batch is the body of a frame in the making.
type batch struct {
	body    *wire.Buffer // nil if there is nothing in it yet
	lastAsk uint64       // the highest ask in it
	replies int          // in it; of those that travel whole
	since   time.Time    // what the asks in it count their remaining time from; zero if none does
	begins  []*transfer  // that begin when it has been written
}

// envelope returns the one in which all that are appended are made, one after the other: to clear but what the last one has set is less than to make a
// new one. Who has used it leaves it empty, but for what all of them set.
func (o *outgoing) envelope() *wire.Envelope {
	if o.scratch == nil {
		o.scratch = wire.NewEnvelope()
	}
	return o.scratch
}

// rest gives back what is needed only while there is something to be written.
func (o *outgoing) rest() {
	if o.scratch != nil {
		o.scratch.Release()
		o.scratch = nil
	}
}

// append puts an envelope into the open batch, and returns its cost.
func (s *Session) append(e *wire.Envelope) int {
	o := &s.out
	size := e.Size()
	framed := framedSize(size)
	s.makeRoom(framed)
	if o.open.body == nil {
		o.open.body = wire.NewBuffer(max(framed, o.hint) + headRoom)
	}
	b := o.open.body.Grow(framed)
	before := len(b.Bytes)
	b.Bytes = e.Append(b.Bytes)
	o.open.body = b
	o.queued += len(b.Bytes) - before
	o.full = o.full || o.queued >= queueBytes
	return size
}

// framedSize returns how much of a body an envelope of that size takes.
func framedSize(size int) int { return protowire.SizeTag(2) + protowire.SizeBytes(size) }

// makeRoom begins another batch if the open one has no room for that many bytes.
func (s *Session) makeRoom(framed int) {
	o := &s.out
	if o.open.body != nil && len(o.open.body.Bytes)+framed > batchBytes {
		s.closeBatch()
	}
}

// closeBatch ends the open batch, so that what comes next begins another, which is expected to be alike. Nobody may take this one for long, and what waits is
// bounded by its bytes, so the next buffer must not be much larger than it needs to be.
func (s *Session) closeBatch() {
	s.out.hint = min(len(s.out.open.body.Bytes), batchBytes)
	s.out.ready = append(s.out.ready, s.out.open)
	s.out.open = batch{}
}

// mostRemaining is the longest time that is told, which takes as many bytes as any.
const mostRemaining = math.MaxUint64

// tellRemaining tells in e, which is appended next, how long the asker is going to wait, counted from the time that the batch
// counts from. The head of the frame tells how long ago that was, however long the batch had to wait.
func (s *Session) tellRemaining(e *wire.Envelope, p *Posting) {
	e.RemainingMicros = mostRemaining
	s.makeRoom(framedSize(e.Size()))
	b := &s.out.open
	if b.since.IsZero() {
		b.since = p.Started
	}
	e.RemainingMicros = uint64(max(0, p.Deadline.Sub(b.since)/time.Microsecond)) + 1
}

// ready returns when b was ready to be written first: when its first ask with an end began to wait, or now.
func (b *batch) ready(now time.Time) time.Time {
	if b.since.IsZero() || b.since.After(now) {
		return now
	}
	return b.since
}

func (s *Session) takeBatch(b batch) *wire.Buffer {
	s.out.hint = len(b.body.Bytes)
	s.out.queued -= len(b.body.Bytes)
	s.out.written = max(s.out.written, b.lastAsk)
	s.out.betweenChunks = min(s.out.betweenChunks+len(b.body.Bytes), batchBytes)
	for _, t := range b.begins {
		t.first = s.out.number + 1 // the frame that this becomes
		if !t.ended {
			s.out.transfers = append(s.out.transfers, t)
		}
	}
	s.drained()
	return b.body
}

// drained lets those go on who wait because too much is queued, if it is little now.
func (s *Session) drained() {
	if s.out.full && s.out.queued <= wakeBytes {
		s.out.full = false
		s.wake()
	}
}

// removeAll removes those envelopes that match, and tells what each of them costs.
func (b *batch) removeAll(match func(*wire.Envelope) bool, removed func(e *wire.Envelope, cost uint64)) {
	var kept []byte // nil while nothing has been removed
	start := 0
	envelopes := wire.Body(b.body.Bytes)
	for content, more := envelopes.Next(); more; content, more = envelopes.Next() {
		end := start + framedSize(len(content))
		var e wire.Envelope
		switch {
		case e.Decode(content) == nil && match(&e):
			removed(&e, uint64(len(content)))
			if kept == nil {
				kept = append(make([]byte, 0, len(b.body.Bytes)), b.body.Bytes[:start]...)
			}
		case kept != nil:
			kept = append(kept, b.body.Bytes[start:end]...)
		}
		start = end
	}
	if kept != nil {
		b.body.Bytes = append(b.body.Bytes[:0], kept...)
	}
}
