package session

import (
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// newResuming returns a pair of sessions that outlive their streams.
func newResuming(t *testing.T) *pair {
	p := newPair(t, limited(), limited())
	for _, s := range p.side {
		s.Resume()
	}
	return p
}

// reattach gives both sides a new stream, as hello and welcome do.
func (p *pair) reattach() {
	p.Helper()
	received := [2]uint64{p.side[0].Received(), p.side[1].Received()}
	for i, s := range p.side {
		s.Detach(p.now)
		if v := s.Attach(p.now, received[1-i]); v != nil {
			p.Fatal(v)
		}
	}
}

// TestReplay: what was written to a stream that broke comes again, in order, and only that.
func TestReplay(t *testing.T) {
	p := newResuming(t)
	for range 3 {
		p.post(0, sending("a", []byte("before")))
		p.step(0)
	}
	for _, text := range []string{"first", "second"} { // on their way when the stream breaks
		p.post(0, sending("a", []byte(text)))
		if p.side[0].NextFrame(p.now) == nil {
			t.Fatal("no frame")
		}
	}
	if ok, err := p.side[0].Post(sending("a", []byte("third"))); !ok { // not written at all
		t.Fatal(err)
	}
	if n, _ := p.side[0].Unacknowledged(); n != 5 {
		t.Errorf("%d frames are kept, want 5", n)
	}
	p.now = p.now.Add(time.Second)
	p.side[1].events = nil
	p.reattach()
	if n, _ := p.side[0].Unacknowledged(); n != 2 {
		t.Errorf("%d frames are kept, want the 2 that did not arrive", n)
	}
	for p.step(0) {
	}
	var got []string
	for _, ev := range p.side[1].events {
		got = append(got, string(ev.Payload))
	}
	if len(got) != 3 || got[0] != "first" || got[1] != "second" || got[2] != "third" {
		t.Errorf("after the attach arrived %q", got)
	}
	if c := p.side[0].Counters(); c.Replayed != 2 || c.Breaks != 1 || c.Attaches != 1 {
		t.Errorf("%d replayed, %d breaks, %d attaches, want 2, 1 and 1", c.Replayed, c.Breaks, c.Attaches)
	}
}

// TestAttachOvertakenByAck: the dialler may go on with its old stream while its hello is under way, so what the hello says may be less than
// what an acknowledgement on the old stream has said. The greater one counts.
func TestAttachOvertakenByAck(t *testing.T) {
	p := newResuming(t)
	dials, listens := p.side[0], p.side[1]
	for _, text := range []string{"first", "second"} {
		if ok, err := listens.Post(sending("a", []byte(text))); !ok {
			t.Fatal(err)
		}
		hello := dials.Received()
		p.step(1)
		dials.Tick(dials.Deadline())
		p.step(0) // the acknowledgement
		if v := listens.Attach(p.now, hello); v != nil {
			t.Fatal(v)
		}
		if v := dials.Attach(p.now, listens.Received()); v != nil {
			t.Fatal(v)
		}
		p.settle()
	}
	if n := len(dials.events); n != 2 || dials.Counters().Duplicates != 0 || listens.Counters().Replayed != 0 {
		t.Errorf("%d messages arrived, and %d frames came again, want 2 and none", n, listens.Counters().Replayed)
	}
	if v := listens.Attach(p.now, 1<<40); v == nil || v.Row != "A37" {
		t.Errorf("to have received what was never sent gives %v, want A37", v)
	}
}

// TestReplayedAge: a frame that comes again says how old it is, and that is subtracted from what an asker still waits.
func TestReplayedAge(t *testing.T) {
	p := newResuming(t)
	for _, micros := range []uint64{5_000_000, 1_000_000} {
		q := asking("a", nil)
		q.Started, q.Deadline = p.now, p.now.Add(time.Duration(micros)*time.Microsecond)
		p.post(0, q)
	}
	p.side[0].NextFrame(p.now)
	p.now = p.now.Add(2 * time.Second)
	p.reattach()
	for p.step(0) {
	}
	events := p.side[1].events
	if len(events) != 2 || events[0].RemainingMicros != 3_000_001 || events[1].RemainingMicros != 1 {
		t.Errorf("the asks arrive as %+v, want 3 s and 1 us left", events)
	}
}

// TestReplayWindowOfLargeEnvelopes: a body of one envelope that is larger than a batch keeps to the window, too.
func TestReplayWindowOfLargeEnvelopes(t *testing.T) {
	p := newResuming(t)
	s := p.side[0].Session
	s.limit(func(own, _ *Limits) { own.ReplayBytes = 5 * batchBytes })
	json := sending("a", make([]byte, 3*batchBytes))
	json.Encoding = wire.JSON
	for range 2 {
		if ok, err := s.Post(json); !ok {
			t.Fatal(err)
		}
	}
	for s.NextFrame(p.now) != nil {
	}
	if _, kept := s.Unacknowledged(); kept > s.own.ReplayBytes || kept < 3*batchBytes || s.out.queued < 3*batchBytes {
		t.Errorf("%d bytes are kept, of %d, and %d wait; one of the two is to wait", kept, s.own.ReplayBytes, s.out.queued)
	}
}

// TestReplayWindow: bodies wait while too much is unacknowledged, heads do not.
func TestReplayWindow(t *testing.T) {
	p := newResuming(t)
	s := p.side[0].Session
	s.limit(func(own, _ *Limits) { own.ReplayBytes = 3 * batchBytes })
	for written := 0; ; written++ {
		for s.out.queued < batchBytes {
			if ok, err := s.Post(sending("a", make([]byte, 1000))); !ok {
				t.Fatal(err)
			}
		}
		if !s.HasFrame() {
			if written != 3 {
				t.Errorf("%d frames of %d bytes were written, want 3", written, batchBytes)
			}
			break
		}
		s.NextFrame(p.now)
	}
	if s.NextFrame(p.now) != nil {
		t.Error("a frame without anything that may be in it")
	}
	s.StateCredit(nil)
	f := s.NextFrame(p.now)
	var h wire.Head
	if f == nil || wire.ParseHead(f.Bytes, &h) != nil || h.Number != 0 {
		t.Errorf("the head is %+v", h)
	}
	s.acknowledge(epoch, 1)
	if !s.HasFrame() {
		t.Error("an acknowledgement makes no room")
	}
}

// TestExpiry: a session without a stream ends after the shorter time-to-live.
func TestExpiry(t *testing.T) {
	p := newPair(t, limited(func(l *Limits) { l.SessionTTL = time.Minute }), limited(func(l *Limits) { l.SessionTTL = time.Second }))
	for _, s := range p.side {
		s.Resume()
		s.Detach(p.now)
		if d := s.Deadline(); !d.Equal(p.now.Add(time.Second)) {
			t.Errorf("the deadline is %v, want a second from %v", d, p.now)
		}
		if s.Check(p.now.Add(time.Second-1)).Expired || !s.Check(p.now.Add(time.Second)).Expired {
			t.Error("the session does not expire after a second")
		}
	}
}

// TestHeartbeat: a silent peer is pinged, and given up after three pings; one that answers is not.
func TestHeartbeat(t *testing.T) {
	p := newResuming(t)
	s := p.side[0]
	s.Watch(p.now)
	beat := InitialLimits().Heartbeat
	p.now = p.now.Add(beat)
	if v := s.Check(p.now); v.Dead != "" {
		t.Fatal(v.Dead)
	}
	for p.step(0) { // the ping, and its pong
	}
	if !p.side[1].HasFrame() {
		t.Fatal("the peer has nothing to answer")
	}
	for p.step(1) {
	}
	if n := s.Counters().UnmatchedPongs; n != 0 {
		t.Errorf("%d pongs are unmatched", n)
	}
	for range mostMisses {
		p.now = p.now.Add(beat)
		if v := s.Check(p.now); v.Dead != "" {
			t.Fatalf("dead too early: %s", v.Dead)
		}
		if s.NextFrame(p.now) == nil {
			t.Error("no ping")
		}
	}
	p.now = p.now.Add(beat)
	if v := s.Check(p.now); v.Dead == "" {
		t.Error("a silent peer is not given up")
	}
}

// TestCrossedPong: a frame that crosses a ping is a sign of life, and its pong is still one that was waited for, once.
func TestCrossedPong(t *testing.T) {
	p := newResuming(t)
	s := p.side[0]
	s.Watch(p.now)
	p.now = p.now.Add(InitialLimits().Heartbeat)
	s.Check(p.now)
	p.post(1, sending("a", nil))
	ping := s.NextFrame(p.now)
	p.step(1)
	p.deliver(1, ping.Bytes)
	p.settle()
	if n := s.Counters().UnmatchedPongs; n != 0 {
		t.Errorf("%d pongs are unmatched", n)
	}
	token := uint64(1)
	p.deliver(0, frame(wire.Head{Pong: &token}))
	if n := s.Counters().UnmatchedPongs; n != 1 {
		t.Errorf("of a second pong %d are unmatched", n)
	}
}

// TestNoAcknowledgement: a peer that sends, but takes nothing over, is given up.
func TestNoAcknowledgement(t *testing.T) {
	p := newResuming(t)
	s := p.side[0]
	s.Watch(p.now)
	if ok, err := s.Post(sending("a", nil)); !ok {
		t.Fatal(err)
	}
	s.NextFrame(p.now)
	for range 3 * mostMisses {
		p.now = p.now.Add(InitialLimits().Heartbeat)
		if v := s.Check(p.now); v.Dead != "" {
			return
		}
		p.deliver(0, nil) // a sign of life
	}
	t.Error("it was not given up")
}

// TestNoAcknowledgementOfATalkativePeer: the same, if time is told only when it is due, and the peer sends often.
func TestNoAcknowledgementOfATalkativePeer(t *testing.T) {
	p := newResuming(t)
	s := p.side[0]
	s.Watch(p.now)
	if ok, err := s.Post(sending("a", nil)); !ok {
		t.Fatal(err)
	}
	s.NextFrame(p.now)
	for range 10 * mostMisses {
		p.now = p.now.Add(InitialLimits().Heartbeat / 2)
		if d := s.Deadline(); !d.IsZero() && !p.now.Before(d) {
			if v := s.Check(p.now); v.Dead != "" {
				return
			}
		}
		p.deliver(0, nil) // a sign of life
	}
	t.Error("it was not given up")
}
