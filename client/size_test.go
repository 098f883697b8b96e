//go:build amd64 || arm64

package client

import (
	"testing"
	"unsafe"
)

// TestCacheLines: of many endpoints, nothing of one is near, and each cache line that a message needs of it takes longer than most of what is done with it.
func TestCacheLines(t *testing.T) {
	const smaller = 48 // the next smaller size that Go allocates, of which every other one is in two cache lines
	if size := unsafe.Sizeof(remote{}); size > 64 || size <= smaller {
		t.Errorf("a remote takes %d bytes, which is not one cache line", size)
	}
}
