package payload

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestMarshal: what a session copies is in the buffer, what it keeps is not.
func TestMarshal(t *testing.T) {
	for _, size := range []int{0, 1, 5000, session.MostWhole - 4, session.MostWhole, wire.MostUndivided - 4} {
		m := wrapperspb.Bytes(make([]byte, size))
		b := NewBuffer()
		encoded, memory, parts, err := b.Marshal(m, false)
		if err != nil || parts != nil {
			t.Fatal(parts, err)
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

// TestMarshalInParts: what is larger than any memory that is used again is in parts, if it divides, whether it waits for its turn or not.
func TestMarshalInParts(t *testing.T) {
	text := strings.Repeat("x", 3<<20)
	for name, test := range map[string]struct {
		m     proto.Message
		parts bool
	}{
		"a text":          {wrapperspb.String(text), true},
		"a text in a map": {&structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue(text)}}, false},
		"just a MiB":      {wrapperspb.String(text[:1<<20-4]), true},
		"less than a MiB": {wrapperspb.String(text[:1<<20-5]), false},
	} {
		for _, noWait := range []bool{false, true} {
			b := NewBuffer()
			encoded, memory, parts, err := b.Marshal(test.m, noWait)
			if err != nil || (parts != nil) != test.parts || (memory != nil) == test.parts || (encoded != nil) == test.parts {
				t.Fatalf("%s: in parts: %v, in memory: %v, %d bytes; error %v", name, parts != nil, memory != nil, len(encoded), err)
			}
			if parts != nil {
				encoded = piecewise.Join(parts)
			}
			got := test.m.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(encoded, got); err != nil || !proto.Equal(got, test.m) {
				t.Errorf("%s: %v", name, err)
			}
			b.Free()
		}
	}
}

// TestMarshalFails: a message that cannot be encoded leaves the buffer usable.
func TestMarshalFails(t *testing.T) {
	b := NewBuffer()
	defer b.Free()
	if _, _, _, err := b.Marshal(wrapperspb.String("\xff"), false); err == nil {
		t.Error("invalid UTF-8 was encoded")
	}
	if _, _, _, err := b.Marshal(wrapperspb.String("fine"), true); err != nil {
		t.Error(err)
	}
}
