package session

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// newStreamingPeer returns the peer of a session that carries streaming calls, with one call of the session, number 1, and one of the
// peer, number 1, too.
func newStreamingPeer(t *testing.T, own Limits) (p *peer, own1 *Ask, peers1 *Stream) {
	p = newPeer(t, own, limited())
	p.s.CarryStreams()
	q := opening("a")
	p.post(q)
	ev := p.send(headers(1, "a"))[0]
	p.s.Take(ev.Account, ev.Cost)
	p.drain()
	return p, q.Ask, ev.Stream
}

// TestStreamViolations: rows that end the session.
func TestStreamViolations(t *testing.T) {
	for _, test := range []struct {
		row, name string
		code      codes.Code
		limits    func(*Limits)
		before    []*wire.Envelope
		envelopes []*wire.Envelope
	}{
		{row: "A11", name: "headers without destination", code: codes.InvalidArgument, envelopes: []*wire.Envelope{{Kind: wire.KindHeaders, ID: 2}}},
		{row: "A11", name: "headers with a route not announced", code: codes.InvalidArgument, envelopes: []*wire.Envelope{{Kind: wire.KindHeaders, ID: 2, Route: 7}}},
		{row: "A14", name: "headers with id 0", code: codes.InvalidArgument, envelopes: []*wire.Envelope{headers(0, "a")}},
		{row: "A14", name: "headers again", code: codes.InvalidArgument, envelopes: []*wire.Envelope{headers(1, "a")}},
		{row: "A14", name: "an ask with the id of a call", code: codes.InvalidArgument, envelopes: []*wire.Envelope{ask(1, "a", "")}},
		{row: "A15", name: "transfer again", code: codes.InvalidArgument, before: []*wire.Envelope{inChunks(says(1, ""), 7, 1), chunk(7, "x")}, envelopes: []*wire.Envelope{inChunks(says(1, ""), 7, 1)}},
		{row: "A15", name: "too many transfers", code: codes.ResourceExhausted, limits: func(l *Limits) { l.Transfers = 1 }, before: []*wire.Envelope{inChunks(says(1, ""), 7, 9)}, envelopes: []*wire.Envelope{inChunks(fromCallee(says(1, "")), 8, 9)}},
		{row: "A16", name: "transfer of nothing", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(says(1, ""), 1, 0)}},
		{row: "A16", name: "transfer too large, of no call", code: codes.ResourceExhausted, envelopes: []*wire.Envelope{inChunks(says(9, ""), 1, 128<<20+1)}},
		{row: "A18", name: "a call to a full mailbox", code: codes.ResourceExhausted, limits: window(1, 1<<20), before: []*wire.Envelope{headers(2, "b")}, envelopes: []*wire.Envelope{headers(3, "b")}},
		{row: "A19", name: "a call with nothing left of the session's window", code: codes.ResourceExhausted, limits: func(l *Limits) { l.SessionBytes = 60 }, before: []*wire.Envelope{headers(2, "b"), headers(3, "c")}, envelopes: []*wire.Envelope{headers(4, "d")}},
		{row: "A19", name: "a large message with nothing left of the transfer window", code: codes.ResourceExhausted, limits: func(l *Limits) { l.TransferBytes = 10 }, before: []*wire.Envelope{inChunks(says(1, ""), 1, 10)}, envelopes: []*wire.Envelope{inChunks(fromCallee(says(1, "")), 2, 1)}},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			own := limited()
			if test.limits != nil {
				test.limits(&own)
			}
			p, _, _ := newStreamingPeer(t, own)
			if test.before != nil {
				p.send(test.before...)
			}
			p.violates(test.row, test.code, test.envelopes...)
		})
	}
}

// TestRefusedStreams: rows that fail one call. Its credit comes back, and the session lives.
func TestRefusedStreams(t *testing.T) {
	md := func(entries ...wire.Metadata) *wire.Envelope {
		e := headers(2, "a")
		e.Metadata = entries
		return e
	}
	for _, test := range []struct {
		row, name string
		reason    endpoint.Reason
		limits    func(*Limits)
		envelope  *wire.Envelope
	}{
		{row: "A10", name: "no name", reason: endpoint.ReasonInvalid, envelope: headers(2, "")},
		{row: "A10", name: "no method", reason: endpoint.ReasonInvalid, envelope: &wire.Envelope{Kind: wire.KindHeaders, ID: 2, Text: true, Target: wire.Target{Endpoint: "a"}}},
		{row: "A10", name: "Env id", reason: endpoint.ReasonInvalid, envelope: &wire.Envelope{Kind: wire.KindHeaders, ID: 2, Text: true, Target: wire.Target{EnvID: "?", Endpoint: "a", Method: method}}},
		{row: "A52", name: "pending", reason: endpoint.ReasonOverloaded, limits: func(l *Limits) { l.Pending = 1 }, envelope: headers(2, "a")},
		{row: "A52", name: "streams", reason: endpoint.ReasonOverloaded, limits: func(l *Limits) { l.Streams = 1 }, envelope: headers(2, "a")},
		{row: "A60", name: "bad key", reason: endpoint.ReasonInvalid, envelope: md(wire.Metadata{Key: "grpc x", Value: "v"})},
		{row: "A60", name: "too much", reason: endpoint.ReasonTooLarge, envelope: md(wire.Metadata{Key: "k", Value: strings.Repeat("v", 64<<10)})},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			own := limited()
			if test.limits != nil {
				test.limits(&own)
			}
			p, _, first := newStreamingPeer(t, own)
			events := p.send(test.envelope, says(2, "x"), inChunks(says(2, ""), 1, 3), &wire.Envelope{Kind: wire.KindHalfClose, ID: 2})
			if len(events) != 3 || events[0].Refused == nil || events[0].Refused.Reason != test.reason || events[0].Refused.Execution != endpoint.NotExecuted {
				t.Fatalf("%+v, want a refusal with %v, a message and a half-close", events, test.reason)
			}
			p.s.Take(events[0].Account, events[0].Cost)
			p.s.EndStream(events[0].Stream, events[0].Refused.GRPCStatus().Proto(), nil)
			p.s.TakeMessage(events[1].Stream, events[1].Cost)
			if late := p.send(chunk(1, "123"), says(2, "y")); len(late) != 0 {
				t.Errorf("after the end there come %+v", late)
			}
			if got := p.drain(); len(got) != 1 || got[0].Kind != wire.KindEnd || got[0].ID != 2 || got[0].Status == nil {
				t.Fatalf("%+v is written, want the end of call 2", got)
			}
			p.counted(Counters{LateMessages: 1})
			p.s.EndStream(first, nil, nil)
			p.alive()
			if _, bytes := p.s.in.transfer.Outstanding(); bytes != 0 || len(p.s.in.streams) != 0 {
				t.Errorf("%d bytes of the transfer window, and %d calls, are left", bytes, len(p.s.in.streams))
			}
		})
	}
}

// TestIgnoredOfStreams: rows that count only.
func TestIgnoredOfStreams(t *testing.T) {
	callee := func(kind wire.Kind, id uint64) *wire.Envelope {
		return &wire.Envelope{Kind: kind, ID: id, FromCallee: true, WindowBytes: 1 << 20}
	}
	caller := func(kind wire.Kind, id uint64) *wire.Envelope {
		return &wire.Envelope{Kind: kind, ID: id, WindowBytes: 1 << 20}
	}
	large := func(e *wire.Envelope) []*wire.Envelope { return []*wire.Envelope{inChunks(e, 1, 3), chunk(1, "123")} }
	for _, test := range []struct {
		row, name string
		envelopes []*wire.Envelope
		want      Counters
	}{
		{"A47", "end", []*wire.Envelope{{Kind: wire.KindEnd, ID: 9}}, Counters{LateReplies: 1}},
		{"A47", "headers from a callee", []*wire.Envelope{callee(wire.KindHeaders, 9)}, Counters{LateReplies: 1}},
		{"A47", "message from a callee", []*wire.Envelope{callee(wire.KindMessage, 9)}, Counters{LateReplies: 1}},
		{"A47", "large message from a callee", large(callee(wire.KindMessage, 9)), Counters{LateReplies: 1}},
		{"A47", "window from a callee", []*wire.Envelope{callee(wire.KindWindow, 9)}, Counters{LateReplies: 1}},
		{"A48", "cancel", []*wire.Envelope{{Kind: wire.KindCancel, ID: 9}}, Counters{}}, // which the owner counts
		{"A50", "message", []*wire.Envelope{caller(wire.KindMessage, 9)}, Counters{LateMessages: 1}},
		{"A50", "large message", large(caller(wire.KindMessage, 9)), Counters{LateMessages: 1}},
		{"A50", "half-close", []*wire.Envelope{caller(wire.KindHalfClose, 9)}, Counters{LateMessages: 1}},
		{"A50", "half-close again", []*wire.Envelope{caller(wire.KindHalfClose, 1), caller(wire.KindHalfClose, 1)}, Counters{LateMessages: 1}},
		{"A50", "message after the half-close", []*wire.Envelope{caller(wire.KindHalfClose, 1), caller(wire.KindMessage, 1)}, Counters{LateMessages: 1}},
		{"A50", "window", []*wire.Envelope{caller(wire.KindWindow, 9)}, Counters{LateMessages: 1}},
		{"A22", "a window that was higher", []*wire.Envelope{caller(wire.KindWindow, 1), {Kind: wire.KindWindow, ID: 1, WindowBytes: 5}}, Counters{StaleTotals: 1}},
		{"A61", "bad metadata of a callee", []*wire.Envelope{{Kind: wire.KindHeaders, ID: 1, FromCallee: true, Metadata: []wire.Metadata{{Key: "K"}, {Key: "k"}}}}, Counters{DroppedMetadata: 1}},
		{"A61", "bad trailer", []*wire.Envelope{{Kind: wire.KindEnd, ID: 1, Trailer: []wire.Metadata{{Key: ":k"}}}}, Counters{DroppedMetadata: 1}},
	} {
		t.Run(test.row+" "+test.name, func(t *testing.T) {
			p, own, st := newStreamingPeer(t, limited())
			for _, ev := range p.send(test.envelopes...) {
				switch {
				case ev.Kind == wire.KindMessage:
					t.Errorf("a message that nobody waits for gave %+v", ev)
				case ev.Kind == wire.KindHeaders && (len(ev.Metadata) != 1 || ev.Metadata[0].Key != "k"):
					t.Errorf("the metadata that is left is %v", ev.Metadata)
				}
			}
			p.counted(test.want)
			p.s.Abandon(own)
			p.s.EndStream(st, nil, nil)
			p.alive()
			if _, bytes := p.s.in.transfer.Outstanding(); bytes != 0 || len(p.s.in.transfers) != 0 {
				t.Errorf("%d bytes of the transfer window are left, and %d transfers", bytes, len(p.s.in.transfers))
			}
		})
	}
}

// TestWrongAnswers of section 15, A51: a reply or receipt for a streaming call, and an end for an ask, end the wait with an error.
func TestWrongAnswers(t *testing.T) {
	p, own, _ := newStreamingPeer(t, limited())
	p.s.GiveReceipts()
	second, asked, looked, sent := opening("a"), asking("a", nil), &Ask{Done: noReply{}}, asking("a", nil)
	sent.Receipt = true
	p.post(second)
	p.post(asked)
	p.post(sent)
	if err := p.s.Lookup(looked, "", "a", ""); err != nil {
		t.Fatal(err)
	}
	third := opening("a")
	p.post(third)
	p.drain()
	end := func(id uint64) *wire.Envelope { return &wire.Envelope{Kind: wire.KindEnd, ID: id} }
	for _, wrong := range []struct {
		ask       *Ask
		envelopes []*wire.Envelope
	}{
		{own, []*wire.Envelope{reply(1, "x")}},
		{second.Ask, []*wire.Envelope{{Kind: wire.KindReceipt, ID: 2}}},
		{asked.Ask, []*wire.Envelope{end(3)}},
		{sent.Ask, []*wire.Envelope{end(4)}},
		{looked, []*wire.Envelope{end(5)}},
		{third.Ask, []*wire.Envelope{inChunks(reply(6, ""), 1, 3), chunk(1, "123")}},
	} {
		events := p.send(wrong.envelopes...)
		if len(events) != 1 || events[0].Ask != wrong.ask || events[0].Refused == nil || events[0].Refused.Reason != endpoint.ReasonUndecodable ||
			events[0].Refused.Execution != endpoint.MayHaveExecuted {
			t.Errorf("%+v, want an error of the ask", events)
		}
		if _, pending := p.s.Abandon(wrong.ask); pending {
			t.Error("it is pending yet")
		}
	}
	if p.s.Pending() != 0 || p.s.asks.unanswered != 0 || p.s.in.replyBytes != 0 {
		t.Errorf("%d are pending, %d not answered", p.s.Pending(), p.s.asks.unanswered)
	}
}

// TestOverrunStream of section 15, A68, at either side, small and in chunks: the call fails, which its owner sees to, and nothing of it is kept.
func TestOverrunStream(t *testing.T) {
	for _, callee := range []bool{false, true} {
		for _, chunks := range []bool{false, true} {
			p, own, st := newStreamingPeer(t, limited(streamWindow(100)))
			m := func(payload string) *wire.Envelope {
				e := says(1, payload)
				e.FromCallee = callee
				return e
			}
			want := st
			if callee {
				want = own.Stream
			}
			if events := p.send(m(strings.Repeat("x", 200))); len(events) != 1 || events[0].Refused != nil {
				t.Fatalf("%+v, want a message that overdraws", events)
			}
			over := []*wire.Envelope{m("x")}
			if chunks {
				over = []*wire.Envelope{inChunks(m(""), 1, 3), chunk(1, "12")}
				if events := p.send(over...); len(events) != 0 || p.s.in.transfers[1].room() != 0 {
					t.Fatalf("%+v, and %d bytes are kept", events, p.s.in.transfers[1].room())
				}
				over = []*wire.Envelope{chunk(1, "3")}
			}
			events := p.send(over...)
			if len(events) != 1 || events[0].Stream != want || events[0].Refused == nil || events[0].Refused.Reason != endpoint.ReasonOverloaded ||
				events[0].Refused.Execution != endpoint.MayHaveExecuted {
				t.Fatalf("callee %t, chunks %t: %+v, want a refused message", callee, chunks, events)
			}
			p.s.TakeMessage(events[0].Stream, events[0].Cost)
			p.s.Abandon(own)
			p.s.EndStream(st, events[0].Refused.GRPCStatus().Proto(), nil)
			p.alive()
			if _, bytes := p.s.in.transfer.Outstanding(); bytes != 0 {
				t.Errorf("%d bytes of the transfer window are left", bytes)
			}
		}
	}
}

// TestUnchunkedMessageA71: a window is overdrawn by 64 KiB at most, at either side and in either form; a larger message fails the call, unless it comes in
// chunks, which take of another window.
func TestUnchunkedMessageA71(t *testing.T) {
	for _, callee := range []bool{false, true} {
		for _, encoding := range []wire.Encoding{wire.Proto, wire.JSON} {
			p, own, st := newStreamingPeer(t, limited())
			m := func(size int) *wire.Envelope {
				return &wire.Envelope{Kind: wire.KindMessage, ID: 1, FromCallee: callee, Encoding: encoding, Payload: make([]byte, size)}
			}
			want := st
			if callee {
				want = own.Stream
			}
			if events := p.send(m(wholeBytes)); len(events) != 1 || events[0].Refused != nil || len(events[0].Payload) != wholeBytes {
				t.Fatalf("callee %t, %v: %+v, want a message", callee, encoding, events)
			}
			whole := inChunks(m(0), 1, wholeBytes+1)
			if events := p.send(whole, chunk(1, strings.Repeat("x", wholeBytes+1))); len(events) != 1 || events[0].Refused != nil || len(events[0].Payload) != wholeBytes+1 {
				t.Fatalf("callee %t, %v: %+v, want a large message", callee, encoding, events)
			} else {
				p.s.TakeMessage(events[0].Stream, events[0].Cost)
			}
			events := p.send(m(wholeBytes + 1))
			if len(events) != 1 || events[0].Stream != want || events[0].Refused == nil || events[0].Refused.Reason != endpoint.ReasonTooLarge ||
				events[0].Refused.Execution != endpoint.MayHaveExecuted {
				t.Fatalf("callee %t, %v: %+v, want a refused message", callee, encoding, events)
			}
			p.s.TakeMessage(events[0].Stream, events[0].Cost)
			p.s.Abandon(own)
			p.s.EndStream(st, events[0].Refused.GRPCStatus().Proto(), nil)
			p.alive()
		}
	}
}

// TestWholeMessagesOfSender: what this side sends in one envelope, its peer takes: more is cut into chunks, or refused if it is JSON.
func TestWholeMessagesOfSender(t *testing.T) {
	for _, callee := range []bool{false, true} {
		p, own, st := newStreamingPeer(t, limited())
		if !callee {
			st = own.Stream
		}
		post := func(size int, encoding wire.Encoding) *endpoint.Error {
			t.Helper()
			accepted, err := p.s.PostMessage(st, Message{Payload: make([]byte, size), Encoding: encoding}, nil)
			if accepted != (err == nil) {
				t.Fatalf("%d bytes, %v: accepted %t, %v", size, encoding, accepted, err)
			}
			return err
		}
		if err := post(wholeBytes+1, wire.JSON); err == nil || err.Reason != endpoint.ReasonTooLarge || err.Execution != endpoint.NotExecuted {
			t.Errorf("callee %t: JSON that is too long: %v", callee, err)
		}
		if err := post(wholeBytes, wire.JSON); err != nil {
			t.Errorf("callee %t: JSON: %v", callee, err)
		}
		if err := post(MostWhole, wire.Proto); err != nil {
			t.Error(err)
		}
		if err := post(wholeBytes, wire.Proto); err != nil {
			t.Error(err)
		}
		var sizes []int
		for _, e := range p.drain() {
			if e.Kind == wire.KindMessage {
				sizes = append(sizes, len(e.Payload))
			}
		}
		if !slices.Equal(sizes, []int{wholeBytes, MostWhole, 0}) {
			t.Errorf("callee %t: payloads of %v bytes are in the envelopes of messages", callee, sizes)
		}
	}
}

// TestTooLargeMessage of section 15, A59, and at the sender: by itself.
func TestTooLargeMessage(t *testing.T) {
	p, own, _ := newStreamingPeer(t, limited(func(l *Limits) { l.MessageBytes = 10 }))
	events := p.send(says(1, "01234567890"))
	if len(events) != 1 || events[0].Refused == nil || events[0].Refused.Reason != endpoint.ReasonTooLarge {
		t.Fatalf("%+v, want a refused message", events)
	}
	if accepted, err := p.s.PostMessage(own.Stream, Message{Payload: make([]byte, 600<<10), Encoding: wire.JSON}, nil); accepted || err == nil || err.Reason != endpoint.ReasonTooLarge {
		t.Errorf("JSON that fits no frame: %t, %v", accepted, err)
	}
}

// TestAnswerOfACallCounts: whatever answers a streaming call, in time or late, takes it off those that the peer bounds; what answers something else does not.
func TestAnswerOfACallCounts(t *testing.T) {
	for _, late := range []bool{false, true} {
		for name, answer := range map[string][]*wire.Envelope{
			"reply":       {reply(1, "x")},
			"large reply": {inChunks(reply(1, ""), 1, 3), chunk(1, "123")},
			"receipt":     {{Kind: wire.KindReceipt, ID: 1}},
			"end":         {{Kind: wire.KindEnd, ID: 1}},
		} {
			p, own, _ := newStreamingPeer(t, limited())
			p.s.GiveReceipts()
			p.s.limit(func(_, peer *Limits) { peer.Streams = 1 })
			asked := asking("a", nil)
			p.post(asked)
			p.drain()
			if late {
				p.s.Abandon(own)
			}
			p.send(&wire.Envelope{Kind: wire.KindEnd, ID: 2})
			if accepted, err := p.s.Post(opening("a")); accepted || err == nil {
				t.Error("after the end of an ask a second streaming call is opened, where the peer takes one")
			}
			p.send(answer...)
			if accepted, err := p.s.Post(opening("a")); !accepted || err != nil {
				t.Errorf("after a %s, late %t, another call is not opened: %v", name, late, err)
			}
		}
	}
}

// TestLateMessageIsNotKept: the bytes of a large message of no call are dropped as they come.
func TestLateMessageIsNotKept(t *testing.T) {
	for _, callee := range []bool{false, true} {
		p, _, _ := newStreamingPeer(t, limited())
		m := inChunks(says(9, ""), 1, 20_000)
		m.FromCallee = callee
		p.send(m, chunk(1, string(make([]byte, 10_000))))
		if held := p.s.in.transfers[1].room(); held != 0 {
			t.Errorf("from the callee %t: %d bytes are held", callee, held)
		}
		if events := p.send(chunk(1, string(make([]byte, 10_000)))); len(events) != 0 {
			t.Errorf("from the callee %t: %+v comes", callee, events)
		}
		if _, bytes := p.s.in.transfer.Outstanding(); bytes != 0 {
			t.Errorf("from the callee %t: %d bytes of the transfer window are left", callee, bytes)
		}
	}
}
