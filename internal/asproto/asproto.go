// Package asproto takes what stock gRPC code hands over for a message, and decodes into messages.
package asproto

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
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

// Unmarshal is proto.Unmarshal, at two thirds of its price for a small message: it resets m by its own method, to which package proto only comes by
// reflection.
func Unmarshal(b []byte, m proto.Message) error {
	proto.Reset(m)
	return merge.Unmarshal(b, m)
}

var merge = proto.UnmarshalOptions{Merge: true}
