package wire

import (
	"bytes"
	"testing"
)

func TestBufferHasRoom(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 16_384, 100_000, 1 << 17, 1<<17 + 1, 1 << 18, 1<<18 + 100, 1<<18 + largeMore, 1<<18 + largeMore + 1,
		1 << 19, 1<<19 + 4, 1 << 20, 1<<20 + 4, MostReused, MostReused + 1, 5 << 20} {
		b := NewBuffer(size)
		if len(b.Bytes) != 0 || cap(b.Bytes) < size || cap(b.Bytes) > max(2*size+largeMore, 1<<minClass) {
			t.Errorf("a buffer for %d bytes has %d and room for %d", size, len(b.Bytes), cap(b.Bytes))
		}
		if reused := b.class >= 0; reused != (size <= MostReused) {
			t.Errorf("a buffer for %d bytes is used again: %t", size, reused)
		}
		b.Release()
	}
}

// TestBufferIsOneUsers: what a user has not released is nobody else's.
func TestBufferIsOneUsers(t *testing.T) {
	for _, size := range []int{100, 100_000, 1 << 20} {
		first := NewBuffer(size)
		first.Bytes = append(first.Bytes, bytes.Repeat([]byte("a"), size)...)
		first.Retain(1)
		first.Release()
		var others []*Buffer
		for range 100 {
			b := NewBuffer(size)
			b.Bytes = append(b.Bytes, bytes.Repeat([]byte("b"), size)...)
			others = append(others, b)
			if len(others) > 2 {
				others[0].Release()
				others = others[1:]
			}
		}
		if bytes.Contains(first.Bytes, []byte("b")) || len(first.Bytes) != size {
			t.Errorf("a buffer of %d bytes was used again before its last user released it", size)
		}
	}
}
