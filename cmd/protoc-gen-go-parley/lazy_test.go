package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	opaquev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/opaque"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/piecewise"
)

// TestLargeLazyMessages: a large message with fields that nobody has looked at yet is sent on as it came, though another encoder has made its fields
// otherwise than package proto would.
func TestLargeLazyMessages(t *testing.T) {
	field := func(b []byte, number protowire.Number, text string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
	}
	const text, later, unknown = 1, 2, 1000
	twice := field(field(nil, text, "first"), text, "last")
	for name, large := range map[string]protowire.Number{"a text": text, "an unknown field": unknown} {
		outer := field(nil, later, string(field(field(nil, large, strings.Repeat("x", 2<<20)), later, string(twice))))
		m := new(opaquev1.OpaqueMessage)
		if err := proto.Unmarshal(outer, m); err != nil {
			t.Fatal(err)
		}
		buffer := payload.NewBuffer()
		encoded, _, parts, err := buffer.Marshal(m, false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if parts != nil {
			encoded = piecewise.Join(parts)
		}
		got := new(opaquev1.OpaqueMessage)
		if err := proto.Unmarshal(encoded, got); err != nil || got.GetLater().GetLater().GetText() != "last" || !proto.Equal(got, m) {
			t.Errorf("%s: another message: %v", name, err)
		}
		buffer.Free()
	}
}
