package link

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-rpc/parley/internal/session"
)

// writers returns how many goroutines write or wait for something to write, once all that can run has run.
func writers() int {
	synctest.Wait()
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	return strings.Count(string(all), "link.(*Carrier).write(")
}

// TestAWriterLivesWhileThereIsSomethingToWrite: it waits for more while the session is busy, and is gone soon after that. What an idle session
// says once in a while needs no writer that stays.
func TestAWriterLivesWhileThereIsSomethingToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		<-time.After(time.Second)
		if n := writers(); n != 0 {
			t.Errorf("%d writers of two idle sides", n)
		}
		for range 2 {
			for range 3 {
				w.asks()
				synctest.Wait() // each side has rested once more
			}
			if n := writers(); n != 2 {
				t.Errorf("%d writers of two busy sides, want one of each", n)
			}
			for range 3 { // what is said in time keeps them
				<-time.After(linger - time.Millisecond)
				w.asks()
				if n := writers(); n != 2 {
					t.Errorf("%d writers while both sides write now and then, want one of each", n)
				}
			}
			<-time.After(time.Second)
			if n := writers(); n != 0 {
				t.Errorf("%d writers a second after the last message", n)
			}
		}
		w.close()
	})
}

// TestAnIdleSessionHasNoWriter but while a ping or its answer is being written, and its timer fires for these only.
func TestAnIdleSessionHasNoWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		<-time.After(time.Second)
		end := time.Now().Add(time.Minute)
		ticks := 0
		for time.Now().Before(end) {
			l := w.dialler
			l.mu.Lock()
			at := l.timerAt
			l.mu.Unlock()
			if at.IsZero() || !at.After(time.Now()) {
				t.Fatalf("the next heartbeat is to be at %v, and it is %v", at, time.Now())
			}
			<-time.After(time.Until(at))
			ticks++
			if n := writers(); n != 0 {
				t.Errorf("%d writers of an idle session", n)
			}
		}
		beat := session.InitialLimits().Heartbeat
		if most := 2 * int(time.Minute/beat); ticks > most {
			t.Errorf("the timer of an idle session has fired %d times a minute, want at most %d", ticks, most)
		}
		if w.dialler.Counters().Breaks != 0 {
			t.Error("the stream was lost")
		}
		w.close()
	})
}

// TestAWriterThatWaitsEndsWithItsStream, and the next stream gets one of its own.
func TestAWriterThatWaitsEndsWithItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		for range 5 {
			for range 3 {
				w.asks()
				synctest.Wait() // each side has rested once more
			}
			if n := writers(); n != 2 {
				t.Errorf("%d writers of two busy sides, want one of each", n)
			}
			w.cut()
			w.asks()
		}
		w.close()
		if n := writers(); n != 0 {
			t.Errorf("%d writers after the end", n)
		}
	})
}
