package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// sample returns a frame with head and body, and the generated message that it stands for.
func sample(t *testing.T) (*Frame, *parleyv1.Frame) {
	t.Helper()
	b := AppendHead(nil, &Head{Number: 3, Ack: 2, Credits: []Credit{{Endpoint: "worker", Messages: 4}}})
	for _, e := range everyKind() {
		b = e.Append(b)
	}
	generated := new(parleyv1.Frame)
	if err := proto.Unmarshal(b, generated); err != nil {
		t.Fatal(err)
	}
	return NewFrame(b), generated
}

func TestFrameMarshal(t *testing.T) {
	frame, generated := sample(t)
	got, err := proto.Marshal(frame)
	if err != nil || !bytes.Equal(got, frame.Bytes()) {
		t.Errorf("Marshal = %x, %v, want %x", got, err, frame.Bytes())
	}
	if got := proto.Size(frame); got != len(frame.Bytes()) {
		t.Errorf("Size = %d, want %d", got, len(frame.Bytes()))
	}
	got, err = deterministic.MarshalAppend([]byte("before"), frame)
	if want := "before" + string(frame.Bytes()); err != nil || string(got) != want {
		t.Errorf("MarshalAppend = %x, %v, want %x", got, err, want)
	}
	received := new(parleyv1.Frame)
	if err := proto.Unmarshal(frame.Bytes(), received); err != nil || !proto.Equal(received, generated) {
		t.Errorf("a stock receiver got %v, %v, want %v", received, err, generated)
	}
}

func TestFrameUnmarshal(t *testing.T) {
	want, generated := sample(t)
	input, err := proto.Marshal(generated)
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Clone(input)
	frame := NewFrame([]byte("what was there before"))
	if err := proto.Unmarshal(input, frame); err != nil {
		t.Fatal(err)
	}
	clear(input)
	if !bytes.Equal(frame.Bytes(), sent) {
		t.Errorf("after the input was overwritten: %x, want %x", frame.Bytes(), sent)
	}
	if !proto.Equal(frame, want) {
		t.Errorf("a stock sender sent %v, want %v", frame, want)
	}
	kept := frame.Bytes()
	if err := proto.Unmarshal([]byte{8, 1}, frame); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, sent) {
		t.Errorf("the next Unmarshal changed bytes that were kept to %x, want %x", kept, sent)
	}
}

// TestFrameUnmarshalOptions has the two options that change what a frame becomes.
func TestFrameUnmarshalOptions(t *testing.T) {
	frame := NewFrame([]byte{8, 1})
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal([]byte{24, 2}, frame); err != nil {
		t.Fatal(err)
	}
	if want := []byte{8, 1, 24, 2}; !bytes.Equal(frame.Bytes(), want) {
		t.Errorf("merged into %x, want %x", frame.Bytes(), want)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(slices.Concat(v(1, 5), v(30, 1)), frame); err != nil {
		t.Fatal(err)
	}
	if want := v(1, 5); !bytes.Equal(frame.Bytes(), want) {
		t.Errorf("without unknown fields it is %x, want %x", frame.Bytes(), want)
	}
}

// TestFrameCodec passes frames through gRPC's codec, below and above the size from which it takes buffers from a pool.
func TestFrameCodec(t *testing.T) {
	codec := encoding.GetCodecV2("proto")
	for _, payload := range []int{0, 100, 16_000, 1 << 20} {
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			e := Envelope{Kind: KindAsk, ID: 1, Route: 1, Encoding: Proto, Payload: bytes.Repeat([]byte{7}, payload)}
			sent := NewFrame(AppendHead(e.Append(nil), &Head{Number: 1}))
			data, err := codec.Marshal(sent)
			if err != nil {
				t.Fatal(err)
			}
			received, generated := new(Frame), new(parleyv1.Frame)
			if err := codec.Unmarshal(data, received); err != nil {
				t.Fatal(err)
			}
			if err := codec.Unmarshal(data, generated); err != nil {
				t.Fatal(err)
			}
			for _, buffer := range data {
				clear(buffer.ReadOnlyData()) // as its next user would
			}
			data.Free()
			if !bytes.Equal(received.Bytes(), sent.Bytes()) {
				t.Error("the received frame is not the one that was sent")
			}
			if got := generated.GetEnvelopes()[0].GetAsk().GetProto(); !bytes.Equal(got, e.Payload) {
				t.Errorf("a stock receiver got a payload of %d bytes, want %d", len(got), payload)
			}
			data, err = codec.Marshal(generated)
			if err != nil {
				t.Fatal(err)
			}
			defer data.Free()
			if err := codec.Unmarshal(data, received); err != nil || !proto.Equal(received, sent) {
				t.Errorf("from a stock sender: %v, equal %v", err, proto.Equal(received, sent))
			}
		})
	}
}

func TestFrameEqual(t *testing.T) {
	frame, generated := sample(t)
	other := NewFrame(append(bytes.Clone(frame.Bytes()), v(11, 5)...))
	for _, c := range []struct {
		x, y proto.Message
		want bool
	}{
		{frame, NewFrame(bytes.Clone(frame.Bytes())), true},
		{frame, generated, true},
		{generated, frame, true},
		{frame, other, false},
		{other, generated, false},
		{new(Frame), new(parleyv1.Frame), true},
		{(*Frame)(nil), new(Frame), false},
		{(*Frame)(nil), (*Frame)(nil), true},
		{NewFrame(v(30, 1)), new(Frame), false},
	} {
		if got := proto.Equal(c.x, c.y); got != c.want {
			t.Errorf("Equal(%v, %v) = %v, want %v", c.x, c.y, got, c.want)
		}
	}
}

func TestFrameCopies(t *testing.T) {
	frame, generated := sample(t)
	clone := proto.CloneOf(frame)
	if !bytes.Equal(clone.Bytes(), frame.Bytes()) {
		t.Errorf("the clone is %x, want %x", clone.Bytes(), frame.Bytes())
	}
	clear(clone.Bytes())
	if !proto.Equal(frame, generated) {
		t.Error("the clone shares memory with the original")
	}
	if proto.CloneOf((*Frame)(nil)) != nil {
		t.Error("the clone of no frame is a frame")
	}

	fromGenerated := new(Frame)
	proto.Merge(fromGenerated, generated)
	toGenerated := new(parleyv1.Frame)
	proto.Merge(toGenerated, frame)
	if !proto.Equal(fromGenerated, frame) || !proto.Equal(toGenerated, generated) {
		t.Errorf("Merge across the two types gives %v and %v, want %v", fromGenerated, toGenerated, generated)
	}
	malformed := NewFrame([]byte{0xff})
	if got := proto.CloneOf(malformed).Bytes(); !bytes.Equal(got, malformed.Bytes()) {
		t.Errorf("the clone of malformed bytes is %x, want %x", got, malformed.Bytes())
	}
}

func TestFrameText(t *testing.T) {
	frame, generated := sample(t)
	json, err := protojson.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, fromJSONGenerated := new(Frame), new(parleyv1.Frame)
	if err := protojson.Unmarshal(json, fromJSONGenerated); err != nil || !proto.Equal(fromJSONGenerated, generated) {
		t.Errorf("from JSON: %v, %v, want %v", fromJSONGenerated, err, generated)
	}
	if err := protojson.Unmarshal(json, fromJSON); err != nil || !proto.Equal(fromJSON, frame) {
		t.Errorf("from JSON: %v, %v, want %v", fromJSON, err, frame)
	}
	want, err := deterministic.Marshal(generated)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fromJSON.Bytes(), want) {
		t.Errorf("from JSON: %x, want %x", fromJSON.Bytes(), want)
	}
	text, err := prototext.Marshal(frame)
	if err != nil {
		t.Fatal(err)
	}
	fromText := new(parleyv1.Frame)
	if err := prototext.Unmarshal(text, fromText); err != nil || !proto.Equal(fromText, generated) {
		t.Errorf("from text: %v, %v, want %v", fromText, err, generated)
	}
}

// TestFrameChanged checks that what reflection changes is in the bytes, also through a part that it handed out before.
func TestFrameChanged(t *testing.T) {
	frame := NewFrame(slices.Concat(v(1, 5), v(3, 2), v(30, 1)))
	m := frame.ProtoReflect()
	field := m.Descriptor().Fields().ByName
	credits := m.Mutable(field("credits")).List()
	m.Set(field("ack"), protoreflect.ValueOfUint64(9))
	m.Clear(field("number"))
	m.SetUnknown(v(31, 2))
	credits.AppendMutable().Message().Interface().(*parleyv1.Credit).Endpoint = "worker"
	want := slices.Concat(v(3, 9), l(4, s(2, "worker")), v(31, 2))
	if !bytes.Equal(frame.Bytes(), want) {
		t.Errorf("the changed frame is %x, want %x", frame.Bytes(), want)
	}
	if got, err := proto.Marshal(frame); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Marshal of the changed frame = %x, %v, want %x", got, err, want)
	}
	if m.Has(field("number")) || m.Get(field("ack")).Uint() != 9 || !bytes.Equal(m.GetUnknown(), v(31, 2)) {
		t.Errorf("the changed frame reads as %v", frame)
	}
	frame.SetBytes(v(1, 6))
	if m.Get(field("number")).Uint() != 6 || m.Has(field("credits")) {
		t.Errorf("after SetBytes the frame reads as %v", frame)
	}
	frame.Reset()
	if len(frame.Bytes()) != 0 || m.Has(field("number")) {
		t.Errorf("after Reset the frame is %x", frame.Bytes())
	}
}

func TestFrameReflection(t *testing.T) {
	m := NewFrame(nil).ProtoReflect()
	if got, want := m.Descriptor(), (*parleyv1.Frame)(nil).ProtoReflect().Descriptor(); got != want {
		t.Errorf("the descriptor is that of %v, want that of %v", got.FullName(), want.FullName())
	}
	for name, made := range map[string]protoreflect.Message{
		"New": m.New(), "Type().New": m.Type().New(), "Type().Zero": m.Type().Zero(),
	} {
		if _, ok := made.Interface().(*Frame); !ok {
			t.Errorf("%s makes a %T", name, made.Interface())
		}
	}
	if zero := m.Type().Zero(); zero.IsValid() || len(zero.Interface().(*Frame).Bytes()) != 0 {
		t.Error("the zero of the type is a frame")
	}
}

// TestFrameMalformed checks that bytes which are no frame travel as they are and look empty.
func TestFrameMalformed(t *testing.T) {
	frame := new(Frame)
	if err := proto.Unmarshal([]byte{8, 1, 0xff}, frame); err != nil {
		t.Fatal(err)
	}
	if want := []byte{8, 1, 0xff}; !bytes.Equal(frame.Bytes(), want) {
		t.Errorf("bytes = %x, want %x", frame.Bytes(), want)
	}
	if !proto.Equal(frame, new(parleyv1.Frame)) {
		t.Errorf("a malformed frame looks like %v", prototext.Format(frame))
	}
}

// TestFrameString checks that the token of a welcome does not get into what a logger prints of a frame.
func TestFrameString(t *testing.T) {
	token := []byte("a secret of thirty-two bytes, ok")
	frame := NewFrame(AppendHead(nil, &Head{Welcome: &parleyv1.Welcome{Token: token}}))
	if s := fmt.Sprintf("%v %s %+v", frame, frame, frame); strings.Contains(s, string(token)) || !strings.Contains(s, "bytes") {
		t.Errorf("a frame is printed as %q", s)
	}
}
