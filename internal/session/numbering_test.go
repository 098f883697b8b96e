package session

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/internal/wire"
)

func TestNumbersCountFramesWithEnvelopesOnly(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.post(sending("a", nil))
	if w := p.next(); w.Number != 1 || w.Ack != 0 {
		t.Fatalf("first frame: number %d, ack %d, want 1 and 0", w.Number, w.Ack)
	}
	token := uint64(7)
	p.head(wire.Head{Ping: &token})
	if w := p.next(); w.Number != 0 || w.Pong == nil || *w.Pong != 7 {
		t.Fatalf("a ping is answered by %+v, want pong 7 and no number", w.Head)
	}
	p.post(sending("a", nil))
	if w := p.next(); w.Number != 2 {
		t.Fatalf("second frame with envelopes has number %d, want 2", w.Number)
	}
	if w := p.next(); w != nil {
		t.Fatalf("one frame too many: %+v", w)
	}
}

// TestBothDirectionsCountAlone: what one side has sent does not matter to the numbers of the other.
func TestBothDirectionsCountAlone(t *testing.T) {
	p := newPair(t, limited(), limited())
	for range 3 {
		p.post(0, sending("a", nil))
		p.step(0)
	}
	p.post(1, sending("b", nil))
	p.settle()
	if a, b := p.side[0].out.number, p.side[1].out.number; a != 3 || b != 1 {
		t.Fatalf("last numbers %d and %d, want 3 and 1", a, b)
	}
}

func TestManyPingsAreBounded(t *testing.T) {
	p := newPeer(t, limited(), limited())
	for i := range uint64(10_000) {
		p.head(wire.Head{Ping: &i})
	}
	pongs := 0
	for w := p.next(); w != nil; w = p.next() {
		pongs++
	}
	if pongs == 0 || pongs > mostPongs {
		t.Fatalf("%d pongs, want 1 to %d", pongs, mostPongs)
	}
}

func TestAckAfterDelay(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(send("a", "x"))
	due := epoch.Add(25 * time.Millisecond)
	if d := p.s.Deadline(); !d.Equal(due) {
		t.Fatalf("Deadline = %v, want 25 ms after the frame", d.Sub(epoch))
	}
	p.now = epoch.Add(10 * time.Millisecond)
	p.send(send("a", "x")) // counts from the first frame
	p.s.Tick(due.Add(-time.Nanosecond))
	if w := p.next(); w != nil {
		t.Fatalf("an ack came too early: %+v", w.Head)
	}
	p.s.Tick(due)
	w := p.next()
	if w == nil || w.Ack != 2 || w.Number != 0 {
		t.Fatalf("after 25 ms: %+v, want a head with ack 2", w)
	}
	if !p.s.Deadline().IsZero() {
		t.Fatal("there is a deadline with nothing to do")
	}
	p.s.Tick(due.Add(time.Hour))
	if w := p.next(); w != nil {
		t.Fatalf("the same ack is said again: %+v", w.Head)
	}
}

// TestAckOfAnswersAfterDelay: where there are only answers, it may wait for longer.
func TestAckOfAnswersAfterDelay(t *testing.T) {
	p := newPeer(t, limited(), limited())
	for range 3 {
		p.post(asking("b", nil))
	}
	p.drain()
	p.send(reply(1, ""))
	due := epoch.Add(200 * time.Millisecond)
	if d := p.s.Deadline(); !d.Equal(due) {
		t.Fatalf("Deadline = %v, want 200 ms after the answer", d.Sub(epoch))
	}
	p.now = epoch.Add(10 * time.Millisecond)
	p.send(reply(2, ""))
	if d := p.s.Deadline(); !d.Equal(due) {
		t.Fatalf("Deadline = %v, want 200 ms after the first answer", d.Sub(epoch))
	}
	p.send(reply(3, ""), send("a", "x"))
	due = p.now.Add(25 * time.Millisecond)
	if d := p.s.Deadline(); !d.Equal(due) {
		t.Fatalf("Deadline = %v, want 25 ms after the message", d.Sub(p.now))
	}
	p.now = p.now.Add(time.Millisecond)
	p.send(reply(3, "again"))
	if d := p.s.Deadline(); !d.Equal(due) {
		t.Fatal("an answer after a message puts the ack off")
	}
	p.s.Tick(due)
	if w := p.next(); w == nil || w.Ack != 4 {
		t.Fatalf("after 25 ms: %+v, want ack 4", w)
	}
}

// TestByeIsAcknowledgedAtOnce: who is about to be gone waits for that.
func TestByeIsAcknowledgedAtOnce(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(&wire.Envelope{Kind: wire.KindBye})
	if w := p.next(); w == nil || w.Ack != 1 {
		t.Fatalf("after a bye: %+v, want ack 1", w)
	}
}

func TestAckAfterQuarterOfReplayWindow(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.ReplayBytes = 4000 }))
	sent := 0
	for sent < 1000 {
		if w := p.next(); w != nil {
			t.Fatalf("an ack came after %d bytes, want 1,000", sent)
		}
		e := send("a", string(make([]byte, 100)))
		p.number++
		b := frame(wire.Head{Number: p.number}, e)
		if _, v := p.raw(b); v != nil {
			t.Fatal(v)
		}
		sent += len(b)
	}
	if w := p.next(); w == nil || w.Ack != p.number {
		t.Fatalf("after a quarter of the replay window: %+v, want ack %d", w, p.number)
	}
}

func TestAckRidesOnBody(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(send("a", "x"))
	p.post(sending("b", nil))
	if w := p.next(); w.Number != 1 || w.Ack != 1 {
		t.Fatalf("number %d, ack %d, want 1 and 1", w.Number, w.Ack)
	}
	p.s.Tick(epoch.Add(time.Minute))
	if w := p.next(); w != nil {
		t.Fatalf("the ack is said again: %+v", w.Head)
	}
}

func TestDuplicateA5(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.post(sending("b", nil))
	p.drain()
	p.send(send("a", "1"))
	p.send(send("a", "2"))
	for _, number := range []uint64{1, 2} {
		events, v := p.raw(frame(wire.Head{Number: number, Ack: 1}, send("a", "again")))
		if v != nil || len(events) != 0 {
			t.Fatalf("a duplicate gave %v and %d events", v, len(events))
		}
	}
	p.counted(Counters{Duplicates: 2})
	if p.s.out.acked != 1 {
		t.Fatal("the head of a duplicate did not count")
	}
	p.alive()
}

func TestGapA6(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(send("a", "1"))
	p.number++
	p.violates("A6", codes.DataLoss, send("a", "3"))
}
