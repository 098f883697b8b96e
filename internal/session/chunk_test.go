package session

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/wire"
)

// large returns a payload, as large as one in one piece may be, that is like no other with a different seed.
func large(seed byte) []byte {
	b := make([]byte, wire.MostUndivided)
	rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return b
}

// TestSmallPassLarge: messages to other endpoints are not held up by a large one, at most by one chunk each.
func TestSmallPassLarge(t *testing.T) {
	for _, test := range []struct {
		name string
		post func(s *Session, payload []byte) // of a, so that b gets something large
	}{
		{"ask", func(s *Session, payload []byte) { s.Post(asking("large", payload)) }},
		{"send", func(s *Session, payload []byte) { s.Post(sending("large", payload)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, limited(), limited())
			payload := large(1)
			test.post(p.side[0].Session, payload)
			for i := range 10 {
				p.post(0, sending("small", []byte{byte(i)}))
				p.step(0)
				p.step(0)
				events := p.take(1)
				if len(events) != 1 || events[0].To.Endpoint != "small" || events[0].Payload[0] != byte(i) {
					t.Fatalf("after two frames %d messages have come, want the small one", len(events))
				}
			}
			p.settle()
			events := p.take(1)
			if len(events) != 1 || events[0].To.Endpoint != "large" || events[0].Encoding != wire.Proto || !bytes.Equal(events[0].Payload, payload) {
				t.Fatalf("%d events, want the large message, unchanged", len(events))
			}
			if events[0].Kind == wire.KindAsk {
				p.side[1].Reply(&Reply{ID: events[0].ID})
			}
			p.settle()
			p.idle()
		})
	}
}

// TestLargeReplies: replies in chunks mix with small ones, and more of them than transfers are allowed wait for their turn.
func TestLargeReplies(t *testing.T) {
	p := newPair(t, limited(func(l *Limits) { l.Transfers = 2 }), limited())
	const n = 6
	asks := map[*Ask]byte{}
	for i := range n {
		q := asking("a", []byte{byte(i)})
		asks[q.Ask] = byte(i)
		p.post(0, q)
	}
	small := asking("a", []byte{n})
	asks[small.Ask] = n
	p.side[0].Post(small)
	p.settle()
	for _, ev := range p.take(1) {
		r := &Reply{ID: ev.ID, Encoding: wire.Proto, Payload: []byte("small")}
		if ev.Payload[0] < n {
			r.Payload = large(ev.Payload[0])
		}
		p.side[1].Reply(r)
	}
	most := 0
	for p.step(1) {
		most = max(most, len(p.side[0].in.transfers))
	}
	if most != 2 {
		t.Errorf("%d transfers were under way at a time, want 2", most)
	}
	events := p.take(0)
	if len(events) != n+1 || events[0].Ask != small.Ask {
		t.Fatalf("%d replies, want %d, the small one first", len(events), n+1)
	}
	for _, ev := range events[1:] {
		if !bytes.Equal(ev.Payload, large(asks[ev.Ask])) {
			t.Errorf("the reply to ask %d is not what was sent", asks[ev.Ask])
		}
	}
	p.settle()
	p.idle()
}

// TestOrderBehindLarge: what is sent to the same endpoint after a large message waits until it is written.
func TestOrderBehindLarge(t *testing.T) {
	p := newPair(t, limited(), limited(window(10, 4<<20)))
	payload := large(2)
	a := p.side[0]
	a.Post(sending("x", []byte("before")))
	a.Post(sending("x", payload))
	after := waiting(t, a.Session, sending("x", []byte("after")))
	woken := false
	for p.step(0) {
		if turn(after.Waiter) {
			ok, err := a.Post(after)
			if err != nil {
				t.Fatal(err)
			}
			woken = woken || ok
		}
	}
	if !woken {
		t.Fatal("the message behind was not woken when the last chunk was written")
	}
	var got []int
	for _, ev := range p.take(1) {
		got = append(got, len(ev.Payload))
	}
	if len(got) != 3 || got[0] != 6 || got[1] != len(payload) || got[2] != 5 {
		t.Fatalf("payloads of %v bytes arrived, want 6, %d, 5", got, len(payload))
	}
	p.settle()
	p.idle()
}

// TestTransfersTakeTurns: two large messages to two endpoints end at about the same time.
func TestTransfersTakeTurns(t *testing.T) {
	p := newPair(t, limited(), limited())
	p.side[0].Post(sending("x", large(1)))
	p.side[0].Post(sending("y", large(2)))
	for len(p.side[1].events) == 0 && p.step(0) {
	}
	p.step(0)
	if n := len(p.side[1].events); n != 2 {
		t.Fatalf("one frame after the first large message %d are whole, want both", n)
	}
}

func TestExactSizes(t *testing.T) {
	for _, size := range []int{0, 1, MostWhole - 1, MostWhole, MostWhole + 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2*chunkBytes - 1, 2 * chunkBytes, 2*chunkBytes + 1} {
		p := newPair(t, limited(), limited())
		payload := large(3)[:size]
		p.side[0].Post(asking("x", payload))
		p.settle()
		events := p.take(1)
		if len(events) != 1 || !bytes.Equal(events[0].Payload, payload) {
			t.Fatalf("%d bytes: %d messages arrived", size, len(events))
		}
		p.side[1].Reply(&Reply{ID: 1, Payload: payload, Encoding: wire.Proto})
		p.settle()
		if events := p.take(0); len(events) != 1 || !bytes.Equal(events[0].Payload, payload) {
			t.Fatalf("%d bytes: %d replies arrived", size, len(events))
		}
		p.settle()
		p.idle()
	}
}

// mostFrame is how long a frame can be: its body, and a head with as many credits as one has, of the longest names.
const mostFrame = batchBytes + (creditsPerFrame+1)*350

// TestFramesAreBounded: a batch keeps to its size, and a chunk fits two HTTP/2 DATA frames, 5 bytes of which are gRPC's.
func TestFramesAreBounded(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(send("a", "for the ack"))
	p.post(sending("x", large(1)))
	small := large(2)
	for i := range 2000 {
		p.s.Post(sending("y", small[:i%50]))
	}
	for w := p.next(); w != nil; w = p.next() {
		if w.size > mostFrame || w.envelopes[0].Kind == wire.KindChunk && w.size > 2*16_384-5 {
			t.Fatalf("a frame of %d bytes with %v", w.size, w.envelopes[0].Kind)
		}
	}
}

// TestAbandonInTransfer: an ask given up before its last chunk is aborted, has not run, and all its charges come back.
func TestAbandonInTransfer(t *testing.T) {
	for frames := range 4 { // how many frames are written before
		p := newPair(t, limited(), limited())
		a, b := p.side[0], p.side[1]
		q := asking("x", large(4))
		a.Post(q)
		behind := waiting(t, a.Session, sending("x", []byte("behind")))
		for range frames {
			p.step(0)
		}
		if _, pending := a.Abandon(q.Ask); !pending {
			t.Fatal("the ask was not pending")
		}
		if _, pending := a.Abandon(q.Ask); pending {
			t.Fatal("the ask was pending twice")
		}
		if !turn(behind.Waiter) {
			t.Fatal("who waited behind the large message was not woken")
		}
		if ok, err := a.Post(behind); !ok || err != nil {
			t.Fatal(ok, err)
		}
		p.settle()
		events := p.take(1)
		if len(events) != 1 || string(events[0].Payload) != "behind" {
			t.Fatalf("after %d frames and an abort: %+v", frames, events)
		}
		p.settle()
		p.idle()
		if c := b.Counters(); c.LateChunks != 0 || c.LateCancels != 0 {
			t.Errorf("counters %+v", c)
		}
		if n := b.Counters().FramesIn; n > uint64(frames)+1 {
			t.Errorf("%d frames arrived where %d had been written before the abort", n, frames)
		}
	}
}

// TestCancelAfterTransfer: from the last chunk on, an ask is cancelled, not aborted.
func TestCancelAfterTransfer(t *testing.T) {
	p := newPair(t, limited(), limited())
	q := asking("x", large(4))
	p.side[0].Post(q)
	for p.step(0) {
	}
	p.side[0].Abandon(q.Ask)
	p.settle()
	events := p.take(1)
	if len(events) != 2 || events[0].Kind != wire.KindAsk || events[1].Kind != wire.KindCancel || events[1].ID != events[0].ID {
		t.Fatalf("%+v, want the ask and its cancel", events)
	}
	p.side[1].Reply(&Reply{ID: events[0].ID})
	p.settle()
	p.idle()
	if c := p.side[0].Counters(); c.LateReplies != 1 {
		t.Errorf("%d late replies, want 1", c.LateReplies)
	}
}

// TestAbortReturnsAllCredit by hand: the totals after it are those after a message that was taken.
func TestAbortReturnsAllCredit(t *testing.T) {
	p := newPeer(t, limited(), limited())
	start, part := inChunks(ask(1, "x", ""), 1, 100_000), chunk(1, string(make([]byte, 9000)))
	p.send(start)
	p.send(part)
	if p.s.OpenAsks() != 1 {
		t.Fatal("the ask is not open")
	}
	if events := p.send(&wire.Envelope{Kind: wire.KindAbort, ID: 1}); len(events) != 0 {
		t.Fatalf("an abort gave %+v", events)
	}
	w := p.next()
	want := map[wire.Credit]bool{
		{Bytes: p.s.own.SessionBytes + uint64(start.Size()), TransferBytes: p.s.own.TransferBytes + 100_000}:                   true,
		{Endpoint: "x", Messages: p.s.own.MailboxMessages + 1, Bytes: p.s.own.MailboxBytes + uint64(start.Size()+part.Size())}: true,
	}
	if len(w.Credits) != 2 || !want[w.Credits[0]] || !want[w.Credits[1]] || w.Credits[0] == w.Credits[1] {
		t.Fatalf("credit %+v, want %+v", w.Credits, want)
	}
	if len(w.envelopes) != 0 {
		t.Fatalf("an aborted ask is answered: %+v", w.envelopes)
	}
	if problem := leftovers(p.s); problem != "" {
		t.Error(problem)
	}
}

func TestAbortedReply(t *testing.T) {
	for _, test := range []struct {
		status *spb.Status
		want   codes.Code
	}{
		{nil, codes.Unavailable},
		{&spb.Status{Code: int32(codes.DataLoss), Message: "why"}, codes.DataLoss},
	} {
		p := newPeer(t, limited(), limited())
		q := asking("a", nil)
		p.post(q)
		p.drain()
		p.send(inChunks(reply(1, ""), 1, 50_000))
		p.send(chunk(1, "begin"))
		events := p.send(&wire.Envelope{Kind: wire.KindAbort, ID: 1, Status: test.status})
		if len(events) != 1 || events[0].Ask != q.Ask || codes.Code(events[0].Status.GetCode()) != test.want || len(events[0].Payload) != 0 {
			t.Fatalf("%+v, want one reply with %v", events, test.want)
		}
		if problem := leftovers(p.s); problem != "" {
			t.Error(problem)
		}
	}
}

// TestHalfClosedInTransfer: an unfinished transfer counts as aborted, so that the ask does not keep the stream open.
func TestHalfClosedInTransfer(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(inChunks(ask(1, "x", ""), 1, 100_000), inChunks(send("y", ""), 2, 100_000))
	p.send(chunk(1, "some"), chunk(2, "some"))
	p.send(ask(2, "x", ""))
	p.s.HalfClosed(errEnded)
	if n := p.s.OpenAsks(); n != 1 {
		t.Fatalf("%d asks are open, want the whole one", n)
	}
}

// TestHugeTransferTakesNoMemory: what a peer tells is not what it gets.
func TestHugeTransferTakesNoMemory(t *testing.T) {
	p := newPeer(t, limited(func(l *Limits) { l.TransferBytes, l.Transfers = 1<<62, 1000 }), limited())
	p.s.limit(func(own, _ *Limits) { own.MessageBytes = 1 << 40 })
	for i := range uint64(64) {
		p.send(inChunks(send("x", ""), i+1, 1<<40))
		p.send(chunk(i+1, "x"))
	}
	held := 0
	for _, partial := range p.s.in.transfers {
		held += partial.room() + partial.held()
	}
	if held > 64*reservedTransfer {
		t.Fatalf("%d bytes are held for 64 transfers of which a byte has come", held)
	}
}

// TestPartsAreKept: a message that comes in parts is whole in the end, and its bytes count as kept until then.
func TestPartsAreKept(t *testing.T) {
	p := newPair(t, limited(), limited())
	payload := append(large(1), large(2)...)
	p.side[0].Post(sending("x", payload))
	for most := uint64(0); len(p.side[1].events) == 0; {
		if !p.step(0) {
			t.Fatal("the message does not come")
		}
		kept := p.side[1].Kept() - p.side[1].in.namesBytes
		if len(p.side[1].events) == 0 && p.side[1].in.transfers[1] != nil && (kept < most || kept != p.side[1].in.transfers[1].got) {
			t.Fatalf("%d bytes are kept, of %d that have come", kept, p.side[1].in.transfers[1].got)
		}
		most = kept
	}
	if kept := p.side[1].Kept() - p.side[1].in.namesBytes; kept != 0 {
		t.Errorf("%d bytes count as kept when the message is whole", kept)
	}
	events := p.take(1)
	if len(events) != 1 || len(events[0].Payload) != 0 || events[0].Parts == nil || !bytes.Equal(piecewise.Join(events[0].Parts), payload) {
		t.Errorf("%d events, want the message in parts", len(events))
	}
	p.settle()
	p.idle()
}

// TestRefusedTransferIsNotKept: the bytes of a message that is not going to be handled are dropped as they come.
func TestRefusedTransferIsNotKept(t *testing.T) {
	p := newPeer(t, limited(), limited())
	bad := inChunks(ask(1, "no name\x00", ""), 1, 20_000)
	p.send(bad)
	p.send(chunk(1, string(make([]byte, 10_000))))
	if held := p.s.in.transfers[1].room(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
	events := p.send(chunk(1, string(make([]byte, 10_000))))
	if len(events) != 1 || events[0].ID != 1 || events[0].Refused == nil || events[0].Refused.Reason != endpoint.ReasonInvalid {
		t.Fatalf("%+v, want a refused ask", events)
	}
	p.s.Take(events[0].Account, events[0].Cost)
	p.s.Reply(&Reply{ID: 1})
	p.drain()
	if problem := leftovers(p.s); problem != "" {
		t.Error(problem)
	}
}

// TestJSONIsNotCut, however long it is.
func TestJSONIsNotCut(t *testing.T) {
	p := newPair(t, limited(), limited())
	text := bytes.Repeat([]byte("x"), 100_000)
	p.side[0].Post(&Posting{Ask: &Ask{Done: noReply{}}, Target: to("a"), Payload: text, Encoding: wire.JSON})
	p.settle()
	events := p.take(1)
	if len(events) != 1 || events[0].Encoding != wire.JSON || !bytes.Equal(events[0].Payload, text) {
		t.Fatalf("%d events, encoding %v", len(events), events[0].Encoding)
	}
	p.side[1].Reply(&Reply{ID: events[0].ID, Payload: text, Encoding: wire.JSON})
	p.settle()
	events = p.take(0)
	if len(events) != 1 || events[0].Encoding != wire.JSON || !bytes.Equal(events[0].Payload, text) {
		t.Fatalf("%d replies, want one in JSON", len(events))
	}
}

// TestTransferIDsRise in the order in which transfers start, though a reply waits for its turn and a send does not.
func TestTransferIDsRise(t *testing.T) {
	p := newPair(t, limited(), limited())
	p.side[0].Post(asking("x", nil))
	p.settle()
	ev := p.take(1)[0]
	p.side[1].Reply(&Reply{ID: ev.ID, Payload: large(1), Encoding: wire.Proto})
	p.post(1, sending("y", large(2)))
	p.settle()
	if events := p.take(0); len(events) != 2 {
		t.Fatalf("%d messages arrived, want 2", len(events))
	}
	p.settle()
	p.idle()
}

// TestRemainingOfChunks: the time of an ask runs while its chunks come.
func TestRemainingOfChunks(t *testing.T) {
	p := newPeer(t, limited(), limited())
	for id, micros := range map[uint64]uint64{1: 1_000_000, 2: 40_000_000} {
		p.send(&wire.Envelope{Kind: wire.KindAsk, ID: p.number + 1, Text: true, Target: to("a"), RemainingMicros: micros, Encoding: wire.Transfer, Transfer: p.number + 1, TransferSize: 20})
		began := p.number
		p.now = p.now.Add(30 * time.Second)
		ev := p.send(&wire.Envelope{Kind: wire.KindChunk, ID: began, Payload: make([]byte, 20)})
		want := max(micros, 30_000_001) - 30_000_000
		if ev[0].RemainingMicros != want {
			t.Errorf("ask %d has %d us left, want %d", id, ev[0].RemainingMicros, want)
		}
	}
}
