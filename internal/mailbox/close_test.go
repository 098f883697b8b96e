package mailbox

import (
	"slices"
	"testing"
	"testing/synctest"
)

func TestCloseHandlesWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1, 2)
		if !g.Close(last) {
			t.Error("Close = false, want true")
		}
		if g.Close(7) {
			t.Error("second Close = true, want false")
		}
		if n := g.Post(8); n != 0 {
			t.Errorf("Post after Close = %d, want 0", n)
		}
		if g.PostControl(9) {
			t.Error("PostControl after Close = true, want false")
		}
		g.expect(1)
		if n := g.Len(); n != 1 {
			t.Errorf("Len = %d, want 1: the last item does not count", n)
		}
		g.finish(1, 2)
		g.expectDone(false)
		g.finish(last)
		g.expect(1, 2, last)
		g.expectDone(true)
		if g.Close(7) || g.Post(8) != 0 || g.PostControl(9) {
			t.Error("the box took an item after Done")
		}
		g.expect(1, 2, last)
	})
}

func TestCloseWaitsForReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		g.Post(1, 2)
		g.turn(1).Release()
		g.turn(2).Release()
		g.Close(last)
		g.expect(1, 2)
		g.finish(2)
		g.expect(1, 2)
		g.finish(1)
		g.expect(1, 2, last)
		if !g.turn(last).Release() { // of no use, but not forbidden
			t.Error("Release of the last item = false")
		}
		g.expectDone(false)
		g.finish(last)
		g.expectDone(true)
	})
}

func TestCloseIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Concurrency: 2})
		g.Close(last)
		g.finish(last)
		g.expect(last)
		g.expectDone(true) // first asked for when it is all over
		g.expectDone(true)
	})
}

func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Capacity: 4})
		g.Post(1)
		synctest.Wait()
		g.Post(2, 3, 4)
		var dropped []int
		record := func(item int) {
			dropped = append(dropped, item)
			if item == 2 && g.Post(5) != 1 { // the lock is not held
				t.Error("Post was refused while Drop reports")
			}
		}
		if n := g.Drop(record); n != 3 || !slices.Equal(dropped, []int{2, 3, 4}) {
			t.Errorf("Drop = %d of %v, want 2 3 4", n, dropped)
		}
		if n := g.Len(); n != 1 {
			t.Errorf("Len = %d, want 1", n)
		}
		g.finish(1)
		g.expect(1, 5)
		g.PostControl(6)
		g.Close(last)
		dropped = nil
		if n := g.Drop(record); n != 1 || !slices.Equal(dropped, []int{6}) {
			t.Errorf("Drop after Close = %d of %v, want 6", n, dropped)
		}
		if n := g.Drop(record); n != 0 {
			t.Errorf("second Drop = %d, want 0", n)
		}
		g.finish(5)
		g.expect(1, 5, last)
		if n := g.Drop(record); n != 0 {
			t.Errorf("Drop while the last item is handled = %d, want 0", n)
		}
		g.finish(last)
		g.expectDone(true)
	})
}

func TestCloseIdleIsTheEndOfAnIdleBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, waits := range map[string]bool{"who waits already": true, "who asks afterwards": false} {
			g := newGated(t, Config{})
			g.Post(1)
			g.finish(1)
			var done <-chan struct{}
			if waits {
				done = g.Done()
			}
			if !g.CloseIdle() {
				t.Errorf("%s: CloseIdle = false, want true", name)
			}
			if !waits {
				done = g.Done()
			}
			<-done
			if g.CloseIdle() || g.Close(last) || g.Post(2) != 0 || g.PostControl(3) {
				t.Errorf("%s: the box took something after its end", name)
			}
			if s := g.Stats(); !s.Closed {
				t.Errorf("%s: %+v, want closed", name, s)
			}
			g.expect(1)
		}
	})
}

func TestCloseIdleLeavesABusyBoxAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		refuses := func(what string) {
			t.Helper()
			if g.CloseIdle() {
				t.Errorf("CloseIdle = true, with %s", what)
			}
		}
		g.Post(1)
		refuses("an item queued or handed out")
		g.expect(1)
		refuses("a handler that runs")
		g.turn(1).Release()
		refuses("a handler that has released")
		g.finish(1)
		g.Post(2)
		g.Close(last)
		refuses("another end to come")
		g.finish(2, last)
		g.expectDone(true)
	})
}
