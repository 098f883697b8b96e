package wire

import (
	"bytes"
	"testing"
)

func TestBufferHasRoom(t *testing.T) {
	for class := range classes {
		for _, size := range []int{roomOf(class) - 1, roomOf(class), roomOf(class) + 1} {
			b := NewBuffer(size)
			most := 2 * size
			if size > mostFrames {
				most = size + size/steps + largeMore
			}
			if len(b.Bytes) != 0 || cap(b.Bytes) < size || cap(b.Bytes) > most {
				t.Errorf("a buffer for %d bytes has %d and room for %d, want %d at most", size, len(b.Bytes), cap(b.Bytes), most)
			}
			if reused := b.class >= 0; reused != (size <= MostReused) {
				t.Errorf("a buffer for %d bytes is used again: %t", size, reused)
			}
			b.Release()
		}
	}
	for _, size := range []int{0, 1} {
		if b := NewBuffer(size); cap(b.Bytes) != 1<<minClass {
			t.Errorf("a buffer for %d bytes has room for %d", size, cap(b.Bytes))
		}
	}
	if n := roomOf(classes - 1); n != MostReused {
		t.Errorf("the largest buffers have room for %d bytes, want %d", n, MostReused)
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
