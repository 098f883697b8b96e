package mailbox

import (
	"sync"
	"sync/atomic"
)

// Turn is one run of a handler for one item. It may be copied and kept after
// the handler has returned; the turn is over then. The zero Turn is over.
type Turn struct {
	box    turnBox
	w      *worker
	number uint64 // w.number while this turn lasts
}

// Release lets the box take its next item while this handler goes on. It
// returns true if the turn is now released, by this or an earlier call; false,
// and nothing has changed, if as many released handlers as allowed are running
// or the turn is over. It may be called from any goroutine, any number of times.
func (t Turn) Release() bool {
	return t.box != nil && t.box.release(t.w, t.number)
}

// Released reports whether the turn has been released and is not over.
func (t Turn) Released() bool {
	return t.box != nil && t.box.isReleased(t.w, t.number)
}

// Leave says that a released handler is about to return: it does not count as one of those that are allowed any more, and is still waited for.
// Elsewhere it does nothing.
func (t Turn) Leave() {
	if t.box != nil {
		t.box.leaving(t.w, t.number)
	}
}

// turnBox is what turns and workers need of a Box, whatever its items are.
type turnBox interface {
	work(w *worker)
	release(w *worker, number uint64) bool
	isReleased(w *worker, number uint64) bool
	leaving(w *worker, number uint64)
}

// worker is the state of one goroutine of a box. Workers are used again, by
// any box, so that to wake an idle box does not allocate. Fields without a
// remark belong to the goroutine.
type worker struct {
	box   turnBox
	run   func() // w.box.work(w); kept, because each `go` would build it anew
	out   bool   // counted out of the box
	final bool   // was the last one of the box

	// number is raised when a turn begins and when it ends, and never reset.
	// A Turn that has the same number is therefore the current one and of this
	// box; one that was kept too long finds another number. It changes under
	// the lock of the box that the worker is at, and is atomic because the box
	// of a kept Turn may be another.
	number   atomic.Uint64
	released bool // guarded by the lock of the box
	left     bool // guarded by the lock of the box; released, and about to return
	first    bool // guarded by the lock of the box; has the box's first item
	busy     bool // guarded by the lock of the box; has a turn
}

// idleWorkers keeps workers that have no goroutine. It is no state that
// anybody can observe.
var idleWorkers = sync.Pool{New: func() any {
	w := new(worker)
	w.run = func() { w.box.work(w) }
	return w
}}

// recycle hands w back. The caller must not touch it any more.
func (w *worker) recycle() {
	w.box, w.out, w.final = nil, false, false
	idleWorkers.Put(w)
}
