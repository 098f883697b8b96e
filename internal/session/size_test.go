//go:build amd64 || arm64

package session

import (
	"testing"
	"unsafe"
)

// TestSmall: most sessions are idle, and one more word makes each of them 256 bytes larger, which is the next size that Go allocates. What is needed only while a
// frame is taken over or written belongs elsewhere, as in Intake. That is so of words of 64 bits.
func TestSmall(t *testing.T) {
	const header = 8 // that Go puts before what is larger than 512 bytes and has pointers
	if size := unsafe.Sizeof(Session{}); size+header > 1536 {
		t.Errorf("a Session takes %d bytes, want at most 1,528", size)
	}
	// Half of a Grant is for who receives, with the lock of the session, and half for who takes, without.
	var s Session
	if at := unsafe.Offsetof(s.in) + unsafe.Offsetof(s.in.session); (header+at)%64 != 0 {
		t.Errorf("the session's grant is at %d, and begins no cache line", at)
	}
}

// TestCacheLines: of many endpoints, nothing of one is near, and each cache line that a message needs of it takes longer than most of what is done with it.
func TestCacheLines(t *testing.T) {
	const line = 64
	if size := unsafe.Sizeof(Route{}); size != line {
		t.Errorf("a Route takes %d bytes, want a cache line", size)
	}
	if size := unsafe.Sizeof(account{}); size != line {
		t.Errorf("an account takes %d bytes, want a cache line", size)
	}
}
