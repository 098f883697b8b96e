package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// headOf returns the head of a generated frame.
func headOf(m *parleyv1.Frame) *Head {
	h := &Head{Number: m.GetNumber(), Ack: m.GetAck(), AgeMicros: m.GetAgeUs(), Hello: m.GetHello(), Welcome: m.GetWelcome(),
		Refusal: m.GetRefusal(), Drain: m.GetDrain()}
	for _, c := range m.GetCredits() {
		h.Credits = append(h.Credits,
			Credit{EnvID: c.GetEnvId(), Endpoint: c.GetEndpoint(), Messages: c.GetMessages(), Bytes: c.GetBytes(),
				TransferBytes: c.GetTransferBytes()})
	}
	if m.Ping != nil {
		h.Ping = new(m.GetPing().GetToken())
	}
	if m.Pong != nil {
		h.Pong = new(m.GetPong().GetToken())
	}
	return h
}

// frameOf returns the generated frame with that head.
func frameOf(h *Head) *parleyv1.Frame {
	m := &parleyv1.Frame{Number: h.Number, Ack: h.Ack, AgeUs: h.AgeMicros, Hello: h.Hello, Welcome: h.Welcome,
		Refusal: h.Refusal, Drain: h.Drain}
	for _, c := range h.Credits {
		m.Credits = append(m.Credits,
			&parleyv1.Credit{EnvId: c.EnvID, Endpoint: c.Endpoint, Messages: c.Messages, Bytes: c.Bytes,
				TransferBytes: c.TransferBytes})
	}
	if h.Ping != nil {
		m.Ping = &parleyv1.Ping{Token: *h.Ping}
	}
	if h.Pong != nil {
		m.Pong = &parleyv1.Pong{Token: *h.Pong}
	}
	return m
}

func requireSameHead(t *testing.T, what string, got, want *Head) {
	t.Helper()
	if !proto.Equal(got.Hello, want.Hello) || !proto.Equal(got.Welcome, want.Welcome) ||
		!proto.Equal(got.Refusal, want.Refusal) || !proto.Equal(got.Drain, want.Drain) ||
		!slices.Equal(got.Credits, want.Credits) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
	g, w := *got, *want
	g.Hello, g.Welcome, g.Refusal, g.Drain, g.Credits = nil, nil, nil, nil, nil
	w.Hello, w.Welcome, w.Refusal, w.Drain, w.Credits = nil, nil, nil, nil, nil
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

// requireParsesAsGenerated checks a whole frame: head and body together are malformed exactly if the generated code says
// so, and mean the same.
func requireParsesAsGenerated(t *testing.T, frame []byte) {
	t.Helper()
	var generated parleyv1.Frame
	want := proto.Unmarshal(frame, &generated)
	h := Head{Number: 99, Credits: []Credit{{Endpoint: "left over"}}, Ping: new(uint64(99)), Drain: &parleyv1.Drain{}}
	err := ParseHead(frame, &h)
	if err != nil && !errors.Is(err, ErrMalformed) {
		t.Fatalf("ParseHead(%x): %v does not wrap ErrMalformed", frame, err)
	}
	var envelopes []*Envelope
	if err == nil {
		body := Body(frame)
		for content, ok := body.Next(); ok && err == nil; content, ok = body.Next() {
			e := new(Envelope)
			err = e.Decode(content)
			envelopes = append(envelopes, e)
		}
	}
	if (err == nil) != (want == nil) {
		t.Fatalf("frame %x: %v\ngenerated code: %v", frame, err, want)
	}
	if err != nil {
		return
	}
	requireSameHead(t, hex.EncodeToString(frame), &h, headOf(&generated))
	if len(envelopes) != len(generated.GetEnvelopes()) {
		t.Fatalf("frame %x has %d envelopes, want %d", frame, len(envelopes), len(generated.GetEnvelopes()))
	}
	for i, e := range envelopes {
		requireEqual(t, hex.EncodeToString(frame), e, fromProto(generated.GetEnvelopes()[i]))
	}
}

// requireHeadAsGenerated checks that AppendHead writes the bytes of the generated code.
func requireHeadAsGenerated(t *testing.T, h *Head) {
	t.Helper()
	want, err := deterministic.Marshal(frameOf(h))
	if err != nil {
		return // text that is not UTF-8; TestHeadText has that
	}
	if got := AppendHead(nil, h); !bytes.Equal(got, want) {
		t.Fatalf("AppendHead(%+v)\n   = %x\nwant %x", h, got, want)
	}
}

func fullHead() *Head {
	return &Head{
		Number: 7, Ack: 300, AgeMicros: 1,
		Credits: []Credit{{Bytes: 1, TransferBytes: 1 << 26}, {EnvID: "env", Endpoint: "worker", Messages: 1024, Bytes: 1 << 20}, {}},
		Hello: &parleyv1.Hello{LowestRevision: 1, EnvId: "env", Capabilities: []string{"resume"},
			Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{Epoch: 3}}},
		Welcome: &parleyv1.Welcome{Token: []byte("token")},
		Refusal: &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_DENIED, Message: "no"},
		Ping:    new(uint64(5)), Pong: new(uint64(0)),
		Drain: &parleyv1.Drain{DeadlineMs: 1000},
	}
}

func TestHeadRoundTrip(t *testing.T) {
	for _, want := range []*Head{{}, fullHead()} {
		requireHeadAsGenerated(t, want)
		var got Head
		if err := ParseHead(AppendHead(nil, want), &got); err != nil {
			t.Fatal(err)
		}
		requireSameHead(t, "after a round trip", &got, want)
	}
}

func TestFrameRoundTrip(t *testing.T) {
	var frame []byte
	for _, e := range everyKind() {
		frame = e.Append(frame)
	}
	frame = AppendHead(frame, fullHead())
	requireParsesAsGenerated(t, frame)
	requireParsesAsGenerated(t, append(frame, frame...)) // the head merges, the body is twice as long
	body := Body(frame)
	for i, want := range everyKind() {
		content, ok := body.Next()
		if !ok {
			t.Fatalf("the body ends after %d envelopes", i)
		}
		var got Envelope
		if err := got.Decode(content); err != nil {
			t.Fatal(err)
		}
		requireEqual(t, want.Kind.String(), &got, want)
	}
	for range 2 {
		if content, ok := body.Next(); ok {
			t.Fatalf("one envelope too many: %x", content)
		}
	}
}

func TestHeadOddShapes(t *testing.T) {
	frame := slices.Concat(
		v(11, 4), g(20, v(1, 1)), l(8, v(1, 1)), v(1, 5), l(4, s(2, "a")), l(8), s(1, "x"), l(2, v(1, 1)), v(1, 6),
		l(5, s(5, "env")), l(4, s(2, "b")), l(5, s(6, "address")), l(5, l(8, v(3, 1))), l(5, l(8, s(1, "session"))))
	want := &Head{Number: 6, AgeMicros: 4, Ping: new(uint64(1)), Credits: []Credit{{Endpoint: "a"}, {Endpoint: "b"}},
		Hello: &parleyv1.Hello{EnvId: "env", Address: "address", Opening: &parleyv1.Hello_Attach{
			Attach: &parleyv1.Attach{Epoch: 1, Session: "session"}}}}
	var got Head
	if err := ParseHead(frame, &got); err != nil {
		t.Fatal(err)
	}
	requireSameHead(t, "merged", &got, want)
	requireParsesAsGenerated(t, frame)
}

func TestHeadMalformed(t *testing.T) {
	bad := "\xff"
	for name, frame := range map[string][]byte{
		"truncated":           {8},
		"truncated envelope":  l(2, v(1, 1))[:3],
		"credit env id":       l(4, s(1, bad)),
		"credit endpoint":     l(4, s(2, bad)),
		"hello":               l(5, s(5, bad)),
		"hello inside":        l(5, l(8, s(1, bad))),
		"welcome":             l(6, s(9, bad)),
		"refusal":             l(7, s(3, bad)),
		"ping":                l(8, []byte{8}),
		"drain":               l(10, []byte{8}),
		"field number 0":      {0, 0},
		"end of no group":     {12},
		"after the envelopes": append(l(2, l(1, v(1, 1))), 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			var h Head
			if err := ParseHead(frame, &h); !errors.Is(err, ErrMalformed) {
				t.Errorf("ParseHead(%x) = %v, want ErrMalformed", frame, err)
			}
			requireParsesAsGenerated(t, frame)
		})
	}
}

func TestHeadText(t *testing.T) {
	h := &Head{Refusal: &parleyv1.Refusal{Message: "a\xffb"},
		Welcome: &parleyv1.Welcome{AttachAt: []string{"ok", "\xff"}, Token: []byte("\xff")},
		Hello:   &parleyv1.Hello{Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{Session: "\xff"}}}}
	var got Head
	if err := ParseHead(AppendHead(nil, h), &got); err != nil {
		t.Fatal(err)
	}
	want := &Head{Refusal: &parleyv1.Refusal{Message: "a\uFFFDb"},
		Welcome: &parleyv1.Welcome{AttachAt: []string{"ok", "\uFFFD"}, Token: []byte("\xff")},
		Hello:   &parleyv1.Hello{Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{Session: "\uFFFD"}}}}
	requireSameHead(t, "repaired", &got, want)
	if h.Refusal.GetMessage() != "a\xffb" {
		t.Error("AppendHead changed the caller's refusal")
	}
}

func TestHeadReset(t *testing.T) {
	h := fullHead()
	capacity := cap(h.Credits)
	h.Reset()
	requireSameHead(t, "after Reset", h, &Head{})
	if cap(h.Credits) != capacity {
		t.Errorf("the capacity of Credits is %d, want %d", cap(h.Credits), capacity)
	}
}

// TestBodyOfMalformed checks that a frame which nobody has looked at cannot harm its reader.
func TestBodyOfMalformed(t *testing.T) {
	body := Body(append(l(2, l(1, v(1, 1))), protowire.AppendTag(nil, 2, protowire.BytesType)...))
	if content, ok := body.Next(); !ok || !bytes.Equal(content, l(1, v(1, 1))) {
		t.Errorf("the first envelope is %x, %v", content, ok)
	}
	if content, ok := body.Next(); ok {
		t.Errorf("an envelope after the error: %x", content)
	}
}

func TestRandomFrames(t *testing.T) {
	rng := newRand(t)
	for range 5_000 {
		h := randomChoices(rng, rng.IntN(400)).head()
		requireHeadAsGenerated(t, h)
		frame := AppendHead(nil, h)
		for range rng.IntN(4) {
			frame = randomChoices(rng, rng.IntN(100)).envelope().Append(frame)
		}
		requireParsesAsGenerated(t, frame)
		requireParsesAsGenerated(t, scramble(rng, frame))
		requireParsesAsGenerated(t, corrupt(rng, frame))
	}
}

func FuzzHead(f *testing.F) {
	frame := AppendHead(nil, fullHead())
	f.Add(frame)
	for _, e := range everyKind() {
		f.Add(AppendHead(e.Append(nil), &Head{Number: 1}))
		frame = e.Append(frame)
	}
	f.Add(frame)
	f.Fuzz(func(t *testing.T, frame []byte) {
		requireParsesAsGenerated(t, frame)
		var h Head
		if ParseHead(frame, &h) == nil {
			requireHeadAsGenerated(t, &h)
		}
	})
}
