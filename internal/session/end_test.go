package session

import (
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

var errEnded = &endpoint.Error{Reason: endpoint.ReasonSessionEnded, Text: "the stream broke"}

func TestAsksExpireInOrder(t *testing.T) {
	p := newPeer(t, limited(), limited())
	var asks []*Ask
	for i := range 5 {
		q := asking("a", nil)
		q.Ask.Expires = epoch.Add(time.Duration(i/2) * time.Second)
		p.post(q)
		asks = append(asks, q.Ask)
	}
	forEver := asking("a", nil)
	p.post(forEver)
	p.drain()
	p.send(reply(4, "")) // leaves the middle of the list
	if expired := p.s.Tick(epoch.Add(-time.Nanosecond)); len(expired) != 0 {
		t.Fatalf("%d asks expired too early", len(expired))
	}
	for _, step := range []struct {
		at   time.Duration
		want []int // of asks
	}{
		{0, []int{0, 1}}, {time.Second, []int{2}}, {time.Hour, []int{4}}, {2 * time.Hour, nil},
	} {
		if len(step.want) > 0 {
			if d := p.s.Deadline(); d.After(epoch.Add(step.at)) || d.IsZero() {
				t.Fatalf("Deadline = %v", d)
			}
		}
		expired := p.s.Tick(epoch.Add(step.at))
		if len(expired) != len(step.want) {
			t.Fatalf("at %v %d asks expired, want %v", step.at, len(expired), step.want)
		}
		cancels := p.drain()
		for i, u := range expired {
			if u.Ask != asks[step.want[i]] {
				t.Errorf("at %v another ask expired than %d", step.at, step.want[i])
			}
			if cancels[i].Kind != wire.KindCancel || cancels[i].ID != uint64(step.want[i]+1) {
				t.Errorf("written %+v, want a cancel of %d", cancels[i], step.want[i]+1)
			}
		}
	}
	if p.s.Pending() != 1 || !p.s.Deadline().IsZero() {
		t.Errorf("%d asks are pending, deadline %v, want the one without an end", p.s.Pending(), p.s.Deadline())
	}
}

// TestEndSaysWhatMayHaveExecuted: what was never written, or not wholly, has not.
func TestEndSaysWhatMayHaveExecuted(t *testing.T) {
	p := newPeer(t, limited(), limited())
	post := func(payload []byte) *Ask {
		q := asking("a", payload)
		p.post(q)
		return q.Ask
	}
	whole := post(make([]byte, MostWhole+1))
	p.drain()
	written := post(nil)
	lookup := &Ask{Done: noReply{}}
	if err := p.s.Lookup(lookup, "", "a", ""); err != nil {
		t.Fatal(err)
	}
	p.next()
	begun := post(make([]byte, 3*MostWhole))
	p.next()
	p.next()
	q := asking("b", nil)
	p.post(q)
	want := map[*Ask]endpoint.Execution{
		whole: endpoint.MayHaveExecuted, written: endpoint.MayHaveExecuted, lookup: endpoint.MayHaveExecuted,
		begun: endpoint.NotExecuted, q.Ask: endpoint.NotExecuted,
	}
	asks := p.s.End(errEnded)
	if len(asks) != len(want) {
		t.Fatalf("%d asks, want %d", len(asks), len(want))
	}
	for i, u := range asks {
		if u.Execution != want[u.Ask] {
			t.Errorf("ask %d: %v, want %v", i, u.Execution, want[u.Ask])
		}
		delete(want, u.Ask)
	}
	if len(want) != 0 {
		t.Errorf("%d asks were not failed", len(want))
	}
	if asks := p.s.End(errEnded); len(asks) != 0 {
		t.Errorf("ending again fails %d asks", len(asks))
	}
	if accepted, err := p.s.Post(sending("a", nil)); accepted || err == nil || err.Execution != endpoint.NotExecuted {
		t.Errorf("Post after the end = %t, %v", accepted, err)
	}
	if err := p.s.Lookup(&Ask{Done: noReply{}}, "", "a", ""); err == nil || err.Execution != endpoint.NotExecuted {
		t.Errorf("Lookup after the end = %v", err)
	}
	if p.s.Pending() != 0 {
		t.Errorf("%d asks are pending after the end", p.s.Pending())
	}
}

// TestByeIsLast: what was accepted before is written first, large messages and replies included.
func TestByeIsLast(t *testing.T) {
	p := newPair(t, limited(func(l *Limits) { l.Transfers = 1 }), limited())
	for range 3 {
		p.side[0].Post(asking("a", nil))
	}
	p.settle()
	for _, ev := range p.take(1) {
		p.side[1].Reply(&Reply{ID: ev.ID, Payload: large(1), Encoding: wire.Proto})
	}
	p.side[1].Post(sending("b", []byte("small")))
	p.side[1].Bye(errEnded)
	if accepted, err := p.side[1].Post(sending("b", nil)); accepted || err == nil || err.Reason != endpoint.ReasonSessionEnded {
		t.Fatalf("Post after Bye = %t, %v", accepted, err)
	}
	p.settle()
	events := p.take(0)
	if len(events) != 5 || events[4].Kind != wire.KindBye || events[4].Status == nil {
		t.Fatalf("%d events arrived, want a send, three replies, and a bye behind them", len(events))
	}
	if n := p.side[0].Counters().LateFrames; n != 0 {
		t.Errorf("%d frames came after the bye", n)
	}
	if !p.side[1].Idle() || p.side[1].HasFrame() {
		t.Error("something is left to write after the bye")
	}
	p.side[1].Bye(errEnded)
	if p.side[1].NextFrame(p.now) != nil {
		t.Error("a second bye was written")
	}
}

func TestEndAfterByeKeepsItsReason(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.post(asking("a", nil))
	stopped := &endpoint.Error{Reason: endpoint.ReasonEnvStopped}
	p.s.Bye(stopped)
	p.drain()
	asks := p.s.End(errEnded)
	if e := p.s.Over(); len(asks) != 1 || e.Reason != endpoint.ReasonEnvStopped || asks[0].Execution != endpoint.MayHaveExecuted {
		t.Fatalf("%v, %v, want that the Env was stopped", asks, e)
	}
}

func TestFrameAfterByeA43(t *testing.T) {
	p := newPeer(t, limited(), limited())
	events := p.send(send("a", "1"), &wire.Envelope{Kind: wire.KindBye}, send("a", "2"))
	if len(events) != 2 || events[1].Kind != wire.KindBye {
		t.Fatalf("%+v, want a message and a bye", events)
	}
	if events := p.send(send("a", "3")); len(events) != 0 {
		t.Fatalf("after the bye: %+v", events)
	}
	p.counted(Counters{LateFrames: 1})
}

// TestReplyAfterTheEnd is dropped, and counts as an answer all the same.
func TestReplyAfterTheEnd(t *testing.T) {
	p := newPeer(t, limited(), limited())
	p.send(ask(1, "a", ""))
	p.s.End(errEnded)
	p.s.Reply(&Reply{ID: 1, Payload: make([]byte, 100_000), Encoding: wire.Proto})
	if p.s.OpenAsks() != 0 || p.s.out.queued+p.s.out.largeReplies != 0 {
		t.Errorf("%d asks open, %d bytes queued", p.s.OpenAsks(), p.s.out.queued+p.s.out.largeReplies)
	}
}

// TestEndForgetsLargeMessages: Refs and futures keep a session that is over, and it keeps nothing large.
func TestEndForgetsLargeMessages(t *testing.T) {
	p := newPair(t, limited(), limited())
	q := asking("a", make([]byte, 20*MostWhole))
	p.post(0, q)
	for range 10 {
		p.step(0)
	}
	for i, s := range p.side {
		s.End(errEnded)
		if s.Kept() > 10*named || len(s.in.transfers) != 0 {
			t.Errorf("side %d keeps %d bytes, and %d parts of messages", i, s.Kept(), len(s.in.transfers))
		}
		for key, a := range s.out.accounts.All() {
			if a.transfer != nil {
				t.Errorf("side %d keeps a message to %s", i, key.endpoint)
			}
		}
	}
	if q.Ask.transfer != nil {
		t.Error("the ask keeps its message")
	}
}
