// Package mailbox keeps the items of one endpoint in order and hands them to
// a handler, one at a time or several at once.
//
// It knows nothing of what an item is, does no I/O and has no clock. It has a
// hard capacity, but the windows of the single senders are kept elsewhere, so
// a well-behaved sender never meets that capacity. It does not recover a panic
// of the handler, because only the owner knows whom to tell.
package mailbox

import (
	"fmt"
	"math"
	"sync"
)

// DefaultReleased is the limit of released handlers when Config.Released is 0.
const DefaultReleased = 1024

// Config bounds a Box. The zero value is a serial box without a capacity.
type Config struct {
	// Concurrency is how many items may be handled at the same time, released
	// handlers not counted. 0 means 1: in order, each item after the handler
	// of the one before has returned or released the box.
	Concurrency int
	// Released is how many handlers may go on at the same time after they
	// released the box. 0 means DefaultReleased.
	Released int
	// Capacity is how many items may be queued. 0 means unlimited. Items of
	// PostControl take up room, but are never refused for the lack of it.
	Capacity int
	// Prepared says that the first item has nothing to prepare: the box is not
	// serial because of it.
	Prepared bool
}

// Box queues items and has its Workers run their handler for each, in order. They are goroutines that
// exist only while there is something to do: an idle Box has none.
//
// A box is serial until the handler of its first item has returned, whatever
// its Concurrency, so the first item can prepare what the others need. (If
// that handler releases the box, items follow one at a time until it returns.
// Config.Prepared leaves all that out.) With a Concurrency above 1, items are
// taken off the queue in order but nothing orders their handlers. In a serial
// box, everything a handler did before it returned or released happens before
// the next handler.
//
// A handler that ends with runtime.Goexit counts as returned. All methods may
// be called concurrently, also from the handler; waiting there for Done is a
// deadlock.
type Box[T any] struct {
	workers *Workers[T]
	after   *Box[T] // that a worker is sent to next; guarded by the mu of workers

	mu       sync.Mutex
	begun    bool // the first turn is not to come
	prepared bool // the first turn is over, or nothing has to be prepared
	hired    bool // a worker is on its way
	closed   bool
	finished bool          // nothing is left to be handled, ever
	active   int32         // workers that hold or may take an item, just started ones included
	released int32         // workers whose handler goes on after a release
	left     int32         // of these, those whose handler is about to return
	running  int32         // workers that have a turn
	done     chan struct{} // made by the first call of Done

	// Of Config, with the defaults filled in. A Box is small, because there are
	// millions of them. These are never changed, and amid what changes, so that who
	// has looked at one of them need not wait long for the mu or the queue.
	concurrency, mostReleased, capacity int32

	// queue holds what is not yet handed out; once closed is set, its newest
	// item is the one given to Close, until that is handed out too. It is
	// guarded by mu.
	queue ring[T]
}

// New returns an idle Box that has workers of its own, which run handle for each item. It panics if handle
// is nil or a field of c is negative.
func New[T any](c Config, handle func(t Turn, item T)) *Box[T] {
	b := new(Box[T])
	b.Init(c, NewWorkers(handle))
	return b
}

// Init makes a zero Box what New returns, for a Box that is part of something and has its workers in common with others.
func (b *Box[T]) Init(c Config, workers *Workers[T]) {
	if c.Concurrency < 0 || c.Released < 0 || c.Capacity < 0 {
		panic(fmt.Sprintf("mailbox: New with a negative limit: %+v", c))
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1
	}
	if c.Released == 0 {
		c.Released = DefaultReleased
	}
	b.workers = workers
	b.concurrency, b.mostReleased, b.capacity = limit(c.Concurrency), limit(c.Released), limit(c.Capacity)
	b.begun, b.prepared = c.Prepared, c.Prepared
}

// limit returns a limit as a Box keeps it. Nothing comes near the most.
func limit(n int) int32 { return int32(min(n, math.MaxInt32)) }

// Concurrency returns how many items may be handled at the same time.
func (b *Box[T]) Concurrency() int { return int(b.concurrency) }

// Post queues items, consecutively and in order, and returns how many of them
// were accepted: all, or those at the front for which there was room, or 0
// after Close. It never blocks and never runs the handler itself.
func (b *Box[T]) Post(items ...T) (accepted int) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0
	}
	if b.capacity > 0 {
		items = items[:min(len(items), max(0, int(b.capacity)-b.queue.len()))]
	}
	b.queue.push(items...)
	hired := b.hireLocked()
	b.mu.Unlock()
	b.send(hired)
	return len(items)
}

// PostControl queues item like Post, in order with all others, but ignores the
// capacity. It is for lifecycle and network events, whose number the caller
// bounds. It returns false after Close.
func (b *Box[T]) PostControl(item T) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.queue.push(item)
	hired := b.hireLocked()
	b.mu.Unlock()
	b.send(hired)
	return true
}

// Close makes the box refuse new items. Those queued are still handled; when
// every handler has returned, released ones included, last is handled alone,
// as the very last one. Close does not wait for that: see Done. It returns
// false, and drops last, if the box was already closed.
func (b *Box[T]) Close(last T) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.queue.push(last)
	b.closed = true
	hired := b.hireLocked()
	b.mu.Unlock()
	b.send(hired)
	return true
}

// CloseIdle makes the box refuse new items, and is the end of it, if it has
// nothing to do: then nothing is handled any more, and Done is closed. Else, and
// if the box was already closed, it does nothing and returns false.
func (b *Box[T]) CloseIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.queue.len() > 0 || b.active > 0 || b.released > 0 {
		return false
	}
	b.closed = true
	b.finishLocked()
	return true
}

// Done returns a channel that is closed when the item given to Close has been
// handled and no goroutine is at work for the box, or CloseIdle has found none.
func (b *Box[T]) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done == nil {
		if b.finished {
			return closedChannel
		}
		b.done = make(chan struct{})
	}
	return b.done
}

// closedChannel is what Done returns after the end, if nobody has asked before.
var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Len returns how many items are queued and not yet handed out, not counting
// the one given to Close.
func (b *Box[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queuedLocked()
}

// Stats is what a box has and does at one moment.
type Stats struct {
	// Queued is how many items are not yet handed out, not counting the one
	// given to Close.
	Queued int
	// Running is how many handlers run, released ones included, and Released
	// how many of them have released the box.
	Running, Released int
	// Closed says that Close was called.
	Closed bool
}

// Stats returns what the box has and does.
func (b *Box[T]) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Queued: b.queuedLocked(), Running: int(b.running), Released: int(b.released), Closed: b.closed}
}

// Oldest calls f with the item that is handed out next, unless none is queued
// but the one given to Close. f runs under the lock of the box, so that the
// item is not handed out meanwhile: it must be quick, and not use the box.
func (b *Box[T]) Oldest(f func(item T)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queuedLocked() > 0 {
		f(b.queue.at(0))
	}
}

// Drop removes the items that are queued and not yet handed out, except the
// one given to Close, then calls f for each, in order and outside the lock. It
// returns how many they were. It neither closes the box nor waits for handlers.
func (b *Box[T]) Drop(f func(item T)) int {
	b.mu.Lock()
	count := b.queuedLocked()
	dropped := b.queue
	b.queue = ring[T]{}
	if dropped.len() > count {
		b.queue.push(dropped.at(count))
	}
	b.mu.Unlock()
	for i := range count {
		f(dropped.at(i))
	}
	return count
}

// queuedLocked is Len for callers that hold the lock.
func (b *Box[T]) queuedLocked() int {
	n := b.queue.len()
	if b.closed && n > 0 {
		return n - 1
	}
	return n
}

// readyLocked returns how many items a further worker would find. The item
// given to Close is ready only when it is alone and nobody else is at work.
func (b *Box[T]) readyLocked() int {
	queued := b.queuedLocked()
	if queued == 0 && b.queue.len() == 1 && b.active == 0 && b.released == 0 {
		return 1
	}
	return queued
}

// limitLocked returns how many may be active.
func (b *Box[T]) limitLocked() int32 {
	if b.prepared {
		return b.concurrency
	}
	return 1
}

// hireLocked counts in a worker, if there is work and room for one, and none is on its way: that one hires the next, if there is more to do than it does
// itself. The caller sends it when it has unlocked, if there is one.
func (b *Box[T]) hireLocked() bool {
	if b.hired || b.active >= b.limitLocked() || b.readyLocked() == 0 {
		return false
	}
	b.hired = true
	b.active++
	return true
}

// send has a worker come that was counted in, if there is one. It ends by itself when there is nothing to do, and Done tells when all have.
func (b *Box[T]) send(hired bool) {
	if hired {
		b.workers.send(b)
	}
}

// work is what a worker does that was sent for: all that there is to do.
func (b *Box[T]) work(w *worker) {
	// Deferred, because a handler may end the goroutine with runtime.Goexit.
	defer b.leave(w)
	turn, item, ok := b.next(w, true)
	if ok && w.turns == 0 { // not before, as a worker often finds that others were quicker
		makeRoom(w.number.Load())
	}
	for ok {
		b.workers.handle(turn, item)
		if w.turns++; w.turns%turnsAtATime == 0 {
			w.yielder.Yield()
		}
		turn, item, ok = b.next(w, false)
	}
}

// next ends the turn of w and gives it the next one, or counts it out and
// returns false if there is nothing to do or no room for it. arrives says that it was on its way until now.
func (b *Box[T]) next(w *worker, arrives bool) (turn Turn, item T, ok bool) {
	b.mu.Lock()
	if arrives {
		b.hired = false
	}
	b.settleLocked(w)
	if b.active >= b.limitLocked() || b.readyLocked() == 0 {
		w.out, w.final = true, b.throughLocked()
		b.mu.Unlock()
		return Turn{}, item, false
	}
	b.active++
	b.running++
	item = b.queue.pop()
	w.first, w.busy = !b.begun, true
	b.begun = true
	turn = Turn{box: b, w: w, number: w.number.Add(1)}
	hired := b.hireLocked()
	b.mu.Unlock()
	b.send(hired)
	return turn, item, true
}

// settleLocked ends the turn of w, if it has one, and takes w out of the counts.
func (b *Box[T]) settleLocked(w *worker) {
	w.number.Add(1)
	if w.busy {
		w.busy = false
		b.running--
	}
	if w.released {
		w.released = false
		b.released--
		if w.left {
			w.left = false
			b.left--
		}
	} else {
		b.active--
	}
	if w.first {
		w.first = false
		b.prepared = true
	}
}

// throughLocked reports, to a worker that has just been counted out, whether
// nothing is left to do, ever. The item given to Close is handed out only when
// nobody else is counted in, so exactly one worker is told so: the one that
// had that item.
func (b *Box[T]) throughLocked() bool {
	return b.closed && b.queue.len() == 0
}

// leave is the last thing a worker does.
func (b *Box[T]) leave(w *worker) {
	if !w.out { // runtime.Goexit in the handler
		b.mu.Lock()
		b.settleLocked(w)
		w.final = b.throughLocked()
		hired := b.hireLocked()
		b.mu.Unlock()
		b.send(hired)
	}
	final := w.final
	w.out, w.final = false, false
	if final {
		b.mu.Lock()
		b.finishLocked()
		b.mu.Unlock()
	}
}

// finishLocked tells that nothing is handled any more.
func (b *Box[T]) finishLocked() {
	b.finished = true
	if b.done != nil {
		close(b.done)
	}
}

// release implements Turn.Release.
func (b *Box[T]) release(w *worker, number uint64) bool {
	b.mu.Lock()
	if w.number.Load() != number {
		b.mu.Unlock()
		return false
	}
	if w.released {
		b.mu.Unlock()
		return true
	}
	if b.released-b.left >= b.mostReleased {
		b.mu.Unlock()
		return false
	}
	w.released = true
	b.active--
	b.released++
	hired := b.hireLocked()
	b.mu.Unlock()
	b.send(hired)
	return true
}

// leaving implements Turn.Leave.
func (b *Box[T]) leaving(w *worker, number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.number.Load() == number && w.released && !w.left {
		w.left = true
		b.left++
	}
}

// isReleased implements Turn.Released.
func (b *Box[T]) isReleased(w *worker, number uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return w.number.Load() == number && w.released
}
