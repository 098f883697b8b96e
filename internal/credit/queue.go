package credit

// Waiter is somebody who waits in a Queue for its turn.
type Waiter struct {
	// Turn gets a value when the waiter should look again. It has room for one.
	Turn chan struct{}

	prev, next *Waiter // in a ring; nil while it is in no queue
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
	head *Waiter // before which the last one is; nil if nobody waits
}

// Empty reports whether nobody waits.
func (q *Queue) Empty() bool { return q.head == nil }

// Blocks reports whether w, which may be nil, has somebody before it.
func (q *Queue) Blocks(w *Waiter) bool { return q.head != nil && q.head != w }

// Join puts w at the end, unless it is in the queue already.
func (q *Queue) Join(w *Waiter) {
	switch {
	case w.next != nil:
	case q.head == nil:
		w.prev, w.next = w, w
		q.head = w
	default:
		w.prev, w.next = q.head.prev, q.head
		w.prev.next, w.next.prev = w, w
	}
}

// Leave takes w out, wherever it is.
func (q *Queue) Leave(w *Waiter) {
	if w == nil || w.next == nil {
		return
	}
	if q.head == w {
		q.head = w.next
	}
	if q.head == w { // it is alone
		q.head = nil
	}
	w.prev.next, w.next.prev = w.next, w.prev
	w.prev, w.next = nil, nil
}

// WakeHead tells the first waiter to look again.
func (q *Queue) WakeHead() {
	if q.head != nil {
		q.head.wake()
	}
}

// WakeAll tells every waiter to look again.
func (q *Queue) WakeAll() {
	w := q.head
	if w == nil {
		return
	}
	for {
		w.wake()
		if w = w.next; w == q.head {
			return
		}
	}
}
