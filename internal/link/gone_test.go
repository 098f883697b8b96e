package link

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnIdleSessionHasOneGoroutineASide, which reads, beside the keeper of the dialling side.
func TestAnIdleSessionHasOneGoroutineASide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		for range 3 {
			for range 5 {
				w.asks()
			}
			<-time.After(time.Second)
			all := make([]byte, 1<<20)
			all = all[:runtime.Stack(all, true)]
			n := strings.Count(string(all), "link.(*Link).goes in goroutine")
			if keepers := strings.Count(string(all), "link.(*keeper).await("); n != 3 || keepers != 1 {
				t.Errorf("%d goroutines of two idle sides, %d of them keepers; want three and one:\n%s", n, keepers, all)
			}
			w.cut()
		}
		w.close()
	})
}

// TestWhenGone: whoever asks to be called is called once, when the handler has been told of the end and no goroutine is left, or at once
// after that.
func TestWhenGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		var mu sync.Mutex
		called := 0
		gone := func() {
			w.dialler.mu.Lock()
			users := w.dialler.users
			w.dialler.mu.Unlock()
			w.own.mu.Lock()
			ends := len(w.own.ends)
			w.own.mu.Unlock()
			if users != 0 || ends != 1 {
				t.Errorf("called with %d users and %d ends told, want none and one", users, ends)
			}
			mu.Lock()
			called++
			mu.Unlock()
		}
		w.dialler.WhenGone(gone)
		w.dialler.WhenGone(gone)
		w.asks()
		w.cut()
		w.asks()
		synctest.Wait()
		if called != 0 {
			t.Error("called while the session lives")
		}
		w.close()
		synctest.Wait()
		if called != 2 {
			t.Errorf("%d calls at the end, want two", called)
		}
		w.dialler.WhenGone(gone)
		if called != 3 {
			t.Errorf("%d calls after the end, want a third at once", called)
		}
	})
}

// TestFlushedMayBeAskedForLate: also who asks when everything has been written learns of it.
func TestFlushedMayBeAskedForLate(t *testing.T) {
	for _, late := range []bool{false, true} {
		var l Link
		written := func() bool {
			select {
			case <-l.Flushed():
				return true
			default:
				return false
			}
		}
		if !late && written() {
			t.Error("everything has been written before Close")
		}
		l.mu.Lock()
		l.flush()
		l.mu.Unlock()
		for range 2 {
			if !written() {
				t.Errorf("asked for late, %t: nothing tells that everything has been written", late)
			}
		}
	}
}
