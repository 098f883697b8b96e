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
	var c methodCore
	for name, at := range map[string]uintptr{
		"name": unsafe.Offsetof(c.name), "caller": unsafe.Offsetof(c.caller), "messages": unsafe.Offsetof(c.messages), "inside": unsafe.Offsetof(c.inside), "reply": unsafe.Offsetof(c.reply),
	} {
		if at >= line {
			t.Errorf("%s, which each call needs, is not in the first cache line", name)
		}
	}
}
