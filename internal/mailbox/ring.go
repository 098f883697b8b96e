package mailbox

// minRing is the size to which a ring shrinks, in slots: small enough for
// millions of idle boxes, large enough that a trickle of items never allocates.
const minRing = 4

// ring is a first-in first-out queue. It doubles when it is full and shrinks
// when it is nearly empty, so that memory comes back after a burst. The zero
// value is empty and has no memory.
type ring[T any] struct {
	buf  []T // its length is 0 or a power of two
	head int // index of the oldest item
	n    int // number of items
}

// at returns the item that has i others before it.
func (r *ring[T]) at(i int) T {
	return r.buf[(r.head+i)&(len(r.buf)-1)]
}

// push appends items.
func (r *ring[T]) push(items []T) {
	size := max(minRing, len(r.buf))
	for size < r.n+len(items) {
		size *= 2
	}
	if len(items) > 0 && size > len(r.buf) {
		r.resize(size)
	}
	for _, item := range items {
		r.buf[(r.head+r.n)&(len(r.buf)-1)] = item
		r.n++
	}
}

// pop removes the oldest item; the ring must not be empty. It shrinks a ring
// that is an eighth full to a quarter: half of that is free then, so that
// resizing stays rare compared with pushing and popping.
func (r *ring[T]) pop() T {
	var zero T
	item := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if len(r.buf) > minRing && r.n <= len(r.buf)/8 {
		r.resize(max(minRing, len(r.buf)/4))
	}
	return item
}

// resize moves the items to a buffer of size slots, which must hold them.
func (r *ring[T]) resize(size int) {
	buf := make([]T, size)
	for i := range r.n {
		buf[i] = r.at(i)
	}
	r.buf, r.head = buf, 0
}
