package mailbox

import (
	"runtime"
	"testing"
	"testing/synctest"
)

func TestReleaseStartsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1, 2, 3)
		turn := g.turn(1)
		if turn.Released() {
			t.Error("Released before Release")
		}
		for range 2 { // idempotent
			if !turn.Release() {
				t.Error("Release = false, want true")
			}
		}
		if !turn.Released() {
			t.Error("Released = false after Release")
		}
		g.expect(1, 2) // the second Release let no further item start
		g.finish(1)
		g.expect(1, 2) // nor did the return of a released handler
		g.finish(2)
		g.expect(1, 2, 3)
		g.finish(3)
		g.Close(last)
		g.finish(last)
		g.expectDone(true)
	})
}

func TestReleaseOfFirstStaysSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Concurrency: 3})
		g.Post(1, 2, 3, 4, 5)
		g.turn(1).Release()
		g.expect(1, 2)
		g.finish(1) // from now on three at once
		g.expect(1, 2, 3, 4)
		g.finish(2, 3, 4, 5)
		g.Close(last)
		g.finish(last)
		g.expectDone(true)
	})
}

func TestReleaseWithEmptyQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1)
		g.turn(1).Release()
		g.Post(2)
		g.expect(1, 2)
		g.finish(2, 1)
		g.Post(3)
		g.expect(1, 2, 3)
		g.Close(last)
		g.finish(3, last)
		g.expectDone(true)
	})
}

func TestReleaseLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Released: 2})
		g.Post(1, 2, 3, 4)
		for item, want := range []bool{1: true, 2: true, 3: false} {
			if item == 0 {
				continue
			}
			if got := g.turn(item).Release(); got != want {
				t.Errorf("Release of %d = %t, want %t", item, got, want)
			}
		}
		g.expect(1, 2, 3)
		if g.turn(3).Released() {
			t.Error("Released after a refused Release")
		}
		g.finish(1) // makes room for a released handler, not for an item
		g.expect(1, 2, 3)
		if !g.turn(3).Release() {
			t.Error("Release = false though one has returned")
		}
		g.expect(1, 2, 3, 4)
		g.finish(2, 3, 4)
		g.Close(last)
		g.finish(last)
		g.expectDone(true)
	})
}

// TestLeave: a released handler that is about to return makes room for another one to be released, and is waited for.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Released: 1})
		g.Post(1, 2, 3)
		g.turn(1).Leave() // not released yet: nothing
		if !g.turn(1).Release() {
			t.Fatal("Release = false")
		}
		g.expect(1, 2)
		g.turn(1).Leave()
		g.turn(1).Leave()
		if !g.turn(2).Release() {
			t.Error("Release = false though one is leaving")
		}
		g.expect(1, 2, 3)
		if g.turn(3).Release() {
			t.Error("Release = true beside one that stays")
		}
		g.Close(last)
		g.finish(2, 3)
		g.expect(1, 2, 3) // last waits for the one that is leaving
		g.finish(1)
		g.finish(last)
		g.expectDone(true)
	})
}

func TestReleaseLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1, 2)
		kept := g.turn(1)
		kept.Release()
		g.finish(1, 2)
		g.Post(3, 4) // workers are used again, perhaps that of 1
		other := newGated(t, Config{})
		other.Post(5, 6)
		synctest.Wait()
		for _, turn := range []Turn{kept, g.turn(2), {}} {
			if turn.Release() {
				t.Error("Release = true after the turn was over")
			}
			if turn.Released() {
				t.Error("Released = true after the turn was over")
			}
		}
		g.expect(1, 2, 3)
		other.expect(5)
		g.finish(3, 4)
		other.finish(5, 6)
		for _, b := range []*gated{g, other} {
			b.Close(last)
			b.finish(last)
			b.expectDone(true)
		}
	})
}

// TestReleaseLateSameWorker makes sure that a kept turn meets its own worker
// again: the two items are handled by one goroutine.
func TestReleaseLateSameWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1, 2, 3)
		g.finish(1)
		if g.turn(1).w != g.turn(2).w {
			t.Fatal("a worker did not go on with the next item")
		}
		if g.turn(1).Release() || g.turn(2).Released() {
			t.Error("a turn that was over released the next one")
		}
		g.expect(1, 2)
		g.finish(2, 3)
		g.Close(last)
		g.finish(last)
	})
}

// TestStats: what a box says of itself follows its handlers, also those that have released it or ended their goroutine.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		expect := func(want Stats) {
			t.Helper()
			synctest.Wait()
			if got := g.Stats(); got != want {
				t.Errorf("Stats = %+v, want %+v", got, want)
			}
		}
		expect(Stats{})
		g.Post(1, 2, 3)
		expect(Stats{Queued: 2, Running: 1})
		g.turn(1).Release()
		expect(Stats{Queued: 1, Running: 2, Released: 1})
		g.finish(2)
		expect(Stats{Running: 2, Released: 1})
		g.Close(last)
		expect(Stats{Running: 2, Released: 1, Closed: true})
		g.finish(1, 3)
		expect(Stats{Running: 1, Closed: true})
		g.finish(last)
		expect(Stats{Closed: true})

		b := New(Config{}, func(Turn, int) { runtime.Goexit() })
		b.Post(1, 2)
		synctest.Wait()
		if got := b.Stats(); got != (Stats{}) {
			t.Errorf("Stats after runtime.Goexit = %+v, want none", got)
		}
		b.Close(last)
	})
}
