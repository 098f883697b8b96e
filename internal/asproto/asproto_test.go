package asproto

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestUnmarshalNew: into a new message it is proto.Unmarshal, with the same errors.
func TestUnmarshalNew(t *testing.T) {
	list, err := structpb.NewList([]any{"a", 1.5, true, map[string]any{"k": []any{}}})
	if err != nil {
		t.Fatal(err)
	}
	part := &descriptorpb.UninterpretedOption_NamePart{NamePart: proto.String("x"), IsExtension: proto.Bool(true)}
	for _, m := range []proto.Message{&wrapperspb.StringValue{}, wrapperspb.String("x"), wrapperspb.Bytes(make([]byte, 1000)), list, part} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{b, append(b, 0x98, 0x06, 0x01), b[:len(b)/2], append(b, 0x0a, 0x01, 0xff), nil} { // whole, with an unknown field, cut, not UTF-8, nothing
			want, got := m.ProtoReflect().New().Interface(), m.ProtoReflect().New().Interface()
			wantErr, gotErr := proto.Unmarshal(b, want), UnmarshalNew(b, got)
			if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() || !proto.Equal(got, want) {
				t.Errorf("%T, %x: %v, %v, want %v, %v", m, b, got, gotErr, want, wantErr)
			}
		}
	}
}
