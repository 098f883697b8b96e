package credit

// Waiter is somebody who waits in a Queue for its turn.
type Waiter struct {
	// Turn gets a value when the waiter should look again. It has room for one.
	Turn chan struct{}

	queued     bool
	prev, next *Waiter
}

// NewWaiter returns a waiter.
func NewWaiter() *Waiter { return &Waiter{Turn: make(chan struct{}, 1)} }

// wake tells the waiter to look again. It never blocks.
func (w *Waiter) wake() {
	select {
	case w.Turn <- struct{}{}:
	default:
	}
}

// Queue is a FIFO of waiters. It is not safe for concurrent use.
type Queue struct {
	head, tail *Waiter
}

// Empty reports whether nobody waits.
func (q *Queue) Empty() bool { return q.head == nil }

// Blocks reports whether w, which may be nil, has somebody before it.
func (q *Queue) Blocks(w *Waiter) bool { return q.head != nil && q.head != w }

// Join puts w at the end, unless it is in the queue already.
func (q *Queue) Join(w *Waiter) {
	if w.queued {
		return
	}
	w.queued = true
	w.prev = q.tail
	if q.tail != nil {
		q.tail.next = w
	} else {
		q.head = w
	}
	q.tail = w
}

// Leave takes w out, wherever it is.
func (q *Queue) Leave(w *Waiter) {
	if w == nil || !w.queued {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
}

// WakeHead tells the first waiter to look again.
func (q *Queue) WakeHead() {
	if q.head != nil {
		q.head.wake()
	}
}

// WakeAll tells every waiter to look again.
func (q *Queue) WakeAll() {
	for w := q.head; w != nil; w = w.next {
		w.wake()
	}
}
