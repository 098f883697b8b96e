package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers of some sizes, the classes, are used again: of 2^minClass bytes, and from one to the next twice as many, as long as they may be frames. Larger ones
// are for payloads. Of these there are four sizes from one power of two to the next, so that little is wasted, each with largeMore bytes more: a payload of
// a round size is encoded in a few bytes more than that.
const (
	minClass   = 9
	doubling   = 9 // classes
	steps      = 4
	classes    = doubling + 3*steps
	mostFrames = 1 << (minClass + doubling - 1)
	largeMore  = 8 << 10
)

// MostReused is the size of the largest buffers that are used again.
const MostReused = 1<<20 + largeMore

var buffers [classes]sync.Pool

// Buffer is the memory of a frame. It is used again when its last user has released it; a Buffer that is never released is
// left to the garbage collector. Retain and Release may be called concurrently.
type Buffer struct {
	// Bytes is the frame. Whoever made the buffer may append to it, and replace it by a longer copy.
	Bytes []byte

	class int // in buffers; -1 for none
	users atomic.Int32
}

// NewBuffer returns an empty buffer that has one user, with room for size bytes and at most twice as many; above 128 KiB at most a quarter more, and
// largeMore.
func NewBuffer(size int) *Buffer {
	class := classOf(size)
	if class == classes {
		b := &Buffer{Bytes: make([]byte, 0, size), class: -1}
		b.users.Store(1)
		return b
	}
	b, ok := buffers[class].Get().(*Buffer)
	if !ok {
		b = &Buffer{Bytes: make([]byte, 0, roomOf(class)), class: class}
	}
	b.users.Store(1)
	return b
}

// classOf returns the first class whose buffers have that many bytes; classes if there is none.
func classOf(size int) int {
	if size <= mostFrames {
		return max(0, bits.Len(uint(max(size, 1)-1))-minClass)
	}
	class := doubling
	for class < classes && size > roomOf(class) {
		class++
	}
	return class
}

// roomOf returns how large the buffers of a class are.
func roomOf(class int) int {
	if class < doubling {
		return 1 << (minClass + class)
	}
	power, step := (class-doubling)/steps, (class-doubling)%steps+1
	return mostFrames<<power/steps*(steps+step) + largeMore
}

// Grow returns a buffer with the same bytes and room for more bytes behind them: b itself, or another one instead of it, which
// has one user.
func (b *Buffer) Grow(more int) *Buffer {
	if cap(b.Bytes)-len(b.Bytes) >= more {
		return b
	}
	larger := NewBuffer(max(len(b.Bytes)+more, 2*cap(b.Bytes)))
	larger.Bytes = append(larger.Bytes, b.Bytes...)
	b.Release()
	return larger
}

// Fit returns a buffer with the same bytes that has not more than four times the room they need: b itself, or a copy instead
// of it, which has one user.
func (b *Buffer) Fit() *Buffer {
	const much = 4
	if cap(b.Bytes) <= max(much*len(b.Bytes), 1<<minClass) {
		return b
	}
	fitting := NewBuffer(len(b.Bytes))
	fitting.Bytes = append(fitting.Bytes, b.Bytes...)
	b.Release()
	return fitting
}

// Retain adds n users.
func (b *Buffer) Retain(n int) { b.users.Add(int32(n)) }

// Release takes one user away. Nobody may look at the bytes after the last.
func (b *Buffer) Release() {
	if b.users.Add(-1) != 0 || b.class < 0 {
		return
	}
	b.Bytes = b.Bytes[:0]
	buffers[b.class].Put(b)
}
