package session

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/wire"
)

// The tests here go through the table of abnormal conditions in docs/protocol.md, by the ids of its rows. A5, A6, A18, A19, A43 and A46
// have theirs beside what they belong to; the rows of openings, streams and handlers are not the session's.

// TestViolations: rows that end the session, or the stream.
func TestViolations(t *testing.T) {
	one := uint64(1)
	notUTF8 := frame(wire.Head{Number: 1}, ask(1, "aaaa", ""))
	notUTF8[strings.Index(string(notUTF8), "aaaa")] = 0xFF
	for _, test := range []struct {
		row, name string
		code      codes.Code
		limits    func(*Limits)
		before    []*wire.Envelope // accepted, in frame 1
		frame     []byte           // instead of envelopes
		envelopes []*wire.Envelope // in the next frame
	}{
		{row: "A1", name: "no frame", code: codes.InvalidArgument, frame: []byte{0xFF, 0xFF, 0xFF}},
		{row: "A1", name: "truncated frame", code: codes.InvalidArgument, frame: frame(wire.Head{Number: 1}, ask(1, "a", "payload"))[:12]},
		{row: "A1", name: "truncated envelope", code: codes.InvalidArgument, frame: protowire.AppendBytes([]byte{0x08, 1, 0x12}, []byte{0x0A, 50, 1})},
		{row: "A1", name: "invalid UTF-8", code: codes.InvalidArgument, frame: notUTF8},
		{row: "A2", name: "frame too large", code: codes.ResourceExhausted, frame: make([]byte, 1<<20+1)},
		{row: "A3", name: "envelopes without a number", code: codes.InvalidArgument, frame: frame(wire.Head{}, ask(1, "a", ""))},
		{row: "A4", name: "a number without envelopes", code: codes.InvalidArgument, frame: frame(wire.Head{Number: 1})},
		{row: "A8", name: "second hello", code: codes.FailedPrecondition, frame: frame(wire.Head{Hello: &parleyv1.Hello{}})},
		{row: "A8", name: "welcome", code: codes.FailedPrecondition, frame: frame(wire.Head{Welcome: &parleyv1.Welcome{}})},
		{row: "A8", name: "refusal", code: codes.FailedPrecondition, frame: frame(wire.Head{Refusal: &parleyv1.Refusal{}})},
		{row: "A9", name: "unknown kind", code: codes.Unimplemented, frame: protowire.AppendBytes([]byte{0x08, 1, 0x12}, protowire.AppendBytes(protowire.AppendTag(nil, 100, protowire.BytesType), nil))},
		{row: "A9", name: "no kind", code: codes.Unimplemented, frame: []byte{0x08, 1, 0x12, 0}},
		{row: "A9", name: "headers", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindHeaders)}},
		{row: "A9", name: "message", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindMessage)}},
		{row: "A9", name: "half-close", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindHalfClose)}},
		{row: "A9", name: "end", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindEnd)}},
		{row: "A9", name: "window", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindWindow)}},
		{row: "A9", name: "watch", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindWatch)}},
		{row: "A9", name: "unwatch", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindUnwatch)}},
		{row: "A9", name: "terminated", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindTerminated)}},
		{row: "A9", name: "receipt", code: codes.Unimplemented, envelopes: []*wire.Envelope{only(wire.KindReceipt)}},
		{row: "A9", name: "a send with an id", code: codes.Unimplemented, envelopes: []*wire.Envelope{{Kind: wire.KindSend, ID: 1, Text: true, Target: to("a")}}},
		{row: "A11", name: "route not announced", code: codes.InvalidArgument, before: []*wire.Envelope{announce(1, to("a"))}, envelopes: []*wire.Envelope{{Kind: wire.KindAsk, ID: 1, Route: 2}}},
		{row: "A11", name: "ask without destination", code: codes.InvalidArgument, envelopes: []*wire.Envelope{{Kind: wire.KindAsk, ID: 1}}},
		{row: "A11", name: "send without destination", code: codes.InvalidArgument, envelopes: []*wire.Envelope{{Kind: wire.KindSend}}},
		{row: "A12", name: "route announced twice", code: codes.InvalidArgument, before: []*wire.Envelope{announce(1, to("a"))}, envelopes: []*wire.Envelope{announce(1, to("a"))}},
		{row: "A12", name: "route announced twice in a frame", code: codes.InvalidArgument, envelopes: []*wire.Envelope{announce(1, to("a")), announce(1, to("b"))}},
		{row: "A12", name: "route 0", code: codes.InvalidArgument, envelopes: []*wire.Envelope{announce(0, to("a"))}},
		{row: "A13", name: "too many routes", code: codes.ResourceExhausted, limits: func(l *Limits) { l.Routes = 2 }, before: []*wire.Envelope{announce(1, to("a")), announce(2, to("b"))}, envelopes: []*wire.Envelope{announce(3, to("c"))}},
		{row: "A13", name: "too many mailboxes", code: codes.ResourceExhausted, limits: func(l *Limits) { l.Mailboxes = 2 }, before: []*wire.Envelope{send("a", ""), send("b", ""), send("a", ""), send("?", "")}, envelopes: []*wire.Envelope{send("c", "")}},
		{row: "A14", name: "id 0", code: codes.InvalidArgument, envelopes: []*wire.Envelope{ask(0, "a", "")}},
		{row: "A14", name: "id again", code: codes.InvalidArgument, before: []*wire.Envelope{ask(5, "a", "")}, envelopes: []*wire.Envelope{ask(5, "a", "")}},
		{row: "A14", name: "lower id", code: codes.InvalidArgument, before: []*wire.Envelope{ask(5, "a", "")}, envelopes: []*wire.Envelope{ask(4, "a", "")}},
		{row: "A14", name: "a lookup draws from the same ids", code: codes.InvalidArgument, before: []*wire.Envelope{ask(5, "a", "")}, envelopes: []*wire.Envelope{{Kind: wire.KindLookup, ID: 5, Target: wire.Target{Endpoint: "a"}}}},
		{row: "A15", name: "transfer 0", code: codes.InvalidArgument, envelopes: []*wire.Envelope{inChunks(send("a", ""), 0, 10)}},
		{row: "A15", name: "transfer again", code: codes.InvalidArgument, before: []*wire.Envelope{inChunks(send("a", ""), 7, 1), chunk(7, "x")}, envelopes: []*wire.Envelope{inChunks(send("a", ""), 7, 1)}},
		{row: "A15", name: "transfer of a reply to nothing again", code: codes.InvalidArgument, before: []*wire.Envelope{inChunks(reply(1, ""), 7, 1)}, envelopes: []*wire.Envelope{inChunks(reply(2, ""), 7, 1)}},
		{row: "A15", name: "too many transfers", code: codes.ResourceExhausted, limits: func(l *Limits) { l.Transfers = 2 }, before: []*wire.Envelope{inChunks(send("a", ""), 1, 9), inChunks(reply(1, ""), 2, 9)}, envelopes: []*wire.Envelope{inChunks(send("b", ""), 3, 9)}},
		{row: "A16", name: "transfer of nothing", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(send("a", ""), 1, 0)}},
		{row: "A16", name: "transfer too large", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(send("a", ""), 1, 128<<20+1)}},
		{row: "A16", name: "transfer of 2^64-1", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(ask(1, "a", ""), 1, 1<<64-1)}},
		{row: "A16", name: "reply too large", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(reply(1, ""), 1, 128<<20+1)}},
		{row: "A16", name: "empty chunk", code: codes.InvalidArgument, before: []*wire.Envelope{inChunks(send("a", ""), 1, 9)}, envelopes: []*wire.Envelope{chunk(1, "")}},
		{row: "A16", name: "chunk beyond the size", code: codes.InvalidArgument, before: []*wire.Envelope{inChunks(send("a", ""), 1, 9)}, envelopes: []*wire.Envelope{chunk(1, "0123456789")}},
		{row: "A17", name: "chunk of nothing", code: codes.InvalidArgument, envelopes: []*wire.Envelope{chunk(1, "x")}},
		{row: "A20", name: "ack of what was not sent", code: codes.InvalidArgument, frame: frame(wire.Head{Ack: one})},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			own := limited()
			if test.limits != nil {
				test.limits(&own)
			}
			p := newPeer(t, own, limited())
			if test.before != nil {
				p.send(test.before...)
			}
			if test.frame == nil {
				p.violates(test.row, test.code, test.envelopes...)
				return
			}
			_, v := p.raw(test.frame)
			p.wantViolation(v, test.row, test.code)
		})
	}
}

// TestViolationKeepsWhatCameBefore: the envelopes before the bad one, in the same frame, count.
func TestViolationKeepsWhatCameBefore(t *testing.T) {
	p := newPeer(t, limited(), limited())
	events, v := p.try(send("a", "good"), chunk(9, "bad"), send("a", "never seen"))
	p.wantViolation(v, "A17", codes.InvalidArgument)
	if len(events) != 1 || string(events[0].Payload) != "good" {
		t.Fatalf("%+v, want the message before", events)
	}
}

// TestRefusedCalls: rows that fail one call. Its credit comes back, and the session lives.
func TestRefusedCalls(t *testing.T) {
	with := func(e *wire.Envelope, md ...wire.Metadata) *wire.Envelope {
		e.Metadata = md
		return e
	}
	target := func(t wire.Target) *wire.Envelope {
		return &wire.Envelope{Kind: wire.KindAsk, ID: 1, Text: true, Target: t}
	}
	lookup := func(t wire.Target) *wire.Envelope { return &wire.Envelope{Kind: wire.KindLookup, ID: 1, Target: t} }
	routed := &wire.Envelope{Kind: wire.KindAsk, ID: 1, Route: 1}
	long := strings.Repeat("n", 10_000)
	for _, test := range []struct {
		row, name string
		reason    endpoint.Reason
		limits    func(*Limits)
		before    *wire.Envelope
		envelope  *wire.Envelope
	}{
		{row: "A10", name: "no name", reason: endpoint.ReasonInvalid, envelope: target(to(""))},
		{row: "A10", name: "NUL in the name", reason: endpoint.ReasonInvalid, envelope: target(to("a\x00b"))},
		{row: "A10", name: "name of 256 bytes", reason: endpoint.ReasonInvalid, envelope: target(to(long[:256]))},
		{row: "A10", name: "name of 10 kB", reason: endpoint.ReasonInvalid, envelope: target(to(long))},
		{row: "A10", name: "name of 10 kB in a route", reason: endpoint.ReasonInvalid, before: announce(1, to(long)), envelope: routed},
		{row: "A10", name: "slash in the name", reason: endpoint.ReasonInvalid, envelope: target(to("a/b"))},
		{row: "A10", name: "letters beyond ASCII", reason: endpoint.ReasonInvalid, envelope: target(to("ä"))},
		{row: "A10", name: "method without a service", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "Method"})},
		{row: "A10", name: "method with a leading slash", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "/p.S/M"})},
		{row: "A10", name: "method with three parts", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "p.S/M/N"})},
		{row: "A10", name: "NUL in the method", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "p.S/M\x00"})},
		{row: "A10", name: "service that is no full name", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "p..S/M"})},
		{row: "A10", name: "method of 1,025 bytes", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{Endpoint: "a", Method: "p.S/" + long[:1021]})},
		{row: "A10", name: "Env id that is no uuid", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{EnvID: "env", Endpoint: "a", Method: method})},
		{row: "A10", name: "Env id in capitals", reason: endpoint.ReasonInvalid, envelope: target(wire.Target{EnvID: strings.ToUpper(someEnv), Endpoint: "a", Method: method})},
		{row: "A10", name: "Env id as a URN, in a route", reason: endpoint.ReasonInvalid, before: announce(1, wire.Target{EnvID: "urn:uuid:" + someEnv, Endpoint: "a", Method: method}), envelope: routed},
		{row: "A10", name: "send to no name", reason: endpoint.ReasonInvalid, envelope: send("", "x")},
		{row: "A52", name: "too many asks", reason: endpoint.ReasonOverloaded, limits: func(l *Limits) { l.Pending = 0 }, envelope: ask(1, "a", "")},
		{row: "A52", name: "too many lookups", reason: endpoint.ReasonOverloaded, limits: func(l *Limits) { l.Pending = 0 }, envelope: lookup(wire.Target{Endpoint: "a"})},
		{row: "A59", name: "payload too large", reason: endpoint.ReasonTooLarge, limits: func(l *Limits) { l.MessageBytes = 10 }, envelope: ask(1, "a", "0123456789+")},
		{row: "A60", name: "capital in a key", reason: endpoint.ReasonInvalid, envelope: with(ask(1, "a", ""), wire.Metadata{Key: "Key", Value: "v"})},
		{row: "A60", name: "empty key", reason: endpoint.ReasonInvalid, envelope: with(ask(1, "a", ""), wire.Metadata{Key: "", Value: "v"})},
		{row: "A60", name: "line break in the value of a reserved key", reason: endpoint.ReasonInvalid, envelope: with(send("a", ""), wire.Metadata{Key: ":path", Value: "\n"})},
		{row: "A60", name: "line break in a value", reason: endpoint.ReasonInvalid, envelope: with(ask(1, "a", ""), wire.Metadata{Key: "good", Value: "v"}, wire.Metadata{Key: "k", Value: "a\r\nb"})},
		{row: "A60", name: "more than 64 KiB", reason: endpoint.ReasonTooLarge, envelope: with(ask(1, "a", ""), wire.Metadata{Key: "k", Value: strings.Repeat("v", 64<<10-8)})},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			own := limited()
			if test.limits != nil {
				test.limits(&own)
			}
			p := newPeer(t, own, limited())
			if test.before != nil {
				p.send(test.before)
			}
			events := p.send(test.envelope)
			if len(events) != 1 || events[0].Kind != test.envelope.Kind || events[0].ID != test.envelope.ID || events[0].To == nil {
				t.Fatalf("%+v, want one event", events)
			}
			ev := events[0]
			if ev.Refused == nil || ev.Refused.Reason != test.reason || ev.Refused.Execution != endpoint.NotExecuted {
				t.Fatalf("refused with %v, want %v, not executed", ev.Refused, test.reason)
			}
			if len(ev.Refused.Text) > 1000 {
				t.Errorf("the error repeats %d bytes of what is wrong", len(ev.Refused.Text))
			}
			p.s.Take(ev.Account, ev.Cost)
			if ev.Kind != wire.KindSend {
				p.s.Reply(&Reply{ID: ev.ID, Status: ev.Refused.GRPCStatus().Proto()})
			}
			if problem := leftoversOfOne(p); problem != "" {
				t.Error(problem)
			}
			if test.limits == nil {
				p.alive()
			}
		})
	}
}

func leftoversOfOne(p *peer) string {
	p.drain()
	return leftovers(p.s)
}

// TestA10Lookup: a malformed target of a lookup is told by its event; the owner answers it.
func TestA10Lookup(t *testing.T) {
	for _, target := range []wire.Target{{Endpoint: ""}, {Endpoint: "a\x00"}, {EnvID: "x", Endpoint: "a"}} {
		p := newPeer(t, limited(), limited())
		events := p.send(&wire.Envelope{Kind: wire.KindLookup, ID: 1, Target: target})
		if len(events) != 1 || events[0].To.Invalid == nil || events[0].To.Invalid.Reason != endpoint.ReasonInvalid {
			t.Fatalf("%+v: %+v", target, events)
		}
	}
}

// TestIgnored: rows that only count.
func TestIgnored(t *testing.T) {
	token := uint64(5)
	for _, test := range []struct {
		row, name string
		heads     []wire.Head
		envelopes []*wire.Envelope
		want      Counters
	}{
		{row: "A21", name: "ack below an earlier one", heads: []wire.Head{{Ack: 2}, {Ack: 1}}, want: Counters{StaleTotals: 1}},
		{row: "A22", name: "messages below", heads: []wire.Head{{Credits: []wire.Credit{{Endpoint: "b", Messages: 1, Bytes: 1 << 30}}}}, want: Counters{StaleTotals: 1}},
		{row: "A22", name: "bytes below", heads: []wire.Head{{Credits: []wire.Credit{{Endpoint: "b", Messages: 1 << 30, Bytes: 1}}}}, want: Counters{StaleTotals: 1}},
		{row: "A22", name: "session's bytes below", heads: []wire.Head{{Credits: []wire.Credit{{Bytes: 1 << 40, TransferBytes: 1 << 40}}}, {Credits: []wire.Credit{{Bytes: 1<<40 - 1, TransferBytes: 1 << 40}}}}, want: Counters{StaleTotals: 1}},
		{row: "A22", name: "transfer bytes below", heads: []wire.Head{{Credits: []wire.Credit{{Bytes: 1 << 40, TransferBytes: 7}}}}, want: Counters{StaleTotals: 1}},
		{row: "A23", name: "mailbox to which nothing was sent", heads: []wire.Head{{Credits: []wire.Credit{{Endpoint: "c", Messages: 9999, Bytes: 1 << 30}}}}, want: Counters{UnknownCredits: 1}},
		{row: "A23", name: "the same name in another Env", heads: []wire.Head{{Credits: []wire.Credit{{EnvID: someEnv, Endpoint: "b", Messages: 9999, Bytes: 1 << 30}}}}, want: Counters{UnknownCredits: 1}},
		{row: "A23", name: "Env id and no endpoint", heads: []wire.Head{{Credits: []wire.Credit{{EnvID: someEnv, Bytes: 1 << 30}}}}, want: Counters{UnknownCredits: 1}},
		{row: "A44", name: "pong", heads: []wire.Head{{Pong: &token}}, want: Counters{UnmatchedPongs: 1}},
		{row: "A46", name: "reply to nothing", envelopes: []*wire.Envelope{reply(77, "x")}, want: Counters{LateReplies: 1}},
		{row: "A49", name: "chunk of what is over", envelopes: []*wire.Envelope{inChunks(reply(9, ""), 1, 1), chunk(1, "x"), chunk(1, "x")}, want: Counters{LateReplies: 1, LateChunks: 1}},
		{row: "A49", name: "abort of nothing", envelopes: []*wire.Envelope{{Kind: wire.KindAbort, ID: 3}}, want: Counters{LateChunks: 1}},
		{row: "N4", name: "empty frame", heads: []wire.Head{{}}, want: Counters{}},
		{row: "N5", name: "ack and credit again", heads: []wire.Head{{Ack: 2}, {Ack: 2}, {}, {Credits: []wire.Credit{{Bytes: 1 << 40, TransferBytes: 1 << 40}}}, {Credits: []wire.Credit{{Bytes: 1 << 40, TransferBytes: 1 << 40}}}}, want: Counters{}},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			p := newPeer(t, limited(), limited())
			for range 2 {
				p.post(sending("b", nil))
				p.drain()
			}
			before := p.s.out.accounts.Get(mailboxKey{"", "b"}).window
			for _, h := range test.heads {
				p.head(h)
			}
			if test.row == "A23" && p.s.out.accounts.Get(mailboxKey{"", "b"}).window != before {
				t.Error("credit of another mailbox has opened this one's window")
			}
			if test.envelopes != nil {
				if events := p.send(test.envelopes...); len(events) != 0 {
					t.Fatalf("%+v, want nothing", events)
				}
			}
			p.counted(test.want)
			p.alive()
		})
	}
}

// TestDroppedMetadataA61: a pair of an answer that is not allowed is dropped, and one of a reserved key, the rest is taken.
func TestDroppedMetadataA61(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.post(asking("a", nil))
	p.drain()
	r := reply(1, "x")
	r.Metadata = []wire.Metadata{{Key: "good", Value: "1"}, {Key: "BAD", Value: "2"}, {Key: "te", Value: "3"}, {Key: "raw-bin", Value: "\x00\xFF"}}
	r.Trailer = []wire.Metadata{{Key: "bad", Value: "\n"}, {Key: "grpc-status", Value: "13"}, {Key: "grpc-retry-pushback-ms", Value: "3"}}
	events := p.send(r)
	if len(events) != 1 || len(events[0].Metadata) != 2 || events[0].Metadata[0].Key != "good" || events[0].Metadata[1].Key != "raw-bin" ||
		len(events[0].Trailer) != 1 || events[0].Trailer[0].Key != "grpc-retry-pushback-ms" || string(events[0].Payload) != "x" {
		t.Fatalf("%+v", events)
	}
	p.counted(Counters{DroppedMetadata: 4})
}

// TestReservedMetadataA61: a pair of a reserved key in a message is dropped and counted; the message is taken, and so is the rest of its metadata. A message
// that is refused counts none.
func TestReservedMetadataA61(t *testing.T) {
	md := []wire.Metadata{{Key: ":authority", Value: "v"}, {Key: "grpc-trace-bin", Value: "\x00"}, {Key: "grpc-timeout", Value: "1S"}, {Key: "k", Value: "v"}}
	opens := headers(2, "a")
	for _, e := range []*wire.Envelope{ask(2, "a", ""), send("a", ""), opens} {
		p, _, _ := newStreamingPeer(t, limited())
		e.Metadata = md
		events := p.send(e)
		if len(events) != 1 || events[0].Refused != nil || len(events[0].Metadata) != 2 || events[0].Metadata[0] != md[1] || events[0].Metadata[1] != md[3] {
			t.Errorf("%v: %+v, want the message with two pairs", e.Kind, events)
		}
		e.ID, e.Metadata = e.ID*2, append(md[:len(md):len(md)], wire.Metadata{Key: "K"})
		if events := p.send(e); len(events) != 1 || events[0].Refused == nil {
			t.Errorf("%v: %+v, want a refusal", e.Kind, events)
		}
		p.counted(Counters{DroppedMetadata: 2})
	}
}

// TestNotAbnormal: N2, N3 and N6.
func TestNotAbnormal(t *testing.T) {
	p := newPeer(t, limited(window(100, 1<<20)), limited())
	events := p.send(
		announce(1, to("a")), announce(2, to("a")), // N6: two numbers for one target
		&wire.Envelope{Kind: wire.KindSend, Route: 1},
		&wire.Envelope{Kind: wire.KindSend, Route: 2},
		&wire.Envelope{Kind: wire.KindSend, Text: true, Target: to("a")}, // N2: text where there is a route
	)
	if len(events) != 3 {
		t.Fatalf("%d messages, want 3", len(events))
	}
	for _, ev := range events {
		if ev.Account != events[0].Account || ev.Account == nil || ev.To.Target != to("a") {
			t.Errorf("%+v does not share the mailbox of its target", ev)
		}
		if ev.Refused != nil || len(ev.Payload) != 0 || ev.Encoding != wire.NoPayload { // N3
			t.Errorf("a message without payload is %+v", ev)
		}
	}
	// N1: fields that a newer peer has.
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 7)
	b := append(frame(wire.Head{Number: 2}, send("a", "x")), unknown...)
	if events, v := p.raw(b); v != nil || len(events) != 1 {
		t.Fatalf("unknown fields: %v, %d events", v, len(events))
	}
	p.counted(Counters{})
}

// TestCancelOfNothingA48 is found by the owner of the session, who knows what runs.
func TestCancelOfNothingA48(t *testing.T) {
	p := newPeer(t, limited(), limited())
	events := p.send(&wire.Envelope{Kind: wire.KindCancel, ID: 5})
	if len(events) != 1 || events[0].Kind != wire.KindCancel || events[0].ID != 5 {
		t.Fatalf("%+v, want the cancel", events)
	}
	p.s.CountLateCancel()
	p.counted(Counters{LateCancels: 1})
}

// TestViolationGivesNoHalfEvent: an owner never sees a message that was found to be wrong halfway.
func TestViolationGivesNoHalfEvent(t *testing.T) {
	for _, e := range []*wire.Envelope{
		{Kind: wire.KindAsk, ID: 1, Route: 9},
		{Kind: wire.KindSend, Route: 9},
		send("x", ""),
		inChunks(send("a", ""), 0, 1),
	} {
		p := newPeer(t, limited(window(1, 1<<20)), limited())
		p.send(send("x", ""))
		if events, v := p.try(e); v == nil || len(events) != 0 {
			t.Errorf("%v: %v and %d events, want a violation alone", e.Kind, v, len(events))
		}
	}
}
