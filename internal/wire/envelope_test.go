package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 chooses one")

// newRand returns a source of random numbers whose seed a failing test prints.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d; repeat with -seed=%d", s, s)
	return rand.New(rand.NewPCG(s, 0))
}

var deterministic = proto.MarshalOptions{Deterministic: true}

// everyKind has an envelope of each kind, with all fields that the kind has.
func everyKind() []*Envelope {
	target := Target{EnvID: "env", Endpoint: "worker", Method: "package.Service/Method"}
	metadata := []Metadata{{"trace", "1"}, {"sig-bin", "\xff\x00"}, {"empty", ""}}
	trailer := []Metadata{{"cost", "7"}}
	status := &spb.Status{Code: 14, Message: "gone",
		Details: []*anypb.Any{{TypeUrl: "type.googleapis.com/google.rpc.Status", Value: v(1, 5)}}}
	return []*Envelope{
		{Kind: KindAsk, ID: 1, Route: 7, RemainingMicros: 5e6, Metadata: metadata, Encoding: Proto, Payload: []byte("hi")},
		{Kind: KindAsk, ID: 1 << 40, Text: true, Target: target, Encoding: JSON, Payload: []byte(`{"a":1}`)},
		{Kind: KindAsk, ID: 3, Route: 1, Encoding: Transfer, Transfer: 4, TransferSize: 1 << 20},
		{Kind: KindAsk, ID: 4, Text: true, Encoding: Proto},
		{Kind: KindSend, ID: 2, Route: 300, Metadata: metadata, Encoding: Proto, Payload: make([]byte, 200)},
		{Kind: KindSend, Text: true, Target: target, Encoding: Transfer},
		{Kind: KindReply, ID: 1, Metadata: metadata, Trailer: trailer, Encoding: Proto, Payload: []byte("there")},
		{Kind: KindReply, ID: 1, Status: status},
		{Kind: KindReply, ID: 1, Status: &spb.Status{}, Encoding: JSON},
		{Kind: KindCancel, ID: 9},
		{Kind: KindRoute, Route: 12, Target: target},
		{Kind: KindLookup, ID: 5, Target: Target{EnvID: "env", Endpoint: "worker"}, Service: "package.Service"},
		{Kind: KindChunk, ID: 4, Payload: []byte("part")},
		{Kind: KindAbort, ID: 4, Status: status},
		{Kind: KindReceipt, ID: 2, Status: status},
		{Kind: KindHeaders, ID: 6, Route: 2, RemainingMicros: 1, Metadata: metadata, WindowBytes: 65536},
		{Kind: KindHeaders, ID: 6, Text: true, Target: target},
		{Kind: KindHeaders, ID: 6, FromCallee: true, Metadata: metadata},
		{Kind: KindMessage, ID: 6, Encoding: Proto, Payload: []byte("m")},
		{Kind: KindMessage, ID: 6, FromCallee: true, Encoding: Transfer, Transfer: 3, TransferSize: 70000},
		{Kind: KindHalfClose, ID: 6},
		{Kind: KindEnd, ID: 6, Status: status, Trailer: trailer},
		{Kind: KindWindow, ID: 6, WindowBytes: 1 << 33},
		{Kind: KindWindow, ID: 6, WindowBytes: 5, FromCallee: true},
		{Kind: KindWatch, ID: 8, Target: Target{EnvID: "env", Endpoint: "worker"}},
		{Kind: KindUnwatch, ID: 8},
		{Kind: KindTerminated, ID: 8, Reason: uint32(parleyv1.Terminated_REASON_UNREACHABLE)},
		{Kind: KindTerminated, ID: 8, Reason: 1 << 31}, // a negative number in the generated code
		{Kind: KindBye, Status: status},
		{},
	}
}

// encode returns the content of e.
func encode(t *testing.T, e *Envelope) []byte {
	t.Helper()
	body := Body(e.Append(nil))
	content, ok := body.Next()
	if !ok {
		t.Fatalf("Append(%+v) has no envelope", e)
	}
	return content
}

func TestRoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	for _, want := range everyKind() {
		seen[want.Kind] = true
		var got Envelope
		if err := got.Decode(encode(t, want)); err != nil {
			t.Fatalf("Decode of %v: %v", want.Kind, err)
		}
		requireEqual(t, want.Kind.String(), &got, want)
		requireEncodesAsGenerated(t, want)
	}
	for kind := KindUnknown; kind <= KindBye; kind++ {
		if !seen[kind] {
			t.Errorf("no envelope of kind %v was tried", kind)
		}
	}
}

// TestKinds ties the constants to the field numbers and names of the .proto.
func TestKinds(t *testing.T) {
	fields := (*parleyv1.Envelope)(nil).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	if fields.Len() != int(KindBye) {
		t.Errorf("the .proto has %d kinds, the last constant is %d", fields.Len(), KindBye)
	}
	for i := range fields.Len() {
		if got, want := Kind(fields.Get(i).Number()).String(), string(fields.Get(i).Name()); got != want {
			t.Errorf("kind %d is %q, want %q", fields.Get(i).Number(), got, want)
		}
	}
	if got := KindUnknown.String(); got != "unknown" {
		t.Errorf("KindUnknown is %q", got)
	}
	if got := Kind(77).String(); got != "kind(77)" {
		t.Errorf("Kind(77) is %q", got)
	}
}

func TestUnknownKind(t *testing.T) {
	unknown := []Envelope{{Kind: 19, ID: 3, Encoding: Proto, Payload: []byte("x")}, {Kind: 255}}
	for _, e := range unknown {
		if got := e.Append(nil); !bytes.Equal(got, []byte{tagEnvelopes, 0}) || e.Size() != 0 {
			t.Errorf("Append of %v is %x, size %d, want an envelope without content", e.Kind, got, e.Size())
		}
	}
	for _, content := range []string{"", "9a0100", "08013a", "9a010208ff"} {
		b, err := hex.DecodeString(content)
		if err != nil {
			t.Fatal(err)
		}
		requireDecodesAsGenerated(t, b)
	}
	e := Envelope{Kind: KindAsk, ID: 3}
	if err := e.Decode([]byte{0x9a, 0x01, 0x00}); err != nil || e.Kind != KindUnknown || e.ID != 0 {
		t.Errorf("Decode of a later kind = %+v, %v, want an empty envelope of kind unknown", e, err)
	}
}

// v is a field of wire type varint.
func v(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

// l is a field of wire type length with these fields as its content.
func l(number protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), bytes.Join(content, nil))
}

// s is a field with text or bytes.
func s(number protowire.Number, text string) []byte {
	return l(number, []byte(text))
}

// g is a group with these fields.
func g(number protowire.Number, content ...[]byte) []byte {
	b := append(protowire.AppendTag(nil, number, protowire.StartGroupType), bytes.Join(content, nil)...)
	return protowire.AppendTag(b, number, protowire.EndGroupType)
}

// TestOddShapes has what only an unusual encoder writes, but protobuf gives a meaning.
func TestOddShapes(t *testing.T) {
	ask, send, reply, route := protowire.Number(KindAsk), protowire.Number(KindSend), protowire.Number(KindReply),
		protowire.Number(KindRoute)
	for _, c := range []struct {
		name    string
		content [][]byte
		want    Envelope
	}{
		{"same kind twice", [][]byte{l(ask, v(1, 1), v(2, 7)), l(ask, v(4, 5))},
			Envelope{Kind: KindAsk, ID: 1, Route: 7, RemainingMicros: 5}},
		{"another kind", [][]byte{l(ask, v(1, 1), v(2, 7), s(6, "p")), l(send, v(1, 9))},
			Envelope{Kind: KindSend, ID: 9}},
		{"another kind between", [][]byte{l(ask, v(1, 1)), l(send, v(1, 9)), l(ask, v(4, 5))},
			Envelope{Kind: KindAsk, RemainingMicros: 5}},
		{"unknown kind after", [][]byte{l(ask, v(1, 1)), l(19, v(1, 9))},
			Envelope{Kind: KindAsk, ID: 1}},
		{"out of order", [][]byte{l(ask, s(6, "p"), v(2, 7), v(1, 1))},
			Envelope{Kind: KindAsk, ID: 1, Route: 7, Encoding: Proto, Payload: []byte("p")}},
		{"scalar twice", [][]byte{l(ask, v(1, 1), v(1, 2))},
			Envelope{Kind: KindAsk, ID: 2}},
		{"scalar back to zero", [][]byte{l(ask, v(1, 1), v(1, 0))},
			Envelope{Kind: KindAsk}},
		{"target twice", [][]byte{l(ask, l(3, s(2, "n")), l(3, s(1, "e"), s(3, "m")))},
			Envelope{Kind: KindAsk, Text: true, Target: Target{"e", "n", "m"}}},
		{"target after route", [][]byte{l(ask, v(2, 7), l(3, s(2, "n")))},
			Envelope{Kind: KindAsk, Text: true, Target: Target{Endpoint: "n"}}},
		{"route after target", [][]byte{l(ask, l(3, s(2, "n")), v(2, 7))},
			Envelope{Kind: KindAsk, Route: 7}},
		{"route between targets", [][]byte{l(ask, l(3, s(2, "n")), v(2, 7), l(3, s(1, "e")))},
			Envelope{Kind: KindAsk, Text: true, Target: Target{EnvID: "e"}}},
		{"transfer twice", [][]byte{l(ask, l(8, v(1, 1)), l(8, v(2, 9)))},
			Envelope{Kind: KindAsk, Encoding: Transfer, Transfer: 1, TransferSize: 9}},
		{"proto between transfers", [][]byte{l(ask, l(8, v(1, 1)), s(6, "p"), l(8, v(2, 9)))},
			Envelope{Kind: KindAsk, Encoding: Transfer, TransferSize: 9}},
		{"json after transfer", [][]byte{l(ask, l(8, v(1, 1)), s(7, "{}"))},
			Envelope{Kind: KindAsk, Encoding: JSON, Payload: []byte("{}")}},
		{"empty payload last", [][]byte{l(ask, s(7, "{}"), s(6, ""))},
			Envelope{Kind: KindAsk, Encoding: Proto}},
		{"status twice", [][]byte{l(reply, l(2, v(1, 5)), l(2, s(2, "bad")))},
			Envelope{Kind: KindReply, Status: &spb.Status{Code: 5, Message: "bad"}}},
		{"target of a route twice", [][]byte{l(route, l(2, s(2, "n")), v(1, 3), l(2, s(3, "m")))},
			Envelope{Kind: KindRoute, Route: 3, Target: Target{"", "n", "m"}}},
		{"metadata with both values", [][]byte{l(ask, l(5, s(3, "b"), s(2, "v"), s(1, "k-bin")), l(5, s(3, "b"), s(2, "v"), s(1, "k")))},
			Envelope{Kind: KindAsk, Metadata: []Metadata{{"k-bin", "b"}, {"k", "v"}}}},
		{"other wire types", [][]byte{v(ask, 3), l(ask, s(1, "x"), s(2, "x"), v(3, 1), v(6, 1), g(7))},
			Envelope{Kind: KindAsk}},
		{"groups", [][]byte{g(30, v(1, 1), g(2)), l(ask, g(1), v(1, 1), g(3, s(2, "n")))},
			Envelope{Kind: KindAsk, ID: 1}},
		{"number too large for 32 bits", [][]byte{l(ask, v(2, 1<<32+7))},
			Envelope{Kind: KindAsk, Route: 7}},
		{"field of ask in send", [][]byte{l(send, v(1, 1), v(4, 5))},
			Envelope{Kind: KindSend, ID: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := bytes.Join(c.content, nil)
			var e Envelope
			if err := e.Decode(content); err != nil {
				t.Fatal(err)
			}
			requireEqual(t, hex.EncodeToString(content), &e, &c.want)
			requireDecodesAsGenerated(t, content)
		})
	}
}

func TestMalformed(t *testing.T) {
	ask, reply := protowire.Number(KindAsk), protowire.Number(KindReply)
	bad := "\xff"
	for _, c := range []struct {
		name    string
		content []byte
		message string
	}{
		{"truncated", l(ask, v(1, 300))[:4], "EOF"},
		{"truncated inside", l(ask, v(1, 300)[:2]), "ask: "},
		{"varint overflow", l(ask, []byte{8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}), "field 1: "},
		{"field number 0", l(ask, []byte{0, 0}), "field number"},
		{"field number too large", l(ask, v(1<<29, 1)), "field number"},
		{"end of no group", l(ask, []byte{0x0c}), "field 1: "},
		{"group not ended", l(ask, []byte{0x0b}), "field 1: "},
		{"wire type 7", l(ask, []byte{0x0f}), "field 1: "},
		{"endpoint", l(ask, l(3, s(2, bad))), "ask: field 3: field 2: text is not valid UTF-8"},
		{"metadata key", l(ask, l(5, s(1, bad))), "ask: field 5: field 1: text"},
		{"unused value", l(ask, l(5, s(1, "k-bin"), s(2, bad))), "ask: field 5: field 2: text"},
		{"json", l(ask, s(7, bad)), "ask: field 7: text"},
		{"json that proto replaces", l(ask, s(7, bad), s(6, "")), "ask: field 7: text"},
		{"status", l(reply, l(2, s(2, bad))), "reply: field 2: "},
		{"detail of a status", l(reply, l(2, l(3, s(1, bad)))), "reply: field 2: "},
		{"kind that another replaces", append(l(ask, s(7, bad)), l(reply)...), "ask: field 7: text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e Envelope
			err := e.Decode(c.content)
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("Decode(%x) = %v, want ErrMalformed with %q", c.content, err, c.message)
			}
			requireDecodesAsGenerated(t, c.content)
		})
	}
}

// TestDecodeKeeps checks what may be handed on after Decode.
func TestDecodeKeeps(t *testing.T) {
	content := encode(t, &Envelope{Kind: KindAsk, Metadata: []Metadata{{"k", "v"}}, Encoding: Proto, Payload: []byte("p")})
	var e Envelope
	if err := e.Decode(content); err != nil {
		t.Fatal(err)
	}
	kept := e
	if err := e.Decode(encode(t, &Envelope{Kind: KindSend, Metadata: []Metadata{{"x", "y"}}})); err != nil {
		t.Fatal(err)
	}
	if kept.Metadata[0] != (Metadata{"k", "v"}) {
		t.Errorf("the next Decode changed the metadata to %v", kept.Metadata)
	}

	frame := slices.Concat(l(2, l(1, s(6, "payload"), v(1, 1))), l(2, l(4, v(1, 2))))
	before := bytes.Clone(frame)
	body := Body(frame)
	first, _ := body.Next()
	if err := e.Decode(first); err != nil {
		t.Fatal(err)
	}
	_ = append(first, "overrun"...)
	_ = append(e.Payload, "overrun"...)
	if !bytes.Equal(frame, before) {
		t.Errorf("appending to an envelope or a payload changed the frame to %x, want %x", frame, before)
	}
}

func TestStatusText(t *testing.T) {
	status := &spb.Status{Code: 2, Message: "a\xffb", Details: []*anypb.Any{{TypeUrl: "\xfe", Value: []byte("\xfd")}}}
	original := proto.CloneOf(status)
	e := &Envelope{Kind: KindReply, ID: 1, Status: status}
	var got Envelope
	if err := got.Decode(encode(t, e)); err != nil {
		t.Fatal(err)
	}
	want := &spb.Status{Code: 2, Message: "a\uFFFDb", Details: []*anypb.Any{{TypeUrl: "\uFFFD", Value: []byte("\xfd")}}}
	if !proto.Equal(got.Status, want) {
		t.Errorf("status = %v, want %v", got.Status, want)
	}
	if !proto.Equal(status, original) {
		t.Error("Append changed the caller's status")
	}
}

func TestRandomEnvelopes(t *testing.T) {
	rng := newRand(t)
	malformed := 0
	const rounds = 20_000
	for range rounds {
		e := randomChoices(rng, rng.IntN(400)).envelope()
		requireEncodesAsGenerated(t, e)
		content := encode(t, e)
		requireDecodesAsGenerated(t, content)
		other := encode(t, randomChoices(rng, rng.IntN(100)).envelope())
		odd := scramble(rng, append(bytes.Clone(content), other...))
		requireDecodesAsGenerated(t, odd)
		requireDecodesAsGenerated(t, corrupt(rng, content))
		requireDecodesAsGenerated(t, randomChoices(rng, rng.IntN(20)).rest)
		if new(Envelope).Decode(odd) != nil {
			malformed++
		}
	}
	// Were nearly all of the odd ones malformed, this test would say nothing about merging.
	if malformed > rounds/2 {
		t.Errorf("%d of %d scrambled envelopes are malformed", malformed, rounds)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range everyKind() {
		body := Body(e.Append(nil))
		content, _ := body.Next()
		f.Add(content)
	}
	f.Add(append(l(1, v(1, 1), l(3, s(2, "n"))), l(1, l(3, s(1, "e")), l(8, v(1, 1)), l(8, v(2, 2)))...))
	f.Add(append(l(3, l(2, v(1, 5)), l(2, s(2, "bad"))), g(30, v(1, 1), g(2))...))
	f.Fuzz(func(t *testing.T, content []byte) {
		requireDecodesAsGenerated(t, content)
		var e Envelope
		if e.Decode(content) == nil {
			requireEncodesAsGenerated(t, &e)
		}
	})
}

func FuzzEncode(f *testing.F) {
	for kind := range byte(KindBye + 1) {
		f.Add([]byte{kind})
		f.Add(bytes.Repeat([]byte{kind, 1, 2, 3, 4, 5, 6, 7}, 40))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e := (&choices{b}).envelope()
		requireEncodesAsGenerated(t, e)
		requireDecodesAsGenerated(t, encode(t, e))
	})
}

// requireDecodesAsGenerated checks that Decode and the generated code agree about the content of an envelope.
func requireDecodesAsGenerated(t *testing.T, content []byte) {
	t.Helper()
	var generated parleyv1.Envelope
	want := proto.Unmarshal(content, &generated)
	e := Envelope{Kind: KindAsk, ID: 99, Metadata: []Metadata{{"left", "over"}}, Payload: []byte("left over")}
	err := e.Decode(content)
	if (err == nil) != (want == nil) {
		t.Fatalf("Decode(%x): %v\ngenerated code: %v", content, err, want)
	}
	if err != nil {
		if !errors.Is(err, ErrMalformed) {
			t.Fatalf("Decode(%x): %v does not wrap ErrMalformed", content, err)
		}
		return
	}
	requireEqual(t, hex.EncodeToString(content), &e, fromProto(&generated))
}

// requireEncodesAsGenerated checks that Append writes the bytes of the generated code, and Size their number.
func requireEncodesAsGenerated(t *testing.T, e *Envelope) {
	t.Helper()
	prefix := []byte("before")
	got, found := bytes.CutPrefix(e.Append(bytes.Clone(prefix)), prefix)
	if !found {
		t.Fatalf("Append(%+v) changed what was there before", e)
	}
	body := Body(got)
	if content, _ := body.Next(); len(content) != e.Size() {
		t.Fatalf("Size() of %+v = %d, the content has %d bytes", e, e.Size(), len(content))
	}
	want, err := deterministic.Marshal(&parleyv1.Frame{Envelopes: []*parleyv1.Envelope{toProto(e)}})
	if err != nil {
		requireTextHandled(t, e)
		return
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Append(%+v)\n   = %x\nwant %x", e, got, want)
	}
}

// requireTextHandled checks an envelope that the generated code does not encode, because of text that is not UTF-8: in a
// status it is repaired, elsewhere it is left to the receiver to refuse.
func requireTextHandled(t *testing.T, e *Envelope) {
	t.Helper()
	rest := *e
	if rest.Status != nil {
		rest.Status = &spb.Status{}
	}
	_, refused := proto.Marshal(toProto(&rest))
	var got Envelope
	if err := got.Decode(encode(t, e)); (err == nil) != (refused == nil) {
		t.Fatalf("Decode after Append of %+v: %v; the generated code, without the status: %v", e, err, refused)
	}
	if refused != nil {
		return
	}
	repaired := proto.CloneOf(e.Status)
	repaired.Message = strings.ToValidUTF8(repaired.GetMessage(), "\uFFFD")
	for _, detail := range repaired.GetDetails() {
		detail.TypeUrl = strings.ToValidUTF8(detail.GetTypeUrl(), "\uFFFD")
	}
	rest.Status = repaired
	requireEqual(t, "with a repaired status", &got, &rest)
}
