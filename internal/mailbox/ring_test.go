package mailbox

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// TestRing compares a ring with a slice.
func TestRing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var ring ring[int]
	var want []int
	next, bias := 0, 0
	for range 20_000 {
		if r.IntN(200) == 0 {
			bias = r.IntN(9) - 4 // grow for a while, or shrink
		}
		var items []int
		for range max(0, r.IntN(5)+bias) {
			items = append(items, next)
			next++
		}
		ring.push(items...)
		want = append(want, items...)
		for range min(len(want), r.IntN(5)) {
			if got := ring.pop(); got != want[0] {
				t.Fatalf("pop = %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		if ring.len() != len(want) {
			t.Fatalf("%d items, want %d", ring.n, len(want))
		}
		if slots := len(ring.buf); slots > minRing && slots > 8*(ring.len()+1) {
			t.Fatalf("%d slots for %d items", slots, ring.n)
		}
		for i := range want {
			if ring.at(i) != want[i] {
				t.Fatalf("at(%d) = %d, want %d", i, ring.at(i), want[i])
			}
		}
	}
}

func TestRingShrinksAfterBurst(t *testing.T) {
	var ring ring[int]
	ring.push(make([]int, 100_000)...)
	if len(ring.buf) != 1<<17 {
		t.Errorf("%d slots for 100,000 items, want 2^17", len(ring.buf))
	}
	for ring.len() > 1 {
		ring.pop()
	}
	if len(ring.buf) > 8 {
		t.Errorf("%d slots for one item", len(ring.buf))
	}
	ring.pop()
	if len(ring.buf) != minRing {
		t.Errorf("%d slots when empty, want %d", len(ring.buf), minRing)
	}
}

// TestRingHasNoMemoryForOneItem: what is never more than one at a time needs no buffer.
func TestRingHasNoMemoryForOneItem(t *testing.T) {
	var ring ring[int]
	for i := range 10 {
		ring.push(i)
		if got := ring.at(0); got != i || ring.len() != 1 || ring.buf != nil {
			t.Fatalf("%d of %d items is %d, in %d slots; want %d in none", 1, ring.len(), got, len(ring.buf), i)
		}
		if got := ring.pop(); got != i || ring.len() != 0 || ring.one != 0 {
			t.Fatalf("pop = %d, and %d items with %d left, want %d and nothing", got, ring.len(), ring.one, i)
		}
	}
	ring.push(1)
	ring.push(2, 3)
	if ring.one != 0 {
		t.Errorf("the first item is kept beside the buffer")
	}
	for want := 1; want <= 3; want++ {
		if got := ring.pop(); got != want {
			t.Errorf("pop = %d, want %d", got, want)
		}
	}
}

func TestRingForgetsItems(t *testing.T) {
	var ring ring[*[64]byte]
	collected := make(chan struct{})
	item := new([64]byte)
	runtime.AddCleanup(item, func(c chan struct{}) { close(c) }, collected)
	ring.push(item, new([64]byte))
	ring.pop()
	item = nil
	runtime.GC()
	select {
	case <-collected:
	case <-time.After(10 * time.Second):
		t.Error("an item was kept alive after it had been taken")
	}
	runtime.KeepAlive(ring)
}
