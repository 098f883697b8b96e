package bulk

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnsOfTheProgram(t *testing.T) {
	if n := cap(all.taken); n < 1 || n > max(1, runtime.GOMAXPROCS(0)/2) {
		t.Errorf("%d turns, of %d processors", n, runtime.GOMAXPROCS(0))
	}
	begun := Begun()
	Begin(Large - 1)()
	if n := Begun() - begun; n != 0 {
		t.Errorf("a small message has had %d turns", n)
	}
	end := Begin(Large)
	if n := len(all.taken); n != 1 {
		t.Errorf("%d turns are taken by a large message", n)
	}
	end()
	if n := len(all.taken); n != 0 || Begun()-begun != 1 {
		t.Errorf("%d turns are taken when it is done, of %d", n, Begun()-begun)
	}
}

// TestTurns: no more are at work than there are turns, and everybody has one.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, room = 100, 3
		turns := newTurns(room)
		var working, done atomic.Int32
		goOn := make(chan struct{})
		for range workers {
			go func() {
				end := turns.begin()
				working.Add(1)
				<-goOn
				working.Add(-1)
				end()
				done.Add(1)
			}()
		}
		for n := range workers {
			synctest.Wait()
			if got, want := int(working.Load()), min(room, workers-n); got != want {
				t.Fatalf("%d are at work when %d are done, want %d", got, n, want)
			}
			goOn <- struct{}{}
		}
		synctest.Wait()
		if n := done.Load(); n != workers || len(turns.taken) != 0 {
			t.Errorf("%d of %d are done, and %d turns taken", n, workers, len(turns.taken))
		}
	})
}

// TestPatience: who has waited for long goes on without a turn, and gives none back.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		defer turns.begin()()
		began := time.Now()
		turns.begin()()
		if took := time.Since(began); took != Patience {
			t.Errorf("waited for %v, want %v", took, Patience)
		}
		if n := len(turns.taken); n != 1 {
			t.Errorf("%d turns are taken, want the first one", n)
		}
	})
}
