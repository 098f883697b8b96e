package session

import (
	"bytes"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// newStreaming returns a pair that carries streaming calls.
func newStreaming(t *testing.T, a, b Limits) *pair {
	p := newPair(t, a, b)
	for _, s := range p.side {
		s.CarryStreams()
	}
	return p
}

// streamWindow makes the first window of a call so many bytes.
func streamWindow(bytes uint64) func(*Limits) {
	return func(l *Limits) { l.StreamBytes = bytes }
}

// opening is a posting that opens a streaming call.
func opening(name string) *Posting {
	return &Posting{Ask: &Ask{Done: noReply{}, Stream: new(Stream)}, Target: to(name)}
}

// open lets side i open a call, which arrives and is taken. It returns the caller's ask and the callee's side.
func (p *pair) open(i int) (*Ask, *Stream) {
	p.Helper()
	q := opening("a")
	if accepted, err := p.side[i].Post(q); !accepted || err != nil {
		p.Fatalf("Post = %t, %v", accepted, err)
	}
	p.settle()
	for _, ev := range p.taken(1 - i) {
		if ev.Kind == wire.KindHeaders && ev.To != nil && ev.Refused == nil {
			return q.Ask, ev.Stream
		}
	}
	p.Fatal("no headers arrived")
	return nil, nil
}

// taken is take, and returns the credit of headers that open calls, too. That of messages is not returned.
func (p *pair) taken(i int) []Event {
	events := p.take(i)
	for _, ev := range events {
		if ev.Kind == wire.KindHeaders && ev.To != nil {
			p.side[i].Take(ev.Account, ev.Cost)
			p.side[i].StateCredit(ev.Account)
		}
	}
	return events
}

// say lets side i send a message of a call, which must be accepted at once.
func (p *pair) say(i int, st *Stream, payload []byte) {
	p.Helper()
	if accepted, err := p.side[i].PostMessage(st, Message{Payload: payload, Encoding: wire.Proto}, nil); !accepted || err != nil {
		p.Fatalf("PostMessage of %d bytes = %t, %v", len(payload), accepted, err)
	}
}

// fillCall sends small messages until there is no room, and returns how many were accepted.
func (p *pair) fillCall(i int, st *Stream) int {
	p.Helper()
	for n := 0; ; n++ {
		accepted, err := p.side[i].PostMessage(st, Message{Payload: []byte("12345678"), Encoding: wire.Proto}, nil)
		if err != nil {
			p.Fatal(err)
		}
		if !accepted {
			return n
		}
	}
}

// read reads the messages among events: their room comes free. It returns their payloads.
func (p *pair) read(i int, events []Event) [][]byte {
	var payloads [][]byte
	for _, ev := range events {
		if ev.Kind != wire.KindMessage {
			continue
		}
		payloads = append(payloads, ev.Payload)
		if p.side[i].TakeMessage(ev.Stream, ev.Cost) {
			p.side[i].StateWindow(ev.Stream)
		}
	}
	return payloads
}

// over checks that nothing is left of any call, at both sides.
func (p *pair) over() {
	p.Helper()
	p.settle()
	p.idle()
	for _, s := range p.side {
		if problem := unreturned(s.Session, nil); problem != "" && !s.Resumable() {
			p.Errorf("%s: %s", s.name, problem)
		}
	}
}

func kinds(events []Event) []wire.Kind {
	var k []wire.Kind
	for _, ev := range events {
		k = append(k, ev.Kind)
	}
	return k
}

// TestStreamingCall goes through a call of all kinds of envelope, by either side.
func TestStreamingCall(t *testing.T) {
	for caller := range 2 {
		p := newStreaming(t, limited(), limited())
		callee := 1 - caller
		a, st := p.open(caller)
		p.say(caller, a.Stream, []byte("1"))
		p.say(caller, a.Stream, large(1))
		p.side[caller].HalfClose(a.Stream)
		p.settle()
		events := p.taken(callee)
		if len(events) != 3 || events[0].Stream != st || string(events[0].Payload) != "1" || !bytes.Equal(events[1].Payload, large(1)) || events[2].Kind != wire.KindHalfClose {
			t.Fatalf("%v came, want two messages and a half-close", kinds(events))
		}
		p.read(callee, events)
		if err := p.side[callee].Headers(st, []wire.Metadata{{Key: "k", Value: "v"}}); err != nil {
			t.Fatal(err)
		}
		p.say(callee, st, []byte("2"))
		p.say(callee, st, large(2))
		p.side[callee].EndStream(st, nil, []wire.Metadata{{Key: "t", Value: "v"}})
		if n := p.side[callee].OpenAsks(); n != 1 {
			t.Errorf("%d calls are open while a large message is before the end, want 1", n)
		}
		p.settle()
		events = p.taken(caller)
		if len(events) != 4 || len(events[0].Metadata) != 1 || string(events[1].Payload) != "2" || !bytes.Equal(events[2].Payload, large(2)) ||
			events[3].Kind != wire.KindEnd || events[3].Ask != a || len(events[3].Trailer) != 1 || events[3].Status != nil {
			t.Fatalf("%v came, want headers, two messages and the end", kinds(events))
		}
		p.read(caller, events)
		if accepted, err := p.side[caller].PostMessage(a.Stream, Message{Encoding: wire.Proto}, nil); accepted || err == nil {
			t.Error("a message was accepted after the end")
		}
		p.over()
		for _, s := range p.side {
			if c := s.Counters(); c.LateReplies+c.LateMessages+c.LateChunks+c.LateCancels+c.StaleTotals != 0 {
				t.Errorf("%s has counted %+v", s.name, c)
			}
		}
	}
}

// TestWindowsOfTheTwoSides: call 1 of either side has windows of its own.
func TestWindowsOfTheTwoSides(t *testing.T) {
	p := newStreaming(t, limited(streamWindow(1000)), limited(streamWindow(1000)))
	a, atB := p.open(0)
	b, atA := p.open(1)
	if a.id != b.id {
		t.Fatalf("calls %d and %d, want the same number", a.id, b.id)
	}
	sides := []struct {
		i  int
		st *Stream
	}{{0, a.Stream}, {0, atA}, {1, b.Stream}, {1, atB}}
	for _, side := range sides {
		if n := p.fillCall(side.i, side.st); n == 0 {
			t.Fatal("nothing was accepted")
		}
	}
	p.settle()
	p.read(1, ofStream(p.taken(1), atB)) // what a has sent in its own call
	p.settle()
	for i, side := range sides {
		if n := p.fillCall(side.i, side.st); (n > 0) != (i == 0) {
			t.Errorf("after one side of one call has read, %d messages are accepted in another", n)
		}
	}
}

func ofStream(events []Event, st *Stream) []Event {
	var own []Event
	for _, ev := range events {
		if ev.Stream == st {
			own = append(own, ev)
		}
	}
	return own
}

// TestStreamWindow: messages may start while anything is left, whatever other windows have; what is read comes back after a quarter.
func TestStreamWindow(t *testing.T) {
	p := newStreaming(t, limited(), limited(streamWindow(1000), func(l *Limits) { l.SessionBytes, l.MailboxMessages, l.MailboxBytes = 100, 1, 1000 }))
	q := opening("a")
	if accepted, err := p.side[0].Post(q); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if accepted, err := p.side[0].Post(opening("a")); accepted || err != nil {
		t.Fatalf("a second call to a full mailbox: %t, %v", accepted, err)
	}
	p.say(0, q.Ask.Stream, make([]byte, 900)) // before the headers have gone out
	p.say(0, q.Ask.Stream, make([]byte, 5000))
	w := credit.NewWaiter()
	if accepted, err := p.side[0].PostMessage(q.Ask.Stream, Message{Encoding: wire.Proto}, w); accepted || err != nil {
		t.Fatalf("a message beyond the window: %t, %v", accepted, err)
	}
	p.settle()
	events := p.taken(1)
	p.settle()
	if turn(w) {
		t.Error("somebody was woken though nothing was read")
	}
	p.read(1, events[1:2])
	p.settle()
	if turn(w) {
		t.Error("somebody was woken though the window is overdrawn yet")
	}
	p.read(1, events[2:])
	p.settle()
	if !turn(w) {
		t.Fatal("nobody was woken when all was read")
	}
	if accepted, err := p.side[0].PostMessage(q.Ask.Stream, Message{Encoding: wire.Proto}, w); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	p.settle()
	p.read(1, p.taken(1))
	p.side[1].EndStream(events[0].Stream, nil, nil)
	p.over()
}

// TestQuarterOfStreamWindow: a window is not stated for less.
func TestQuarterOfStreamWindow(t *testing.T) {
	p := newPeer(t, limited(streamWindow(1000)), limited())
	p.s.CarryStreams()
	st := p.send(headers(1, "a"))[0].Stream
	got := uint64(0)
	for range 2 {
		m := says(1, string(make([]byte, 110)))
		ev := p.send(m)[0]
		if p.s.TakeMessage(st, ev.Cost) {
			p.s.StateWindow(st)
		}
		got += uint64(m.Size()) + besideBytes
		written := p.drain()
		if len(written) > 0 != (got >= 250) {
			t.Fatalf("after %d bytes %+v is written", got, written)
		}
		if got >= 250 && (written[0].Kind != wire.KindWindow || !written[0].FromCallee || written[0].WindowBytes != 1000+got || written[0].ID != 1) {
			t.Fatalf("%+v, want a window of %d, from the callee", written[0], 1000+got)
		}
	}
}

// TestNoWindowAfterHalfClose: what is read then is no reason to write, but once for a quarter of the window.
func TestNoWindowAfterHalfClose(t *testing.T) {
	p := newPeer(t, limited(streamWindow(5000)), limited())
	p.s.CarryStreams()
	st := p.send(headers(1, "a"))[0].Stream
	var costs []Cost
	for range 50 {
		costs = append(costs, p.send(says(1, "0123456789"))[0].Cost)
	}
	p.send(&wire.Envelope{Kind: wire.KindHalfClose, ID: 1})
	p.drain()
	frames := 0
	for _, c := range costs {
		if p.s.TakeMessage(st, c) {
			p.s.StateWindow(st)
		}
		for w := p.next(); w != nil; w = p.next() {
			if frames++; len(w.envelopes) > 0 {
				t.Fatalf("%+v is written after the half-close", w.envelopes)
			}
		}
	}
	if frames > 4 {
		t.Errorf("%d frames are written for 50 messages that are read", frames)
	}
}

// TestWindowInHeaders: one that comes with the headers of either side counts.
func TestWindowInHeaders(t *testing.T) {
	p := newPeer(t, limited(), limited(streamWindow(10)))
	p.s.CarryStreams()
	q := opening("a")
	p.post(q)
	p.drain()
	h := headers(1, "a")
	h.WindowBytes = 500
	st := p.send(h)[0].Stream
	p.send(&wire.Envelope{Kind: wire.KindHeaders, ID: 1, FromCallee: true, WindowBytes: 500})
	for _, st := range []*Stream{st, q.Ask.Stream} {
		for i := range 2 {
			if accepted, err := p.s.PostMessage(st, Message{Payload: make([]byte, 496), Encoding: wire.Proto}, nil); accepted != (i == 0) || err != nil {
				t.Errorf("message %d: %t, %v", i, accepted, err)
			}
		}
	}
}

// Envelopes of streaming calls, by hand.

func headers(id uint64, name string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindHeaders, ID: id, Text: true, Target: to(name)}
}

func says(id uint64, payload string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindMessage, ID: id, Encoding: wire.Proto, Payload: []byte(payload)}
}

func fromCallee(e *wire.Envelope) *wire.Envelope {
	e.FromCallee = true
	return e
}

// TestStreamLimit: the sender fails what would be more by itself, until a call has ended; one that is given up counts until then.
func TestStreamLimit(t *testing.T) {
	p := newStreaming(t, limited(), limited(func(l *Limits) { l.Streams = 2 }))
	a, st := p.open(0)
	p.open(0)
	for i := range 2 {
		if accepted, err := p.side[0].Post(opening("a")); accepted || err == nil || err.Reason != endpoint.ReasonOverloaded || err.Execution != endpoint.NotExecuted {
			t.Fatalf("a third call: %t, %v", accepted, err)
		}
		if i == 0 {
			p.side[0].Abandon(a)
		}
	}
	p.settle()
	p.side[1].EndStream(st, nil, nil)
	p.settle()
	p.open(0)
	if n := p.side[0].Pending(); n != 2 {
		t.Errorf("%d are pending, want 2", n)
	}
}

// TestLargeMessageOfCall takes the transfer window, which is back when it is read.
func TestLargeMessageOfCall(t *testing.T) {
	const window = 30_000
	p := newStreaming(t, limited(), limited(func(l *Limits) { l.TransferBytes, l.StreamBytes = window, 1<<20 }))
	a, _ := p.open(0)
	other, _ := p.open(0)
	third, _ := p.open(0)
	p.say(0, a.Stream, make([]byte, 20_000))
	w := credit.NewWaiter()
	if accepted, err := p.side[0].PostMessage(a.Stream, Message{Payload: []byte("behind"), Encoding: wire.Proto}, w); accepted || err != nil {
		t.Fatalf("a message beside a large one of the same call: %t, %v", accepted, err)
	}
	p.say(0, other.Stream, make([]byte, 20_000)) // overdraws
	if accepted, err := p.side[0].PostMessage(third.Stream, Message{Payload: make([]byte, 20_000), Encoding: wire.Proto}, nil); accepted || err != nil {
		t.Fatalf("a large message without a window for it: %t, %v", accepted, err)
	}
	p.settle()
	if !turn(w) {
		t.Fatal("who waits behind a large message was not woken by its end")
	}
	if accepted, err := p.side[0].PostMessage(a.Stream, Message{Payload: []byte("behind"), Encoding: wire.Proto}, w); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	p.settle()
	p.read(1, p.taken(1))
	p.settle()
	p.say(0, third.Stream, make([]byte, 20_000))
	p.settle()
	if got := p.read(1, p.taken(1)); len(got) != 1 {
		t.Fatalf("%d messages came", len(got))
	}
}

// TestLittleOfTransferWindow: what is read of it is stated at once, as the rest may be held by calls that nobody reads.
func TestLittleOfTransferWindow(t *testing.T) {
	const window = 200_000
	p := newStreaming(t, limited(), limited(func(l *Limits) { l.TransferBytes, l.StreamBytes = window, 1<<20 }))
	stuck, _ := p.open(0)
	read, st := p.open(0)
	p.say(0, stuck.Stream, make([]byte, window-20_000))
	p.say(0, read.Stream, make([]byte, 20_000))
	w := credit.NewWaiter()
	p.settle()
	if accepted, err := p.side[0].PostMessage(read.Stream, Message{Payload: make([]byte, 20_000), Encoding: wire.Proto}, w); accepted || err != nil {
		t.Fatalf("a message without a window: %t, %v", accepted, err)
	}
	p.read(1, ofStream(p.taken(1), st))
	p.settle()
	if !turn(w) {
		t.Fatal("nobody is woken, though the window has come back")
	}
}
