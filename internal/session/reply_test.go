package session

import (
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestReplyThatCannotBeSent is replaced by an error, and the session lives (A65).
func TestReplyThatCannotBeSent(t *testing.T) {
	small := limited(func(l *Limits) { l.MessageBytes = 100_000 })
	pairs := func(bytes int) []wire.Metadata {
		return []wire.Metadata{{Key: "k", Value: strings.Repeat("v", bytes-9)}}
	}
	for _, test := range []struct {
		name  string
		reply Reply
		want  codes.Code // OK: it is sent as it is
	}{
		{"as large as allowed", Reply{Payload: make([]byte, 100_000), Encoding: wire.Proto}, codes.OK},
		{"too large", Reply{Payload: make([]byte, 100_001), Encoding: wire.Proto}, codes.ResourceExhausted},
		{"JSON that does not fit a frame", Reply{Payload: make([]byte, 600_000), Encoding: wire.JSON}, codes.ResourceExhausted},
		{"as much metadata as allowed", Reply{Header: pairs(32 << 10), Trailer: pairs(32 << 10)}, codes.OK},
		{"too much metadata", Reply{Header: pairs(32 << 10), Trailer: pairs(32<<10 + 1)}, codes.ResourceExhausted},
		{"a status larger than a frame", Reply{Status: &spb.Status{Code: 13, Message: strings.Repeat("x", 2<<20)}}, codes.ResourceExhausted},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPeer(t, limited(), small)
			p.send(ask(1, "a", ""))
			test.reply.ID = 1
			p.s.Reply(&test.reply)
			got := p.drain()
			if len(got) == 0 || got[0].Kind != wire.KindReply || got[0].ID != 1 {
				t.Fatalf("written %+v, want a reply", got)
			}
			if code := codes.Code(got[0].Status.GetCode()); code != test.want {
				t.Fatalf("the status is %v, want %v", got[0].Status, test.want)
			}
			if test.want != codes.OK {
				e := endpoint.ErrorFromStatus(got[0].Status)
				if e.Reason != endpoint.ReasonTooLarge || e.Execution != endpoint.MayHaveExecuted {
					t.Errorf("the asker is told %v, want too large, may have executed", e)
				}
			}
			p.alive()
		})
	}
}

// TestManyRepliesShareFrames: but so many only that the first ones need not wait for the last one.
func TestManyRepliesShareFrames(t *testing.T) {
	const most, n = 100, 250
	p := newPeer(t, limited(), limited())
	for id := uint64(1); id <= n; id++ {
		p.send(ask(id, "a", ""))
	}
	for id := uint64(1); id <= n; id++ {
		p.s.Reply(&Reply{ID: id, Payload: []byte("x"), Encoding: wire.Proto})
		if whole := id > most; p.s.HasBatch() != whole {
			t.Fatalf("after %d replies HasBatch is %t", id, !whole)
		}
	}
	var next uint64
	for _, want := range []uint64{most, most, n - 2*most} {
		got := p.next().envelopes
		for _, e := range got {
			if next++; e.Kind != wire.KindReply || e.ID != next {
				t.Fatalf("written %+v, want reply %d", e, next)
			}
		}
		if uint64(len(got)) != want {
			t.Fatalf("%d replies in a frame, want %d", len(got), want)
		}
	}
	p.alive()
}

// TestRepliesAreCountedByFrame: where a frame is full before, the count begins anew with the next.
func TestRepliesAreCountedByFrame(t *testing.T) {
	p := newPeer(t, limited(), limited())
	reply := func(id uint64, bytes int) {
		p.send(ask(id, "a", ""))
		p.s.Reply(&Reply{ID: id, Payload: make([]byte, bytes), Encoding: wire.Proto})
	}
	id := uint64(0)
	for !p.s.HasBatch() { // the last one begins the second frame
		id++
		reply(id, 500)
	}
	for range 100 - 1 {
		id++
		reply(id, 1)
	}
	p.next()
	if p.s.HasBatch() {
		t.Fatal("the second frame was ended before it had 100 replies")
	}
	id++
	reply(id, 1)
	if !p.s.HasBatch() {
		t.Fatal("the second frame was not ended after 100 replies")
	}
}

// TestRepliesThatNobodyReadsTakeNoMoreRoom: what is bounded is the bytes of replies, so their buffers must not be much larger.
func TestRepliesThatNobodyReadsTakeNoMoreRoom(t *testing.T) {
	p := newPeer(t, limited(), limited())
	id := uint64(0)
	answer := func(r *Reply) {
		id++
		p.send(&wire.Envelope{Kind: wire.KindLookup, ID: id, Target: wire.Target{Endpoint: "a"}})
		r.ID = id
		p.s.Reply(r)
	}
	for range 2 {
		answer(&Reply{Payload: make([]byte, MostWhole), Encoding: wire.Proto})
	}
	p.drain() // the last that the peer reads
	for range 50_000 {
		answer(&Reply{})
	}
	room := cap(p.s.out.open.body.Bytes)
	for _, b := range p.s.out.ready {
		room += cap(b.body.Bytes)
	}
	if room > 2*p.s.out.queued {
		t.Errorf("%d bytes of buffers for %d bytes of replies", room, p.s.out.queued)
	}
}

// TestManyRepliesBesideALargeOne: chunks take turns with as many bytes of replies, in however many frames these are.
func TestManyRepliesBesideALargeOne(t *testing.T) {
	p := newPeer(t, limited(), limited())
	const n = 1000
	for id := uint64(1); id <= n+1; id++ {
		p.send(ask(id, "a", ""))
	}
	p.s.Reply(&Reply{ID: n + 1, Payload: make([]byte, 8<<20), Encoding: wire.Proto})
	p.next() // it begins
	for id := uint64(1); id <= n; id++ {
		p.s.Reply(&Reply{ID: id, Payload: []byte("x"), Encoding: wire.Proto})
	}
	small, chunks := 0, 0
	for small < n {
		for _, e := range p.next().envelopes {
			switch {
			case e.Kind == wire.KindChunk:
				chunks++
			case e.ID <= n:
				small++
			}
		}
	}
	if chunks > 2 {
		t.Errorf("%d chunks came before the last of %d small replies, want 2 at the most", chunks, n)
	}
	if w := p.next(); w.envelopes[0].Kind != wire.KindChunk {
		t.Errorf("after the small replies came %+v, want a chunk", w.envelopes)
	}
}

// TestRepliesThatNobodyReads are bounded: from a limit on they are replaced by short errors, and a peer that goes on asking
// without reading loses its session.
func TestRepliesThatNobodyReads(t *testing.T) {
	p := newPeer(t, limited(), limited())
	data := make([]byte, 1<<20)
	replaced := uint64(0)
	for id := uint64(1); id <= 200; id++ {
		for _, ev := range p.send(ask(id, "a", "")) {
			p.s.Take(ev.Account, ev.Cost)
		}
		r := &Reply{ID: id, Payload: data, Encoding: wire.Proto}
		p.s.Reply(r)
		if r.Status != nil && replaced == 0 {
			replaced = id
		}
	}
	if replaced < 60 || replaced > 70 {
		t.Fatalf("reply %d of 1 MiB was the first to be replaced, want the 65th or so", replaced)
	}
	n := 0
	for _, e := range p.drain() {
		if e.Kind == wire.KindReply {
			n++
		}
	}
	if n != 200 {
		t.Fatalf("%d replies were written, want 200", n)
	}
	p.alive()
}

func TestPeerThatNeverReads(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.s.out.largeReplies = unreadBytes - 10_000 // as if as much of large replies waited
	for id := uint64(1); ; id++ {
		events, v := p.try(&wire.Envelope{Kind: wire.KindLookup, ID: id, Target: wire.Target{Endpoint: "a"}})
		if v != nil {
			p.wantViolation(v, "A69", codes.ResourceExhausted)
			return
		}
		p.s.Reply(&Reply{ID: events[0].ID})
		if id > 10_000 {
			t.Fatal("answers that nobody reads grow without end")
		}
	}
}

// TestAskerBoundsLargeReplies: when too many bytes of replies are under way, the one ask fails, and its chunks are not kept.
func TestAskerBoundsLargeReplies(t *testing.T) {
	p := newPeer(t, limited(func(l *Limits) { l.TransferBytes = 50_000 }), limited())
	var asks []*Ask
	for range 3 {
		q := asking("a", nil)
		p.post(q)
		asks = append(asks, q.Ask)
	}
	p.drain()
	p.send(inChunks(reply(1, ""), 1, 60_000)) // overdraws
	events := p.send(inChunks(reply(2, ""), 2, 60_000))
	if len(events) != 1 || events[0].Ask != asks[1] || events[0].Refused == nil {
		t.Fatalf("%+v, want ask 2 refused", events)
	}
	if e := events[0].Refused; e.Reason != endpoint.ReasonOverloaded || e.Execution != endpoint.MayHaveExecuted || e.Setting == "" {
		t.Fatalf("refused with %v", e)
	}
	half := string(make([]byte, 30_000))
	p.send(chunk(2, half))
	p.send(chunk(1, half))
	if held := p.s.in.transfers[2].room(); held != 0 {
		t.Errorf("%d bytes of the refused reply are held", held)
	}
	if events := p.send(chunk(2, half)); len(events) != 0 {
		t.Fatalf("the end of a refused reply gave %+v", events)
	}
	if events := p.send(chunk(1, half)); len(events) != 1 || events[0].Ask != asks[0] || len(events[0].Payload) != 60_000 {
		t.Fatalf("%+v, want the first reply", events)
	}
	p.send(inChunks(reply(3, ""), 3, 30_000)) // there is room again
	if events := p.send(chunk(3, half)); len(events) != 1 || events[0].Ask != asks[2] || events[0].Refused != nil {
		t.Fatalf("%+v, want the third reply", events)
	}
	if problem := leftovers(p.s); problem != "" {
		t.Error(problem)
	}
}

func TestLateReplyA46(t *testing.T) {
	p := newPeer(t, limited(), limited())
	q := asking("a", nil)
	p.post(q)
	p.drain()
	if _, pending := p.s.Abandon(q.Ask); !pending {
		t.Fatal("the ask was not pending")
	}
	if got := p.drain(); len(got) != 1 || got[0].Kind != wire.KindCancel || got[0].ID != 1 {
		t.Fatalf("written %+v, want a cancel", got)
	}
	for range 2 {
		if events := p.send(reply(1, "late")); len(events) != 0 {
			t.Fatalf("a late reply gave %+v", events)
		}
	}
	p.send(reply(99, "to nothing"))
	p.send(inChunks(reply(99, ""), 1, 10))
	p.send(chunk(1, "0123456789"))
	p.counted(Counters{LateReplies: 4})
	p.alive()
	if problem := leftovers(p.s); problem != "" {
		t.Error(problem)
	}
}

func TestSecondReplyA46(t *testing.T) {
	p := newPeer(t, limited(), limited())
	q := asking("a", nil)
	p.post(q)
	p.drain()
	events := p.send(reply(1, "first"), reply(1, "second"))
	if len(events) != 1 || events[0].Ask != q.Ask || string(events[0].Payload) != "first" {
		t.Fatalf("%+v, want the first reply only", events)
	}
	if _, pending := p.s.Abandon(q.Ask); pending {
		t.Error("an ask that was answered can be abandoned")
	}
	p.counted(Counters{LateReplies: 1})
}

func TestReplyWithStatus(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.post(asking("a", nil))
	p.drain()
	events := p.send(failedReply(1, codes.AlreadyExists))
	if len(events) != 1 || codes.Code(events[0].Status.GetCode()) != codes.AlreadyExists {
		t.Fatalf("%+v", events)
	}
}

// TestAbandonedAsksCount: the peer counts an ask until it has answered, so this side does, too.
func TestAbandonedAsksCount(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.Pending = 2 }))
	for range 2 {
		q := asking("a", nil)
		p.post(q)
		p.drain()
		p.s.Abandon(q.Ask)
	}
	if accepted, err := p.s.Post(asking("a", nil)); accepted || err == nil || err.Reason != endpoint.ReasonOverloaded {
		t.Fatalf("Post = %t, %v with 2 asks that the peer has not answered", accepted, err)
	}
	p.send(reply(1, ""))
	p.post(asking("a", nil))
	given := asking("a", large(1))
	p.send(reply(2, ""))
	p.post(given)
	p.s.Abandon(given.Ask) // aborted: it is not answered
	p.post(asking("a", nil))
}
