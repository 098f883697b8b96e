package link

import (
	"bytes"
	"testing"

	"github.com/parley-rpc/parley/internal/session"
)

// TestRoomForReplies: an ask that is used again keeps room for small replies only, and a reply is not changed by where it is copied to.
func TestRoomForReplies(t *testing.T) {
	var a session.Ask
	for _, size := range []int{10, 700, 3, 1000, mostRoom, mostRoom + 1, 1 << 20, 0, 5} {
		reply := bytes.Repeat([]byte{byte(size)}, size)
		if got := copyReply(&a, reply); !bytes.Equal(got, reply) {
			t.Errorf("a reply of %d bytes became %d others", size, len(got))
		}
		if cap(a.Room) > mostRoom {
			t.Fatalf("%d bytes of room are kept after a reply of %d, want %d at most", cap(a.Room), size, mostRoom)
		}
	}
}
