package mailbox

// minRing is the size to which a ring shrinks, in slots: small enough for
// millions of idle boxes, large enough that a trickle of items never allocates.
const minRing = 4

// ring is a first-in first-out queue. It doubles when it is full and shrinks
// when it is nearly empty, so that memory comes back after a burst. The zero
// value is empty and has no memory: it needs none before a second item waits.
type ring[T any] struct {
	buf  []T    // its length is 0 or a power of two
	one  T      // the only item, while there is no buf
	head uint32 // index of the oldest item
	n    uint32 // number of items
}

// len returns the number of items.
func (r *ring[T]) len() int { return int(r.n) }

// at returns the item that has i others before it.
func (r *ring[T]) at(i int) T {
	if r.buf == nil {
		return r.one
	}
	return r.buf[(int(r.head)+i)&(len(r.buf)-1)]
}

// push appends items.
func (r *ring[T]) push(items ...T) {
	need := r.len() + len(items)
	if len(items) == 0 {
		return
	}
	if r.buf == nil && need == 1 {
		r.one, r.n = items[0], 1
		return
	}
	size := max(minRing, len(r.buf))
	for size < need {
		size *= 2
	}
	if size > len(r.buf) {
		r.resize(size)
	}
	for _, item := range items {
		r.buf[int(r.head+r.n)&(len(r.buf)-1)] = item
		r.n++
	}
}

// pop removes the oldest item; the ring must not be empty. It shrinks a ring
// that is an eighth full to a quarter: half of that is free then, so that
// resizing stays rare compared with pushing and popping.
func (r *ring[T]) pop() T {
	var zero T
	if r.buf == nil {
		item := r.one
		r.one, r.n = zero, 0
		return item
	}
	item := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & uint32(len(r.buf)-1)
	r.n--
	if len(r.buf) > minRing && r.len() <= len(r.buf)/8 {
		r.resize(max(minRing, len(r.buf)/4))
	}
	return item
}

// resize moves the items to a buffer of size slots, which must hold them.
func (r *ring[T]) resize(size int) {
	var zero T
	buf := make([]T, size)
	for i := range r.len() {
		buf[i] = r.at(i)
	}
	r.buf, r.one, r.head = buf, zero, 0
}
