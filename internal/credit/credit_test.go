package credit

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(w *Window)
		open bool
	}{
		{"new", func(*Window) {}, true},
		{"one message less than all", func(w *Window) { w.Charge(2, 0) }, true},
		{"all messages", func(w *Window) { w.Charge(3, 0) }, false},
		{"one byte less than all", func(w *Window) { w.Charge(1, 99) }, true},
		{"all bytes", func(w *Window) { w.Charge(1, 100) }, false},
		{"overdrawn", func(w *Window) { w.Charge(1, 1<<40) }, false},
		{"raised, but not enough", func(w *Window) { w.Charge(1, 150); w.Raise(10, 150) }, false},
		{"raised", func(w *Window) { w.Charge(3, 150); w.Raise(4, 151) }, true},
		{"raised in messages only", func(w *Window) { w.Charge(3, 150); w.Raise(10, 0) }, false},
		{"raised and lowered", func(w *Window) { w.Raise(10, 1000); w.Raise(1, 1); w.Charge(9, 999) }, true},
		{"refunded", func(w *Window) { w.Charge(3, 100); w.Refund(3, 100) }, true},
		{"without end", func(w *Window) { w.Raise(math.MaxUint64, math.MaxUint64); w.Charge(1<<62, 1<<62) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := NewWindow(3, 100)
			test.do(&w)
			if got := w.Open(); got != test.open {
				t.Errorf("Open = %t, want %t", got, test.open)
			}
		})
	}
}

func TestRaiseTellsStaleTotals(t *testing.T) {
	w := NewWindow(10, 100)
	for _, test := range []struct {
		messages, bytes uint64
		current         bool
	}{
		{10, 100, true}, {11, 100, true}, {10, 200, false}, {0, 199, false}, {0, 0, true}, {11, 0, true}, {12, 200, true},
	} {
		if got := w.Raise(test.messages, test.bytes); got != test.current {
			t.Errorf("Raise(%d, %d) = %t, want %t", test.messages, test.bytes, got, test.current)
		}
	}
}

func TestGrantReceive(t *testing.T) {
	g := NewGrant(2, 100)
	steps := []struct {
		messages, bytes uint64
		take            bool // before
		ok              bool
	}{
		{1, 10, false, true},
		{1, 500, false, true}, // overdraws
		{0, 500, false, true}, // a further part never waits
		{1, 1, false, false},  // both are used up
		{1, 600, true, true},  // what is taken counts, though nobody has been told
		{1, 0, false, false},  // messages
	}
	for i, s := range steps {
		if s.take {
			g.Take(1, 1010)
		}
		if got := g.Receive(s.messages, s.bytes); got != s.ok {
			t.Fatalf("step %d: Receive = %t, want %t", i, got, s.ok)
		}
	}
	if m, b := g.Outstanding(); m != 2 || b != 600 {
		t.Errorf("Outstanding = %d, %d, want 2, 600", m, b)
	}
}

func TestGrantIsDueAfterAQuarter(t *testing.T) {
	g := NewGrant(8, 1000)
	if g.Take(1, 249) {
		t.Error("due after less than a quarter")
	}
	if !g.Take(0, 1) {
		t.Error("not due after a quarter of the bytes")
	}
	if m, b := g.Totals(); m != 9 || b != 1250 {
		t.Errorf("Totals = %d, %d, want 9, 1250", m, b)
	}
	if g.Take(1, 0) {
		t.Error("due right after it was stated")
	}
	if !g.Take(1, 0) {
		t.Error("not due after a quarter of the messages")
	}
	if m, b := g.Totals(); m != 11 || b != 1250 {
		t.Errorf("Totals = %d, %d, want 11, 1250", m, b)
	}
}

// TestBothSidesAgree: a sender that keeps to its window is never found to overrun the grant, and a window never stays
// shut when everything has been taken and everything due has been stated.
func TestBothSidesAgree(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		messages, bytes := 1+r.Uint64N(20), 1+r.Uint64N(1000)
		w, g := NewWindow(messages, bytes), NewGrant(messages, bytes)
		var held []uint64
		take := func() {
			if g.Take(1, held[0]) {
				w.Raise(g.Totals())
			}
			held = held[1:]
		}
		for range 500 {
			if size := 1 + r.Uint64N(400); w.Open() && r.IntN(3) > 0 {
				w.Charge(1, size)
				if !g.Receive(1, size) {
					t.Fatal("a sender with credit was found to have none")
				}
				held = append(held, size)
			} else if len(held) > 0 {
				take()
			}
			if uint64(len(held)) > messages {
				t.Fatalf("%d messages are held, where %d are allowed", len(held), messages)
			}
		}
		for len(held) > 0 {
			take()
		}
		if !w.Open() {
			t.Fatalf("window of %d, %d: everything was taken, and the sender may not go on", messages, bytes)
		}
		if m, b := g.Outstanding(); m != 0 || b != 0 {
			t.Fatalf("Outstanding = %d, %d", m, b)
		}
	}
}

func TestTakeIsConcurrent(t *testing.T) {
	const takers, each = 8, 1000
	g := NewGrant(100, 1000)
	var wg sync.WaitGroup
	var mu sync.Mutex // the owner's
	for range takers {
		wg.Go(func() {
			for range each {
				if g.Take(1, 3) {
					mu.Lock()
					g.Totals()
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if m, b := g.Totals(); m != 100+takers*each || b != 1000+3*takers*each {
		t.Errorf("Totals = %d, %d", m, b)
	}
}

func woken(w *Waiter) bool {
	select {
	case <-w.Turn:
		return true
	default:
		return false
	}
}

func TestQueue(t *testing.T) {
	var q Queue
	if !q.Empty() || q.Blocks(nil) {
		t.Error("a new queue is not empty")
	}
	q.WakeHead()
	a, b, c := NewWaiter(), NewWaiter(), NewWaiter()
	q.Join(a)
	q.Join(b)
	q.Join(c)
	q.Join(a) // it keeps its place
	if q.Blocks(a) || !q.Blocks(b) || !q.Blocks(nil) || q.Empty() {
		t.Error("not the first waiter, and only it, may go")
	}
	q.WakeHead()
	q.WakeHead() // twice, without being read in between
	if !woken(a) || woken(a) || woken(b) || woken(c) {
		t.Error("not the first waiter was woken, once")
	}
	q.WakeAll()
	if !woken(a) || !woken(b) || !woken(c) {
		t.Error("not all three were woken")
	}
	q.Leave(b) // from the middle
	q.Leave(a)
	q.Leave(a)
	q.Leave(nil)
	if q.Blocks(c) {
		t.Error("the last waiter is still blocked")
	}
	q.Join(a) // again, at the end
	q.WakeAll()
	if !woken(a) || !woken(c) || woken(b) {
		t.Error("not all who wait were woken")
	}
	q.Leave(a)
	q.Leave(c)
	if !q.Empty() {
		t.Error("the queue is not empty")
	}
}
