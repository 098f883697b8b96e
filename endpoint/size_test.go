//go:build amd64 || arm64

package endpoint

import (
	"testing"
	"unsafe"
)

// TestCacheLines: of many endpoints, nothing of one is near, and what a call needs of its method in each cache line takes longer than most of what is done with it.
func TestCacheLines(t *testing.T) {
	const line = 64
	if size := unsafe.Sizeof(methodCore{}); size != 2*line {
		t.Errorf("a methodCore takes %d bytes: not two cache lines, with which its memory would begin one", size)
	}
	if end := unsafe.Offsetof(methodCore{}.reply) + unsafe.Sizeof(methodCore{}.reply); end > line {
		t.Errorf("what every call needs of a methodCore takes %d bytes, more than a cache line", end)
	}
}
