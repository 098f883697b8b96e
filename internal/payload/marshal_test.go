package payload

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestMarshalToKeep: it is proto.Marshal, with the same errors, and a turn for what is large, which is in parts.
func TestMarshalToKeep(t *testing.T) {
	var none *wrapperspb.StringValue
	large := wrapperspb.Bytes(make([]byte, bulk.Large))
	for _, m := range []proto.Message{nil, none, &wrapperspb.StringValue{}, wrapperspb.String("x"), wrapperspb.String("\xff"), large} {
		for _, noWait := range []bool{false, true} {
			begun := bulk.Begun()
			got, parts, gotErr := Marshal(m, noWait)
			turns := bulk.Begun() - begun
			if (parts != nil) != (m == large) {
				t.Errorf("%T is in parts: %v", m, parts != nil)
			} else if parts != nil {
				got = piecewise.Join(parts)
			}
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
	for name, marshal := range map[string]func(proto.Message) ([]byte, *wire.Parts, error){
		"to keep": func(m proto.Message) ([]byte, *wire.Parts, error) { return Marshal(m, false) },
		"into a buffer": func(m proto.Message) ([]byte, *wire.Parts, error) {
			b := NewBuffer()
			defer b.Free()
			encoded, memory, parts, err := b.Marshal(m, false)
			if memory != nil {
				t.Error("it is in memory that is used again")
			}
			return encoded, parts, err
		},
	} {
		m := new(ownEncoding)
		begun := bulk.Begun()
		b, parts, err := marshal(protoadapt.MessageV2Of(m))
		if err != nil || parts != nil || len(b) != bulk.Large || m.times != 1 || bulk.Begun() != begun {
			t.Errorf("%s: %d bytes, %v, encoded %d times, %d turns", name, len(b), err, m.times, bulk.Begun()-begun)
		}
	}
}

// growing is a message that is larger when it is encoded than it was when somebody asked for its size.
type growing struct{ protoreflect.Message }

func (g growing) ProtoReflect() protoreflect.Message { return g }

func (growing) ProtoMethods() *protoiface.Methods {
	return &protoiface.Methods{
		Size: func(protoiface.SizeInput) protoiface.SizeOutput { return protoiface.SizeOutput{Size: 10} },
		Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
			return protoiface.MarshalOutput{Buf: append(in.Buf, make([]byte, session.MostWhole+1)...)}, nil
		},
		CheckInitialized: func(protoiface.CheckInitializedInput) (out protoiface.CheckInitializedOutput, _ error) {
			return out, nil
		},
	}
}

// TestMarshalWhatGrows: what the session keeps is not in the buffer, whatever the size was said to be.
func TestMarshalWhatGrows(t *testing.T) {
	b := NewBuffer()
	defer b.Free()
	encoded, _, _, err := b.Marshal(growing{new(wrapperspb.BytesValue).ProtoReflect()}, false)
	if err != nil || len(encoded) != session.MostWhole+1 {
		t.Fatalf("%d bytes, %v", len(encoded), err)
	}
	if room := (*b.b)[:cap(*b.b)]; len(room) > 0 && &room[0] == &encoded[0] {
		t.Error("what is encoded next is written over it")
	}
}

// TestMarshalAFrame: it is encoded already, and neither copied nor has a turn.
func TestMarshalAFrame(t *testing.T) {
	b, begun := make([]byte, bulk.Large), bulk.Begun()
	got, parts, err := Marshal(wire.NewFrame(b), false)
	if err != nil || parts != nil || len(got) != len(b) || &got[0] != &b[0] || bulk.Begun() != begun {
		t.Errorf("%d bytes, %v, %d turns", len(got), err, bulk.Begun()-begun)
	}
}
