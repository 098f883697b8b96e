package mailbox

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// holdUp has no worker of ws start before the returned function is called, so that what is posted meanwhile is there at once.
func holdUp[T any](ws *Workers[T]) (goOn func()) {
	ws.mu.Lock()
	ws.hired = true
	ws.n++
	ws.mu.Unlock()
	return ws.start
}

// TestWorkersThatWaitHoldUpNobody: a handler that waits leaves the other boxes to others.
func TestWorkersThatWaitHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const boxes = 100
		goOn := make(chan struct{})
		var waiting atomic.Int32
		ws := NewWorkers(func(Turn, int) {
			waiting.Add(1)
			<-goOn
			waiting.Add(-1)
		})
		all := make([]Box[int], boxes)
		for i := range all {
			all[i].Init(Config{}, ws)
		}
		hold := holdUp(ws)
		for i := range all {
			all[i].Post(i, i)
		}
		hold()
		synctest.Wait()
		if n := waiting.Load(); n != boxes {
			t.Errorf("%d boxes of %d have a handler at work", n, boxes)
		}
		select {
		case <-ws.Gone():
			t.Error("Gone is closed while handlers run")
		default:
		}
		close(goOn)
		<-ws.Gone()
		for i := range all {
			if s := all[i].Stats(); s != (Stats{}) {
				t.Errorf("box %d: %+v", i, s)
			}
		}
		if n := workers(); n != 0 {
			t.Errorf("%d workers after Gone", n)
		}
	})
}

// TestWorkersEndOfGoroutine: a handler that ends its goroutine takes nothing from the boxes that its worker would have gone on with.
func TestWorkersEndOfGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const boxes = 10
		var handled atomic.Int32
		ws := NewWorkers(func(_ Turn, end func()) {
			handled.Add(1)
			end()
		})
		all := make([]Box[func()], boxes)
		for i := range all {
			all[i].Init(Config{}, ws)
		}
		hold := holdUp(ws)
		for i := range all {
			all[i].Post(runtime.Goexit, func() {})
		}
		hold()
		synctest.Wait()
		if n := handled.Load(); n != 2*boxes {
			t.Errorf("%d items handled, want %d", n, 2*boxes)
		}
	})
}
