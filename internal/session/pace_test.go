package session

import (
	"testing"
	"time"
)

// newLastingPair is newPair, of a session that outlives its streams.
func newLastingPair(t *testing.T, a, b Limits) *pair {
	p := newPair(t, a, b)
	for _, s := range p.side {
		s.Resume()
	}
	return p
}

// TestChunksWait: no more than a window of chunks is written ahead of what the peer has acknowledged, and whatever else there is passes.
func TestChunksWait(t *testing.T) {
	p := newLastingPair(t, limited(), limited())
	a := p.side[0]
	a.Post(sending("large", large(1)))
	var frames [][]byte
	write := func() (bytes int) {
		for f := a.NextFrame(p.now); f != nil; f = a.NextFrame(p.now) {
			frames = append(frames, append([]byte(nil), f.Bytes...))
			bytes += len(f.Bytes)
		}
		return bytes
	}
	const first = firstTimes * leastAhead
	if n := write(); n < first || n > first+chunkBytes+1000 {
		t.Fatalf("%d bytes were written without an acknowledgement, want about %d", n, first)
	}
	if a.HasFrame() {
		t.Fatal("HasFrame says that there is something to write, though NextFrame has nothing")
	}
	a.Post(sending("small", []byte("x")))
	if n := write(); n == 0 || n > 1000 {
		t.Fatalf("%d bytes were written with the small message, want it alone", n)
	}
	for len(frames) > 0 {
		p.deliver(1, frames[0])
		frames = frames[1:]
		for p.side[1].HasFrame() { // nothing but acknowledgements: there is no time that passes
			p.step(1)
		}
		write()
	}
	if n := len(p.take(1)); n != 2 {
		t.Errorf("%d messages have come, want both, without time passing", n)
	}
}

// TestChunksWaitForNobody: where no acknowledgement is due, none is waited for.
func TestChunksWaitForNobody(t *testing.T) {
	p := newPair(t, limited(), limited())
	p.side[0].Post(sending("large", large(1)))
	for p.step(0) {
	}
	if n := len(p.take(1)); n != 1 {
		t.Errorf("%d messages have come, want the large one", n)
	}
}

// path is what a stream goes over, one way; it takes nothing for a frame to come back.
type path struct {
	rate  float64 // bytes a second
	delay time.Duration
	late  bool // the receiver acknowledges only when it must
}

// flow is what becomes of large messages over a path, one after the other, with a small one beside them every two milliseconds.
type flow struct {
	rate  float64       // at which they came, in the end
	small time.Duration // the longest time that a small one took, in the end
}

// run sends large messages for that long, of which the second half counts.
func (w path) run(t *testing.T, long time.Duration, small bool) flow {
	p := newLastingPair(t, limited(), limited())
	a, b := p.side[0], p.side[1]
	type sent struct {
		frame  []byte
		arrive time.Time
	}
	var there, back []sent
	payload := make([]byte, 8<<20)
	var free, next time.Time // the path is, and the next small message is due
	var posted []time.Time   // small messages under way
	var result flow
	half, end := epoch.Add(long/2), epoch.Add(long)
	counted := 0
	next = epoch
	for p.now.Before(end) {
		for _, name := range []string{"large", "larger"} { // while one of them waits for credit, the other has something to send
			if _, err := a.Post(sending(name, payload)); err != nil {
				t.Fatal(err)
			}
		}
		if small && !p.now.Before(next) {
			next = next.Add(2 * time.Millisecond)
			if ok, err := a.Post(sending("small", []byte("x"))); ok && err == nil {
				posted = append(posted, p.now)
			}
		}
		for f := a.NextFrame(p.now); f != nil; f = a.NextFrame(p.now) {
			if free.Before(p.now) {
				free = p.now
			}
			free = free.Add(time.Duration(float64(len(f.Bytes)) / w.rate * 1e9))
			there = append(there, sent{append([]byte(nil), f.Bytes...), free.Add(w.delay)})
			f.Release()
		}
		for f := b.NextFrame(p.now); f != nil; f = b.NextFrame(p.now) {
			back = append(back, sent{append([]byte(nil), f.Bytes...), p.now.Add(w.delay)})
			f.Release()
		}
		// The next thing that happens.
		at := end
		earlier := func(when time.Time) {
			if !when.IsZero() && when.Before(at) {
				at = when
			}
		}
		if small {
			earlier(next)
		}
		earlier(a.Deadline())
		earlier(b.Deadline())
		if len(there) > 0 {
			earlier(there[0].arrive)
		}
		if len(back) > 0 {
			earlier(back[0].arrive)
		}
		p.now = at
		a.Tick(p.now)
		b.Tick(p.now)
		for len(there) > 0 && !there[0].arrive.After(p.now) {
			if w.late {
				b.in.chunks = -1 << 40
			}
			p.deliver(1, there[0].frame)
			if p.now.After(half) {
				counted += len(there[0].frame)
			}
			there = there[1:]
		}
		for len(back) > 0 && !back[0].arrive.After(p.now) {
			p.deliver(0, back[0].frame)
			back = back[1:]
		}
		for _, ev := range p.take(1) {
			if ev.To.Endpoint != "small" {
				continue
			}
			if took := p.now.Sub(posted[0]); p.now.After(half) {
				result.small = max(result.small, took)
			}
			posted = posted[1:]
		}
	}
	result.rate = float64(counted) / (long / 2).Seconds()
	return result
}

// TestPace: over any path the window lets large messages through at nearly its rate, and small ones past them in a few times its delay.
func TestPace(t *testing.T) {
	const gbit = 1e9 / 8
	for _, test := range []struct {
		name  string
		path  path
		share float64       // of the rate that is to be reached
		small time.Duration // that a small message may take
	}{
		{"10 Gbit/s, 1 ms there and back", path{10 * gbit, time.Millisecond / 2, false}, 0.9, 4 * time.Millisecond},
		{"10 Gbit/s, 5 ms there and back", path{10 * gbit, 5 * time.Millisecond / 2, false}, 0.6, 8 * time.Millisecond}, // the replay window is narrower
		{"1 Gbit/s, 10 ms there and back", path{gbit, 5 * time.Millisecond, false}, 0.9, 40 * time.Millisecond},
		{"100 Mbit/s, 2 ms there and back", path{gbit / 10, time.Millisecond, false}, 0.9, 40 * time.Millisecond},
		{"within a machine", path{8 * gbit, 20 * time.Microsecond, false}, 0.9, 600 * time.Microsecond},
		{"within a machine, acknowledged late", path{8 * gbit, 20 * time.Microsecond, true}, 0.8, 6 * time.Millisecond},
		{"10 Gbit/s, 1 ms there and back, acknowledged late", path{10 * gbit, time.Millisecond / 2, true}, 0.6, 8 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			alone := test.path.run(t, 400*time.Millisecond, false)
			beside := test.path.run(t, 400*time.Millisecond, true)
			t.Logf("%.0f %% of the rate alone, %.0f %% beside small messages, which took %v", 100*alone.rate/test.path.rate, 100*beside.rate/test.path.rate, beside.small)
			if least := test.share * test.path.rate; alone.rate < least || beside.rate < least {
				t.Errorf("%.0f MB/s alone, %.0f MB/s beside small messages, want %.0f", alone.rate/1e6, beside.rate/1e6, least/1e6)
			}
			if beside.small > test.small {
				t.Errorf("a small message took %v, want %v", beside.small, test.small)
			}
		})
	}
}

// TestPaceForgets: on a path that has become longer, the window stays small for some seconds only.
func TestPaceForgets(t *testing.T) {
	p := newPace(leastAhead)
	now, number := epoch, uint64(0)
	acknowledge := func(took time.Duration) {
		p.ahead = p.window
		p.hold(number)
		number++
		now = now.Add(took)
		p.acknowledged(now, number, number, took, 4<<20)
	}
	for range 8 {
		acknowledge(time.Millisecond)
	}
	if p.window != 4<<20 {
		t.Fatalf("the window is %d where no chunk queues", p.window)
	}
	for began := now; now.Sub(began) < forgetPace; {
		acknowledge(10 * time.Millisecond)
		if p.window > 2<<20 {
			t.Fatalf("the window is %d, though chunks take ten times as long as they did", p.window)
		}
	}
	if p.window != leastAhead {
		t.Fatalf("the window is %d, though chunks took ten times as long for %v", p.window, forgetPace)
	}
	for range 8 {
		acknowledge(10 * time.Millisecond)
	}
	if p.window != 4<<20 {
		t.Errorf("the window is %d, though no chunk has come sooner for %v", p.window, forgetPace)
	}
}
