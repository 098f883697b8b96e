package asproto

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parley-rpc/parley/internal/bulk"
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

// TestMarshal: it is proto.Marshal, with the same errors, and a turn for what is large.
func TestMarshal(t *testing.T) {
	var none *wrapperspb.StringValue
	large := wrapperspb.Bytes(make([]byte, bulk.Large))
	for _, m := range []proto.Message{nil, none, &wrapperspb.StringValue{}, wrapperspb.String("x"), wrapperspb.String("\xff"), large} {
		for _, noWait := range []bool{false, true} {
			begun := bulk.Begun()
			got, gotErr := Marshal(m, noWait)
			turns := bulk.Begun() - begun
			want, wantErr := proto.Marshal(m)
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) || (gotErr == nil) != (wantErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
				t.Errorf("%T: %d bytes, %v, want %d, %v", m, len(got), gotErr, len(want), wantErr)
			}
			if has := turns == 1; has != (m == large && !noWait) {
				t.Errorf("%T of %d bytes has %d turns", m, len(want), turns)
			}
		}
	}
}

// ownEncoding is a message of the old API that encodes itself.
type ownEncoding struct{ times int }

func (*ownEncoding) Reset()         {}
func (*ownEncoding) String() string { return "" }
func (*ownEncoding) ProtoMessage()  {}
func (m *ownEncoding) Marshal() ([]byte, error) {
	m.times++
	return make([]byte, bulk.Large), nil
}

// TestMarshalOwnEncoding: it is asked for once, and has no turn, which it could hold for as long as it likes.
func TestMarshalOwnEncoding(t *testing.T) {
	m := new(ownEncoding)
	begun := bulk.Begun()
	b, err := Marshal(protoadapt.MessageV2Of(m), false)
	if err != nil || len(b) != bulk.Large || m.times != 1 || bulk.Begun() != begun {
		t.Errorf("%d bytes, %v, encoded %d times, %d turns", len(b), err, m.times, bulk.Begun()-begun)
	}
}
