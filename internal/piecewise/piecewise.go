// Package piecewise encodes and decodes large messages piece by piece. Package proto needs an encoded message in one piece of memory, which takes milliseconds
// to clear and to copy, and works on it for tens of milliseconds, in which a processor is lost to everybody else. A message is the same whether it is
// decoded at once, or some fields after the others, each piece being merged into what is there; so both are done here some fields at a time, and others
// have their turn in between, however long that takes: where goroutines compute on all processors, whoever does not yield is one of them.
//
// That helps with what has many large fields, and with large texts and bytes, at the top or in messages within messages. One huge map, or one huge packed list of
// numbers, is still one piece.
package piecewise

import (
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoimpl"
)

// nesting is how many levels of messages within messages are looked into. Each takes stack, and a peer may send as many as it likes.
const nesting = 8

// isGenerated reports whether m is encoded and decoded by package proto alone, by what it knows of the fields. Another implementation, or a message of the old API that
// encodes itself, need not be divisible.
func isGenerated(m protoreflect.Message) bool {
	if _, ok := m.Type().(*protoimpl.MessageInfo); !ok {
		return false
	}
	v1 := protoadapt.MessageV1Of(m.Interface())
	if _, own := v1.(interface{ Marshal() ([]byte, error) }); own {
		return false
	}
	_, own := v1.(interface{ Unmarshal([]byte) error })
	return !own
}

// isMessage reports whether values of a field are messages with a length before them.
func isMessage(fd protoreflect.FieldDescriptor) bool {
	return fd.Kind() == protoreflect.MessageKind && !fd.IsMap()
}
