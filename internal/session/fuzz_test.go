package session

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// fuzzStates are the states of a session into which the fuzzer throws its frames. In each, frame 1 is the next.
var fuzzStates = []func(s *Session){
	func(*Session) {},
	func(s *Session) { // asks, small and large, written and not
		s.Post(asking("a", nil))
		s.Post(asking("b", make([]byte, 50_000)))
		s.Lookup(&Ask{Done: noReply{}}, "", "c", "")
		for range 2 {
			s.NextFrame(epoch)
		}
		s.Post(sending("c", make([]byte, 50_000)))
	},
	func(s *Session) { // asks that were given up
		for range 3 {
			q := asking("a", make([]byte, 20_000))
			s.Post(q)
			s.NextFrame(epoch)
			s.Abandon(q.Ask)
		}
	},
	func(s *Session) { // streaming calls: written, with a large message under way, and given up
		for range 3 {
			q := opening("a")
			s.Post(q)
			s.PostMessage(q.Ask.Stream, Message{Payload: make([]byte, 50_000), Encoding: wire.Proto}, nil)
			s.HalfClose(q.Ask.Stream)
		}
		for range 3 {
			s.NextFrame(epoch)
		}
		q := opening("a")
		s.Post(q)
		s.NextFrame(epoch)
		s.Abandon(q.Ask)
	},
	func(s *Session) { s.Bye(errEnded) },
	func(s *Session) { s.End(errEnded) },
}

// cut cuts data into frames, each behind its length in two bytes.
func cut(data []byte) [][]byte {
	var frames [][]byte
	for len(data) >= 2 {
		n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
		frames = append(frames, data[2:2+n])
		data = data[2+n:]
	}
	return frames
}

// joined is the inverse of cut.
func joined(frames ...[]byte) []byte {
	var data []byte
	for _, f := range frames {
		data = binary.BigEndian.AppendUint16(data, uint16(len(f)))
		data = append(data, f...)
	}
	return data
}

// FuzzSessionInput: whatever a peer writes, a session answers with events or a violation, keeps what it holds within its limits, and
// can be ended.
func FuzzSessionInput(f *testing.F) {
	limits := limited(func(l *Limits) {
		l.MailboxMessages, l.MailboxBytes, l.SessionBytes, l.TransferBytes = 16, 4096, 16<<10, 1<<20
		l.Routes, l.Transfers, l.Pending, l.Mailboxes = 8, 4, 8, 8
	})
	limits.StreamBytes, limits.Streams = 1000, 4
	token := uint64(3)
	n := func(number uint64) wire.Head { return wire.Head{Number: number, Ack: 1} }
	for i := range byte(len(fuzzStates)) {
		f.Add(i, joined(
			frame(n(1), announce(1, to("a")), &wire.Envelope{Kind: wire.KindAsk, ID: 1, Route: 1, Encoding: wire.Proto, Payload: []byte("x")}),
			frame(n(2), reply(1, "x"), reply(2, "y"), reply(3, "")),
			frame(n(3), &wire.Envelope{Kind: wire.KindCancel, ID: 1}, &wire.Envelope{Kind: wire.KindBye}),
		))
		f.Add(i, joined(
			frame(n(1), inChunks(ask(1, "a", ""), 1, 10), inChunks(reply(2, ""), 2, 4)),
			frame(n(2), chunk(2, "1234"), chunk(1, "12345")),
			frame(n(3), chunk(1, "12345")),
			frame(n(4), inChunks(send("b", ""), 3, 1<<19), chunk(3, "x"), &wire.Envelope{Kind: wire.KindAbort, ID: 3}),
		))
		f.Add(i, joined(
			frame(n(1), headers(1, "a"), says(1, "x"), inChunks(says(1, ""), 1, 10), headers(2, "?"), says(2, "x")),
			frame(n(2), chunk(1, "12345"), fromCallee(says(1, "y")), &wire.Envelope{Kind: wire.KindHeaders, ID: 1, FromCallee: true, WindowBytes: 1 << 20}),
			frame(n(3), &wire.Envelope{Kind: wire.KindWindow, ID: 1, WindowBytes: 1 << 20}, chunk(1, "12345"), &wire.Envelope{Kind: wire.KindCancel, ID: 2}),
			frame(n(4), &wire.Envelope{Kind: wire.KindHalfClose, ID: 1}, &wire.Envelope{Kind: wire.KindEnd, ID: 1}, &wire.Envelope{Kind: wire.KindEnd, ID: 2}),
		))
		f.Add(i, joined(
			frame(n(1), headers(1, "a"), headers(2, "a"), headers(3, "a"), headers(4, "a"), headers(5, "a")),
			frame(n(2), says(1, string(make([]byte, 2000))), says(1, "overrun"), inChunks(says(3, ""), 1, 100)),
			frame(n(3), &wire.Envelope{Kind: wire.KindAbort, ID: 1}, &wire.Envelope{Kind: wire.KindCancel, ID: 4}, says(5, "z")),
		))
		f.Add(i, joined(
			frame(wire.Head{Ping: &token, Pong: &token, Credits: []wire.Credit{{Endpoint: "a", Messages: 2000, Bytes: 1 << 30}, {Bytes: 1 << 30}}}),
			frame(n(1), &wire.Envelope{Kind: wire.KindLookup, ID: 1, Target: wire.Target{Endpoint: "a"}}, send("a", "x")),
		))
	}
	f.Fuzz(func(t *testing.T, state byte, data []byte) {
		s := New(limits, limited())
		s.CarryStreams()
		fuzzStates[int(state)%len(fuzzStates)](s)
		now := epoch
		for _, b := range cut(data) {
			now = now.Add(time.Millisecond)
			events, v := s.Receive(new(Intake), now, b)
			for i := range events {
				act(t, s, &events[i])
			}
			s.Tick(now)
			if v != nil {
				if v.Row == "" || v.Code == 0 || v.Text == "" {
					t.Fatalf("a violation that does not say what it is: %+v", v)
				}
				break
			}
			for range 3 {
				if b := s.NextFrame(epoch); b != nil {
					b.Release()
				}
			}
			bounded(t, s)
		}
		events, _ := s.HalfClosed(errEnded)
		for _, ev := range events {
			act(t, s, &ev)
		}
		if s.Pending() != 0 {
			t.Fatalf("%d asks of a peer that has half-closed are pending", s.Pending())
		}
		s.End(&endpoint.Error{Reason: endpoint.ReasonSessionEnded})
		if s.Pending() != 0 {
			t.Fatalf("%d asks are pending after the end", s.Pending())
		}
		for _, st := range s.in.streams { // its handler returns
			s.EndStream(st, nil, nil)
		}
		if len(s.in.streams) != 0 {
			t.Fatalf("%d streaming calls are kept after the end", len(s.in.streams))
		}
	})
}

// act does with an event what an owner would do.
func act(t *testing.T, s *Session, ev *Event) {
	switch ev.Kind {
	case wire.KindAsk, wire.KindSend:
		if ev.To == nil || ev.To.Invalid == nil && ev.Account == nil {
			t.Fatalf("a message without a destination: %+v", ev)
		}
		if s.Take(ev.Account, ev.Cost) {
			s.StateCredit(ev.Account)
		}
		if ev.Kind == wire.KindAsk {
			s.Reply(&Reply{ID: ev.ID, Payload: ev.Payload, Encoding: wire.Proto, Header: ev.Metadata})
		}
	case wire.KindLookup:
		if ev.To == nil {
			t.Fatal("a lookup without a destination")
		}
		s.Reply(&Reply{ID: ev.ID})
	case wire.KindHeaders, wire.KindMessage, wire.KindHalfClose:
		actOnStream(t, s, ev)
	case wire.KindReply, wire.KindEnd:
		if ev.Ask == nil || ev.Ask.id != 0 {
			t.Fatal("a reply without an ask, or the ask is still pending")
		}
	case wire.KindCancel, wire.KindBye:
	default:
		t.Fatalf("an event of kind %v", ev.Kind)
	}
}

// actOnStream does with an event of a streaming call what its handler would do: it answers each message until its caller sends no more.
func actOnStream(t *testing.T, s *Session, ev *Event) {
	st := ev.Stream
	if st == nil || ev.Kind == wire.KindHeaders && ev.To == nil && st.callee {
		t.Fatalf("an event of no call: %+v", ev)
	}
	if ev.Kind == wire.KindMessage && s.TakeMessage(st, ev.Cost) {
		s.StateWindow(st)
	}
	if ev.To != nil {
		if s.Take(ev.Account, ev.Cost) {
			s.StateCredit(ev.Account)
		}
	}
	switch {
	case st.callee && (ev.Refused != nil || ev.Kind == wire.KindHalfClose):
		s.EndStream(st, nil, ev.Metadata)
	case st.callee && ev.To != nil:
		s.Headers(st, ev.Metadata)
	case st.callee:
		s.PostMessage(st, Message{Payload: ev.Payload, Encoding: wire.Proto}, nil)
	}
}

// bounded checks what a peer has made the session keep.
func bounded(t *testing.T, s *Session) {
	t.Helper()
	held := 0
	for _, p := range s.in.transfers {
		held += p.room()
		if uint64(p.held()) > p.got {
			t.Fatalf("%d bytes are held of a message of which %d have come", p.held(), p.got)
		}
	}
	switch {
	case s.in.routes.len() > int(s.own.Routes), s.in.accounts.Len() > int(s.own.Mailboxes), len(s.in.transfers) > int(s.own.Transfers):
		t.Fatalf("%d routes, %d mailboxes, %d transfers", s.in.routes.len(), s.in.accounts.Len(), len(s.in.transfers))
	case held > int(s.own.Transfers)*reservedTransfer:
		t.Fatalf("%d bytes are held for transfers", held)
	case len(s.in.streams) > int(s.own.Streams):
		t.Fatalf("%d streaming calls", len(s.in.streams))
	case s.in.open < 0 || s.asks.unanswered < 0:
		t.Fatalf("%d open asks", s.in.open)
	case len(s.out.pongs) > mostPongs:
		t.Fatalf("%d pongs wait", len(s.out.pongs))
	}
}
