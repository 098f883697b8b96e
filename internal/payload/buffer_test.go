package payload

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parley-rpc/parley/internal/session"
)

// TestMarshal: what a session copies is in the buffer, what it keeps is not.
func TestMarshal(t *testing.T) {
	for _, size := range []int{0, 1, 5000, session.MostWhole - 4, session.MostWhole, 1 << 20} {
		m := wrapperspb.Bytes(make([]byte, size))
		b := NewBuffer()
		encoded, memory, err := b.Marshal(m, false)
		if err != nil {
			t.Fatal(err)
		}
		got := new(wrapperspb.BytesValue)
		if err := proto.Unmarshal(encoded, got); err != nil || !proto.Equal(got, m) {
			t.Errorf("%d bytes: %v", size, err)
		}
		shared := len(encoded) > 0 && cap(*b.b) > 0 && &encoded[0] == &(*b.b)[:1][0]
		if kept := len(encoded) > session.MostWhole; shared == kept && len(encoded) > 0 {
			t.Errorf("%d bytes: in the buffer: %v, want %v", size, shared, !kept)
		} else if kept && (memory == nil || &memory.Bytes[0] != &encoded[0]) || !kept && memory != nil {
			t.Errorf("%d bytes: not in memory of its own", size)
		}
		b.Free()
	}
}

// TestMarshalFails: a message that cannot be encoded leaves the buffer usable.
func TestMarshalFails(t *testing.T) {
	b := NewBuffer()
	defer b.Free()
	if _, _, err := b.Marshal(wrapperspb.String("\xff"), false); err == nil {
		t.Error("invalid UTF-8 was encoded")
	}
	if _, _, err := b.Marshal(wrapperspb.String("fine"), true); err != nil {
		t.Error(err)
	}
}
