package piecewise

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// old is a message of the old API.
type old struct {
	Text  string    `protobuf:"bytes,1,opt,name=text,proto3"`
	Child *oldCodec `protobuf:"bytes,2,opt,name=child,proto3"`
}

func (m *old) Reset()         { *m = old{} }
func (m *old) String() string { return m.Text }
func (*old) ProtoMessage()    {}

// oldCodec is one that encodes and decodes itself: only in one piece does it become what it was.
type oldCodec struct{ bytes []byte }

func (m *oldCodec) Reset()                   { *m = oldCodec{} }
func (m *oldCodec) String() string           { return string(m.bytes) }
func (*oldCodec) ProtoMessage()              {}
func (m *oldCodec) Marshal() ([]byte, error) { return m.bytes, nil }
func (m *oldCodec) Unmarshal(b []byte) error {
	m.bytes = bytes.Clone(b)
	return nil
}

// oldEncoder only encodes itself, and oldDecoder only decodes itself.
type (
	oldEncoder struct{}
	oldDecoder struct{}
)

func (m *oldEncoder) Reset()                 { *m = oldEncoder{} }
func (m *oldEncoder) String() string         { return "" }
func (*oldEncoder) ProtoMessage()            {}
func (*oldEncoder) Marshal() ([]byte, error) { return nil, nil }

func (m *oldDecoder) Reset()               { *m = oldDecoder{} }
func (m *oldDecoder) String() string       { return "" }
func (*oldDecoder) ProtoMessage()          {}
func (*oldDecoder) Unmarshal([]byte) error { return nil }

// TestMessagesWithACodecOfTheirOwn are encoded and decoded by that, in one piece, also where they are within others.
func TestMessagesWithACodecOfTheirOwn(t *testing.T) {
	r := newRandom(t)
	var own []byte // a valid message, so that it can be cut between fields
	for len(own) < 3*pieceBytes {
		own = protowire.AppendString(protowire.AppendTag(own, 1, protowire.BytesType), strings.Repeat("y", 1000))
	}
	for name, of := range map[string]protoadapt.MessageV1{"alone": &oldCodec{own}, "only encoding": &oldEncoder{}, "only decoding": &oldDecoder{}} {
		m := protoadapt.MessageV2Of(of)
		if isGenerated(m.ProtoReflect()) || Divides(m, proto.Size(m)) {
			t.Errorf("%s: its own codec is not seen", name)
		}
	}
	m := protoadapt.MessageV2Of(&old{Text: strings.Repeat("x", 3*pieceBytes), Child: &oldCodec{own}})
	if !isGenerated(m.ProtoReflect()) {
		t.Fatal("a message of the old API without a codec of its own counts as another implementation")
	}
	size := proto.Size(m)
	if got := divisible(m.ProtoReflect(), size, nesting); got != 3*pieceBytes {
		t.Errorf("%d bytes are divided, want those of the text only", got)
	}
	p := new(parts)
	if err := Marshal(p, m); err != nil || p.Len() != size {
		t.Fatalf("%d bytes were written, want %d; error %v", p.Len(), size, err)
	}
	for _, most := range []int{100, 1000, 1 << 20} {
		got := new(old)
		if err := Unmarshal(cut(r, slices.Concat(p.all...), most), protoadapt.MessageV2Of(got)); err != nil || len(got.Text) != 3*pieceBytes || !bytes.Equal(got.Child.bytes, own) {
			t.Errorf("in parts of %d: a text of %d bytes, a child of %d, error %v", most, len(got.Text), len(got.Child.bytes), err)
		}
		alone := new(oldCodec)
		if err := Unmarshal(cut(r, slices.Clone(own), most), protoadapt.MessageV2Of(alone)); err != nil || !bytes.Equal(alone.bytes, own) {
			t.Errorf("in parts of %d: %d bytes, error %v", most, len(alone.bytes), err)
		}
	}
}

// TestExtensionsAreNotLookedAt: nor are unknown fields of a message that may have extensions, which are encoded as they came.
func TestExtensionsAreNotLookedAt(t *testing.T) {
	m := &descriptorpb.FileOptions{GoPackage: proto.String(strings.Repeat("x", 3*pieceBytes))}
	if Divides(m, proto.Size(m)) {
		t.Error("a message that may have extensions is divided")
	}
}

// TestMissingRequiredField: it is missed when all has come.
func TestMissingRequiredField(t *testing.T) {
	m := &descriptorpb.UninterpretedOption{Name: []*descriptorpb.UninterpretedOption_NamePart{{NamePart: proto.String("a")}}}
	encoded, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !compare(t, cut(newRandom(t), bytes.Clone(encoded), 3), encoded, m) {
		t.Error("it was not missed")
	}
}

// TestFieldsThatAreCutShort: what is missing at the end of a message within a message is not taken from what follows it.
func TestFieldsThatAreCutShort(t *testing.T) {
	r := newRandom(t)
	for name, field := range map[string][]byte{
		"fixed64": protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 1)[:5], // four bytes are missing, and below two
		"fixed32": protowire.AppendFixed32(protowire.AppendTag(nil, 9, protowire.Fixed32Type), 1)[:3],
		"varint":  {1 << 3, 0x80, 0x80},
		"text":    {3<<3 | 2, 10, 'a'},
		"length":  {3<<3 | 2, 0x80},
		"tag":     {0x80},
		"group":   {9<<3 | 3, 1 << 3, 1},
	} {
		encoded := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), field) // a structpb.ListValue
		encoded = append(encoded, bytes.Repeat([]byte{2 << 3, 1}, 20)...)                         // what it does not know, in steps of two bytes
		for _, most := range []int{1, 2, 100} {
			if !compare(t, cut(r, bytes.Clone(encoded), most), encoded, &structpb.ListValue{}) {
				t.Errorf("%s: a message that is cut short was taken, in parts of %d", name, most)
			}
		}
	}
}

// TestScratchIsSmall: of what is small in a list no more than a piece is encoded at a time.
func TestScratchIsSmall(t *testing.T) {
	const each = pieceBytes / 4
	m := &descriptorpb.FileDescriptorProto{Dependency: slices.Repeat([]string{strings.Repeat("x", each)}, 200)}
	if !Divides(m, proto.Size(m)) {
		t.Fatal("it does not divide")
	}
	e := encoder{sink: new(parts)}
	if err := e.message(m.ProtoReflect(), nesting); err != nil || cap(e.scratch) > 2*pieceBytes {
		t.Errorf("%d bytes of scratch, error %v", cap(e.scratch), err)
	}
}
