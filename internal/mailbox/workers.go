package mailbox

import (
	"sync"
	"sync/atomic"

	"github.com/parley-rpc/parley/internal/yield"
)

// Workers are the goroutines that run a handler for the items of any number of boxes. There are none while all boxes are idle.
//
// A worker that has done all that one box has for it goes on with the next that has something to do, so that one goroutine does what comes
// to many boxes at once, as long as no handler waits for anything. Nobody can know beforehand that none does: where there is more to do,
// another worker is always on its way, which hires the next one when it comes. So a handler that waits holds up nobody, and there are few
// more workers than handlers at work.
type Workers[T any] struct {
	handle func(Turn, T)

	mu          sync.Mutex
	first, last *Box[T] // those that a worker is sent to, in order
	hired       bool    // a worker is on its way
	n           int
	gone        chan struct{} // closed when n comes down to 0; nil while nobody waits
}

// NewWorkers returns Workers that run handle. It panics if handle is nil.
func NewWorkers[T any](handle func(t Turn, item T)) *Workers[T] {
	if handle == nil {
		panic("mailbox: a nil handler")
	}
	return &Workers[T]{handle: handle}
}

// send has a worker come to b.
func (ws *Workers[T]) send(b *Box[T]) {
	ws.mu.Lock()
	if ws.last != nil {
		ws.last.after = b
	} else {
		ws.first = b
	}
	ws.last = b
	hired := ws.hireLocked()
	ws.mu.Unlock()
	if hired {
		ws.start()
	}
}

// hireLocked counts in a worker, if there is something to do and none is on its way. The caller starts it when it has unlocked.
func (ws *Workers[T]) hireLocked() bool {
	if ws.hired || ws.first == nil {
		return false
	}
	ws.hired = true
	ws.n++
	return true
}

// start starts a worker that was counted in. It ends by itself when there is nothing to do, and Gone tells when all have.
func (ws *Workers[T]) start() {
	w := idleWorkers.Get().(*worker)
	w.of = ws
	go w.run()
}

// run is the life of a worker.
func (ws *Workers[T]) run(w *worker) {
	// Deferred, because a handler may end the goroutine with runtime.Goexit.
	defer ws.leave(w)
	for b := ws.take(true); b != nil; b = ws.take(false) {
		b.work(w)
	}
}

// take returns the next box that a worker is sent to; nil if there is none. arrives says that the worker was on its way until now.
func (ws *Workers[T]) take(arrives bool) *Box[T] {
	ws.mu.Lock()
	if arrives {
		ws.hired = false
	}
	b := ws.first
	if b != nil {
		ws.first, b.after = b.after, nil
		if ws.first == nil {
			ws.last = nil
		}
	}
	hired := ws.hireLocked()
	ws.mu.Unlock()
	if hired {
		ws.start()
	}
	return b
}

// leave is the last thing a worker does.
func (ws *Workers[T]) leave(w *worker) {
	w.recycle()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.n--
	if ws.n == 0 && ws.gone != nil {
		close(ws.gone)
		ws.gone = nil
	}
}

// Gone returns a channel that is closed when there is no worker.
func (ws *Workers[T]) Gone() <-chan struct{} {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.n == 0 {
		return closedChannel
	}
	if ws.gone == nil {
		ws.gone = make(chan struct{})
	}
	return ws.gone
}

// worker is the state of one goroutine. Workers are used again, by any Workers, so that to wake an idle box does not allocate. Fields without a
// remark belong to the goroutine.
type worker struct {
	of      interface{ run(*worker) }
	run     func()        // w.of.run(w); kept, because each `go` would build it anew
	turns   int           // that it has had
	yielder yield.Yielder // kept by recycle: what it knows is of the whole program
	out     bool          // counted out of the box
	final   bool          // was the last one of the box

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
	w.run = func() { w.of.run(w) }
	return w
}}

// recycle hands w back. The caller must not touch it any more.
func (w *worker) recycle() {
	w.of, w.turns = nil, 0
	idleWorkers.Put(w)
}

// turnsAtATime is after how many turns a worker lets others use its processor: who brings the next items, or carries the answers away, is often waiting for
// it, while another processor has nothing to do. A yield after fewer turns makes small batches of the answers.
const turnsAtATime = 128

// makeRoom makes the stack of a new goroutine as large as most handlers need. It would grow step by step otherwise, each of which copies what is on it
// frame by frame: at the depth of a handler's decoding that takes longer than all else that is done for a message. Here there is next to nothing on it.
//
//go:noinline
func makeRoom(i uint64) byte {
	var room [2048]byte
	return room[i%uint64(len(room))]
}
