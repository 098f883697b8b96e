// Package asproto takes what stock gRPC code hands over for a message, and encodes and decodes messages.
package asproto

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"github.com/parley-rpc/parley/internal/bulk"
)

// Message returns v as a message, if it is one of either API of Go protobuf.
func Message(v any) (proto.Message, bool) {
	switch m := v.(type) {
	case proto.Message:
		return m, true
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m), true
	default:
		return nil, false
	}
}

// Marshal is proto.Marshal for which a large message waits for its turn, unless noWait is set: see package bulk. A message that would have to be encoded to know
// its size, as one does with an encoding of its own, has no turn.
func Marshal(m proto.Message, noWait bool) ([]byte, error) {
	if noWait || m == nil {
		return proto.Marshal(m)
	}
	if fast := m.ProtoReflect().ProtoMethods(); fast == nil || fast.Size == nil {
		return proto.Marshal(m)
	}
	options := proto.MarshalOptions{}
	size := options.Size(m)
	options.UseCachedSize = true // which proto.Marshal does, too
	defer bulk.Begin(size)()
	return options.Marshal(m)
}

// UnmarshalNew is proto.Unmarshal for a message that is empty: it saves the Reset, to which package proto comes by reflection, and so a third of the price of
// a small message.
func UnmarshalNew(b []byte, m proto.Message) error { return merge.Unmarshal(b, m) }

var merge = proto.UnmarshalOptions{Merge: true}
