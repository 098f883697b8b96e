// Package asproto takes what stock gRPC code hands over for a message, and decodes new messages.
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

// UnmarshalNew is proto.Unmarshal for a message that is empty: it saves the Reset, to which package proto comes by reflection, and so a third of the price of
// a small message.
func UnmarshalNew(b []byte, m proto.Message) error { return merge.Unmarshal(b, m) }

var merge = proto.UnmarshalOptions{Merge: true}
