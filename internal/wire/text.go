package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// marshal encodes m by the generated code, with its text repaired if need be.
func marshal(m proto.Message) []byte {
	deterministic := proto.MarshalOptions{Deterministic: true}
	b, err := deterministic.Marshal(m)
	if err != nil {
		// Without required fields there is one reason: text that is not valid UTF-8.
		m = proto.Clone(m)
		repairText(m.ProtoReflect())
		b, err = deterministic.Marshal(m)
	}
	if err != nil {
		panic(fmt.Sprintf("wire: a %s cannot be encoded: %v", m.ProtoReflect().Descriptor().FullName(), err))
	}
	return b
}

// validStatus returns s, or a repaired copy if some of its text is not valid UTF-8. The text comes from handlers, and one
// bad string would make the whole frame unreadable.
func validStatus(s *spb.Status) *spb.Status {
	valid := utf8.ValidString(s.GetMessage())
	for _, detail := range s.GetDetails() {
		valid = valid && utf8.ValidString(detail.GetTypeUrl())
	}
	if valid {
		return s
	}
	s = proto.CloneOf(s)
	repairText(s.ProtoReflect())
	return s
}

// repairText replaces each sequence that is not valid UTF-8 in the strings of m, at any depth, by U+FFFD.
func repairText(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() == protoreflect.StringKind && field.IsList():
			for i, list := 0, value.List(); i < list.Len(); i++ {
				list.Set(i, repairedText(list.Get(i)))
			}
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, repairedText(value))
		case field.Kind() == protoreflect.MessageKind && field.IsList():
			for i, list := 0, value.List(); i < list.Len(); i++ {
				repairText(list.Get(i).Message())
			}
		case field.Kind() == protoreflect.MessageKind:
			repairText(value.Message())
		}
		return true
	})
}

func repairedText(s protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(strings.ToValidUTF8(s.String(), string(utf8.RuneError)))
}
