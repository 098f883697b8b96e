package wire

import (
	"math/rand/v2"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// choices turns bytes into decisions, so that a fuzzer and a random generator build messages by the same code. When the
// bytes are used up, all decisions are 0.
type choices struct {
	rest []byte
}

// below returns a number from 0 to n-1; n is at most 256.
func (c *choices) below(n int) int {
	if len(c.rest) == 0 {
		return 0
	}
	v := int(c.rest[0]) % n
	c.rest = c.rest[1:]
	return v
}

func (c *choices) bytes() []byte {
	n := min(c.below(200), len(c.rest)) // past 127, so that lengths of two bytes occur
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// text is mostly valid UTF-8.
func (c *choices) text() string {
	if c.below(16) == 0 {
		return string(c.bytes())
	}
	return []string{"", "a", "worker", "package.Service/Method", "käse", "0190b6f0-0000-7000-8000-000000000000"}[c.below(6)]
}

// number has every length of a varint, and the ends of the ranges.
func (c *choices) number() uint64 {
	v := uint64(1) << c.below(64)
	return []uint64{v, v - 1, v + uint64(c.below(256)), 0}[c.below(4)]
}

func (c *choices) metadata() []Metadata {
	var list []Metadata
	for range c.below(4) {
		m := Metadata{Key: c.text(), Value: c.text()}
		if c.below(3) == 0 {
			m = Metadata{Key: m.Key + "-bin", Value: string(c.bytes())}
		}
		list = append(list, m)
	}
	return list
}

func (c *choices) status() *spb.Status {
	if c.below(2) == 0 {
		return nil
	}
	s := &spb.Status{Code: int32(c.number()), Message: c.text()}
	for range c.below(3) {
		s.Details = append(s.Details, &anypb.Any{TypeUrl: c.text(), Value: c.bytes()})
	}
	return s
}

// envelope returns an envelope with any value in each field that its kind has.
func (c *choices) envelope() *Envelope {
	e := &Envelope{Kind: Kind(c.below(int(KindBye) + 1))}
	destination := func() {
		if c.below(3) == 0 {
			e.Text, e.Target = true, Target{EnvID: c.text(), Endpoint: c.text(), Method: c.text()}
		} else {
			e.Route = uint32(c.number())
		}
	}
	payload := func() {
		switch e.Encoding = Encoding(c.below(4)); e.Encoding {
		case Proto:
			e.Payload = c.bytes()
		case JSON:
			e.Payload = []byte(c.text())
		case Transfer:
			e.Transfer, e.TransferSize = c.number(), c.number()
		}
	}
	if e.Kind != KindUnknown && e.Kind != KindRoute && e.Kind != KindBye {
		e.ID = c.number()
	}
	switch e.Kind {
	case KindAsk:
		destination()
		e.RemainingMicros, e.Metadata = c.number(), c.metadata()
		payload()
	case KindSend:
		destination()
		e.Metadata = c.metadata()
		payload()
	case KindReply:
		e.Status, e.Metadata, e.Trailer = c.status(), c.metadata(), c.metadata()
		payload()
	case KindRoute:
		e.Route, e.Target = uint32(c.number()), Target{EnvID: c.text(), Endpoint: c.text(), Method: c.text()}
	case KindLookup:
		e.Target, e.Service = Target{EnvID: c.text(), Endpoint: c.text()}, c.text()
	case KindChunk:
		e.Payload = c.bytes()
	case KindAbort, KindReceipt, KindBye:
		e.Status = c.status()
	case KindHeaders:
		destination()
		e.RemainingMicros, e.Metadata, e.WindowBytes, e.FromCallee = c.number(), c.metadata(), c.number(), c.number()%2 == 1
	case KindMessage:
		e.FromCallee = c.number()%2 == 1
		payload()
	case KindEnd:
		e.Status, e.Trailer = c.status(), c.metadata()
	case KindWindow:
		e.WindowBytes, e.FromCallee = c.number(), c.number()%2 == 1
	case KindWatch:
		e.Target = Target{EnvID: c.text(), Endpoint: c.text()}
	case KindTerminated:
		e.Reason = uint32(c.number())
	}
	return e
}

// head returns a head with any value in each field.
func (c *choices) head() *Head {
	h := &Head{Number: c.number(), Ack: c.number(), AgeMicros: c.number()}
	for range c.below(4) {
		h.Credits = append(h.Credits, Credit{EnvID: c.text(), Endpoint: c.text(), Messages: c.number(), Bytes: c.number(),
			TransferBytes: c.number()})
	}
	if c.below(2) == 0 {
		h.Hello = &parleyv1.Hello{LowestRevision: 1, HighestRevision: uint32(c.number()), EnvId: c.text(),
			Capabilities: []string{c.text(), c.text()}, Limits: &parleyv1.Limits{SessionBytes: c.number()},
			Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{Session: c.text(), Token: c.bytes()}}}
	}
	if c.below(2) == 0 {
		h.Welcome = &parleyv1.Welcome{Revision: 1, Token: c.bytes(), Received: c.number(), AttachAt: []string{c.text()}}
	}
	if c.below(2) == 0 {
		h.Refusal = &parleyv1.Refusal{Reason: parleyv1.Refusal_Reason(c.below(8)), Message: c.text()}
	}
	if c.below(2) == 0 {
		h.Ping = new(c.number())
	}
	if c.below(2) == 0 {
		h.Pong = new(c.number())
	}
	if c.below(2) == 0 {
		h.Drain = &parleyv1.Drain{DeadlineMs: uint32(c.number())}
	}
	return h
}

// randomChoices returns n bytes' worth of decisions.
func randomChoices(rng *rand.Rand, n int) *choices {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return &choices{b}
}

// scramble rewrites an encoded message the way that only an odd or hostile peer would: fields out of order, twice or
// gone, of another wire type, unknown ones between them, at every depth. Mostly the result is still well-formed.
func scramble(rng *rand.Rand, b []byte) []byte {
	var fields [][]byte
	for rest := b; len(rest) > 0; {
		number, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return b
		}
		field := rest[:n]
		rest = rest[n:]
		if typ == protowire.BytesType && rng.IntN(4) > 0 {
			_, _, tag := protowire.ConsumeTag(field)
			content, _ := protowire.ConsumeBytes(field[tag:])
			field = protowire.AppendTag(nil, number, protowire.BytesType)
			field = protowire.AppendBytes(field, scramble(rng, content))
		}
		switch rng.IntN(12) {
		case 0: // gone
		case 1:
			fields = append(fields, field, field)
		case 2: // twice, with another content
			fields = append(fields, field, randomField(rng, number))
		default:
			fields = append(fields, field)
		}
	}
	if rng.IntN(4) == 0 {
		fields = append(fields, randomField(rng, protowire.Number(1+rng.IntN(20))))
	}
	if rng.IntN(3) == 0 {
		rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	var result []byte
	for _, field := range fields {
		result = append(result, field...)
	}
	return result
}

// randomField returns a field of that number and any wire type.
func randomField(rng *rand.Rand, number protowire.Number) []byte {
	typ := protowire.Type(rng.IntN(6))
	b := protowire.AppendTag(nil, number, typ)
	switch typ {
	case protowire.VarintType:
		return protowire.AppendVarint(b, rng.Uint64()>>rng.IntN(64))
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, rng.Uint32())
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, rng.Uint64())
	case protowire.BytesType:
		content := [][]byte{nil, {8, 1}, {10, 1, 'x'}, {18, 1, 'y', 26, 1, 'z'}, {0xff}, {8, 1, 16, 0}}
		return protowire.AppendBytes(b, content[rng.IntN(len(content))])
	case protowire.StartGroupType:
		b = protowire.AppendTag(b, 1, protowire.VarintType)
		b = protowire.AppendVarint(b, 5)
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	}
	return b // an end of a group that never began
}

// corrupt changes, inserts, removes or cuts off single bytes.
func corrupt(rng *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range 1 + rng.IntN(3) {
		if len(b) == 0 {
			return []byte{byte(rng.Uint32())}
		}
		i := rng.IntN(len(b))
		switch rng.IntN(4) {
		case 0:
			b[i] = byte(rng.Uint32())
		case 1:
			b = append(b[:i], append([]byte{byte(rng.Uint32())}, b[i:]...)...)
		case 2:
			b = append(b[:i], b[i+1:]...)
		case 3:
			b = b[:i]
		}
	}
	return b
}
