package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers of 2^minClass to 2^(minClass+classes-1) bytes are used again. From largeClass on they have largeMore bytes more: a large payload of a round size
// is encoded in a few bytes more than that.
const (
	minClass   = 9
	classes    = 12
	largeClass = 9
	largeMore  = 8 << 10
)

// MostReused is the size of the largest buffers that are used again. To make one takes about as long as to write and read 64 KiB.
const MostReused = 1<<(minClass+classes-1) + largeMore

var buffers [classes]sync.Pool

// Buffer is the memory of a frame. It is used again when its last user has released it; a Buffer that is never released is
// left to the garbage collector. Retain and Release may be called concurrently.
type Buffer struct {
	// Bytes is the frame. Whoever made the buffer may append to it, and replace it by a longer copy.
	Bytes []byte

	class int // in buffers; -1 for none
	users atomic.Int32
}

// NewBuffer returns an empty buffer with room for size bytes, and at most twice as many, that has one user.
func NewBuffer(size int) *Buffer {
	class := max(0, bits.Len(uint(max(size, 1)-1))-minClass)
	if class > largeClass && size <= roomOf(class-1) {
		class--
	}
	if class >= classes {
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

// roomOf returns how large the buffers of a class are.
func roomOf(class int) int {
	if class >= largeClass {
		return 1<<(minClass+class) + largeMore
	}
	return 1 << (minClass + class)
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
