package bulk

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestTurnsOfTheProgram(t *testing.T) {
	if n := Turns(); n < 1 || n > max(1, runtime.NumCPU()/2) {
		t.Errorf("%d turns, of %d processors", n, runtime.NumCPU())
	}
	for range Turns() {
		defer Begin(t.Context(), Large)()
	}
	Begin(t.Context(), Large-1)() // which does not wait
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Begin(ctx, Large)()
	if n := len(all); n != Turns() {
		t.Errorf("%d turns are taken, of %d: who had none gave one back", n, Turns())
	}
}

// TestTurns: no more are at work than there are turns, and everybody has one.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, room = 100, 3
		turns := make(turns, room)
		var working, done atomic.Int32
		goOn := make(chan struct{})
		for range workers {
			go func() {
				end := turns.begin(t.Context())
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
		if n := done.Load(); n != workers || len(turns) != 0 {
			t.Errorf("%d of %d are done, and %d turns taken", n, workers, len(turns))
		}
	})
}
