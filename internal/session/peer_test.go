package session

import (
	"fmt"
	"strings"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// epoch is the time at which every test begins.
var epoch = time.Unix(1_000_000, 0)

const (
	method  = "test.v1.Service/Method"
	someEnv = "0190a6e4-7d3c-7a51-9b2e-5c1d8f6a0e47"
)

func to(name string) wire.Target { return wire.Target{Endpoint: name, Method: method} }

// noReply is the Completion of asks whose outcome the tests read from events.
type noReply struct{}

func (noReply) Complete(endpoint.Response) {}

// ---- One side by itself: the test is the peer.

// peer is the other side of a session, by hand.
type peer struct {
	*testing.T
	s      *Session
	now    time.Time
	number uint64 // of the last frame that the peer has sent
	seen   uint64 // of the last frame that the session has sent
}

// limited returns the initial limits with changes.
func limited(change ...func(*Limits)) Limits {
	l := LimitsFromProto(nil)
	for _, c := range change {
		c(&l)
	}
	return l
}

// limit changes the limits of s alone, which may be those of others, too.
func (s *Session) limit(change func(own, peer *Limits)) {
	own, peer := *s.own, *s.peer
	change(&own, &peer)
	s.own, s.peer = &own, &peer
}

// newPeer returns the peer of a new session; own are the limits of the session, told those of the peer.
func newPeer(t *testing.T, own, told Limits) *peer {
	return &peer{T: t, s: New(own, told), now: epoch}
}

// frame encodes a frame.
func frame(h wire.Head, envelopes ...*wire.Envelope) []byte {
	var b []byte
	for _, e := range envelopes {
		b = e.Append(b)
	}
	return wire.AppendHead(b, &h)
}

// raw gives the session a frame.
func (p *peer) raw(b []byte) ([]Event, *Violation) {
	return p.s.Receive(new(Intake), p.now, b)
}

// try gives the session the next frame of the peer, with these envelopes.
func (p *peer) try(envelopes ...*wire.Envelope) ([]Event, *Violation) {
	p.number++
	return p.raw(frame(wire.Head{Number: p.number}, envelopes...))
}

// send is try for frames that the session must accept. The events are copies.
func (p *peer) send(envelopes ...*wire.Envelope) []Event {
	p.Helper()
	events, v := p.try(envelopes...)
	if v != nil {
		p.Fatalf("the session refused a frame: %v", v)
	}
	return append([]Event(nil), events...)
}

// head gives the session a frame that has no envelopes, which it must accept.
func (p *peer) head(h wire.Head) {
	p.Helper()
	if events, v := p.raw(frame(h)); v != nil || len(events) > 0 {
		p.Fatalf("a head gave %v and %d events", v, len(events))
	}
}

// violates gives the session the next frame, which it must refuse in this way.
func (p *peer) violates(row string, code codes.Code, envelopes ...*wire.Envelope) {
	p.Helper()
	_, v := p.try(envelopes...)
	p.wantViolation(v, row, code)
}

func (p *peer) wantViolation(v *Violation, row string, code codes.Code) {
	p.Helper()
	if v == nil || v.Row != row || v.Code != code {
		p.Fatalf("got %v, want a violation of %s with %v", v, row, code)
	}
	if v.Code != code || v.Text == "" || !strings.Contains(v.Error(), row) {
		p.Fatalf("the violation has code %v and says %q, want %v", v.Code, v.Error(), code)
	}
}

// written is a frame of the session.
type written struct {
	wire.Head
	envelopes []wire.Envelope
	size      int
}

// next returns the next frame of the session, or nil.
func (p *peer) next() *written {
	p.Helper()
	frame := p.s.NextFrame(p.now)
	if frame == nil {
		return nil
	}
	b := frame.Bytes
	w := &written{size: len(b)}
	if err := wire.ParseHead(b, &w.Head); err != nil {
		p.Fatal(err)
	}
	body := wire.Body(b)
	for content, more := body.Next(); more; content, more = body.Next() {
		var e wire.Envelope
		if err := e.Decode(content); err != nil {
			p.Fatal(err)
		}
		w.envelopes = append(w.envelopes, e)
	}
	switch {
	case len(w.envelopes) == 0 && w.Number != 0:
		p.Fatalf("frame %d has a number and no envelopes", w.Number)
	case len(w.envelopes) > 0 && w.Number != p.seen+1:
		p.Fatalf("frame %d came after %d", w.Number, p.seen)
	case len(w.envelopes) > 0:
		p.seen = w.Number
	}
	return w
}

// drain returns the envelopes of all frames that the session has to write.
func (p *peer) drain() []wire.Envelope {
	p.Helper()
	var all []wire.Envelope
	for w := p.next(); w != nil; w = p.next() {
		all = append(all, w.envelopes...)
	}
	return all
}

// post posts, which must succeed at once.
func (p *peer) post(q *Posting) {
	p.Helper()
	if accepted, err := p.s.Post(q); !accepted || err != nil {
		p.Fatalf("Post = %t, %v", accepted, err)
	}
}

// counted checks the counters but for those of frames.
func (p *peer) counted(want Counters) {
	p.Helper()
	got := p.s.Counters()
	got.FramesIn, got.FramesOut = 0, 0
	if got != want {
		p.Fatalf("counters %+v, want %+v", got, want)
	}
}

// alive checks that the session still takes an ask and answers it.
func (p *peer) alive() {
	p.Helper()
	p.drain()
	id := p.s.in.lastID + 1
	target := to("alive")
	events := p.send(&wire.Envelope{Kind: wire.KindAsk, ID: id, Text: true, Target: target})
	if len(events) != 1 || events[0].Kind != wire.KindAsk || events[0].Refused != nil {
		p.Fatalf("an ask gave %+v", events)
	}
	p.s.Take(events[0].Account, events[0].Cost)
	p.s.Reply(&Reply{ID: id, Payload: []byte("pong"), Encoding: wire.Proto})
	got := p.drain()
	if len(got) != 1 || got[0].Kind != wire.KindReply || got[0].ID != id || string(got[0].Payload) != "pong" {
		p.Fatalf("the reply is %+v", got)
	}
}

// Envelopes by hand.

func ask(id uint64, name, payload string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindAsk, ID: id, Text: true, Target: to(name), Encoding: wire.Proto, Payload: []byte(payload)}
}

func send(name, payload string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindSend, Text: true, Target: to(name), Encoding: wire.Proto, Payload: []byte(payload)}
}

func announce(number uint32, t wire.Target) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindRoute, Route: number, Target: t}
}

func chunk(transfer uint64, data string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindChunk, ID: transfer, Payload: []byte(data)}
}

// inChunks makes the payload of e a transfer.
func inChunks(e *wire.Envelope, transfer, size uint64) *wire.Envelope {
	e.Encoding, e.Payload, e.Transfer, e.TransferSize = wire.Transfer, nil, transfer, size
	return e
}

func reply(id uint64, payload string) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindReply, ID: id, Encoding: wire.Proto, Payload: []byte(payload)}
}

func failedReply(id uint64, code codes.Code) *wire.Envelope {
	return &wire.Envelope{Kind: wire.KindReply, ID: id, Status: &spb.Status{Code: int32(code), Message: "failed"}}
}

func only(kind wire.Kind) *wire.Envelope { return &wire.Envelope{Kind: kind, ID: 1} }

// Postings.

func asking(name string, payload []byte) *Posting {
	return &Posting{Ask: &Ask{Done: noReply{}}, Target: to(name), Payload: payload, Encoding: wire.Proto}
}

func sending(name string, payload []byte) *Posting {
	return &Posting{Target: to(name), Payload: payload, Encoding: wire.Proto}
}

// ---- Two sides.

// pair is two sessions back to back: what one writes the other reads when the test says so.
type pair struct {
	*testing.T
	now  time.Time
	side [2]*side
}

// side is one of them.
type side struct {
	*Session
	name   string
	events []Event // that have come, copied
}

func newPair(t *testing.T, a, b Limits) *pair {
	return &pair{T: t, now: epoch, side: [2]*side{{Session: New(a, b), name: "a"}, {Session: New(b, a), name: "b"}}}
}

// post lets side i post, which must succeed at once.
func (p *pair) post(i int, q *Posting) {
	p.Helper()
	if accepted, err := p.side[i].Post(q); !accepted || err != nil {
		p.Fatalf("Post = %t, %v", accepted, err)
	}
}

// step lets side i write one frame, which the other side reads. It reports false if there was none.
func (p *pair) step(i int) bool {
	p.Helper()
	b := p.side[i].NextFrame(p.now)
	if b == nil {
		return false
	}
	p.deliver(1-i, b.Bytes)
	return true
}

// deliver lets side i read a frame.
func (p *pair) deliver(i int, b []byte) {
	p.Helper()
	to := p.side[i]
	events, v := to.Receive(new(Intake), p.now, b)
	if v != nil {
		p.Fatalf("%s found %v", to.name, v)
	}
	to.events = append(to.events, events...)
}

// settle lets both write until neither has anything to say.
func (p *pair) settle() {
	p.Helper()
	for p.step(0) || p.step(1) {
	}
}

// take returns the events of side i, taking the messages out of their mailboxes.
func (p *pair) take(i int) []Event {
	s := p.side[i]
	events := s.events
	s.events = nil
	for _, ev := range events {
		if ev.Kind == wire.KindAsk || ev.Kind == wire.KindSend {
			if s.Take(ev.Account, ev.Cost) {
				s.StateCredit(ev.Account)
			}
		}
	}
	return events
}

// idle checks that nothing is left of what was under way: no ask, no partial message, no queue, no waiter, no window in use.
func (p *pair) idle() {
	p.Helper()
	for _, s := range p.side {
		if problem := leftovers(s.Session); problem != "" {
			p.Errorf("%s: %s", s.name, problem)
		}
	}
}

// leftovers returns what a session keeps that it should not keep when nothing is under way.
func leftovers(s *Session) string {
	var b strings.Builder
	check := func(what string, n int) {
		if n != 0 {
			fmt.Fprintf(&b, "%s: %d; ", what, n)
		}
	}
	check("pending asks", s.asks.waiting.Len())
	check("asks that the peer has not answered", s.asks.unanswered)
	if s.asks.first != nil || s.asks.last != nil {
		b.WriteString("the list of expiring asks is not empty; ")
	}
	check("open asks", int(s.in.open))
	b.WriteString(leftOfStreams(s))
	check("partial messages", len(s.in.transfers))
	check("bytes of large replies coming", int(s.in.replyBytes))
	check("queued bytes", s.out.queued)
	if s.out.open.body != nil {
		b.WriteString("the open batch has a buffer; ")
	}
	check("full batches", len(s.out.ready))
	check("transfers", len(s.out.transfers)+s.out.underway)
	check("large sends", len(s.out.sends))
	check("large replies", len(s.out.replies)+s.out.largeReplies)
	for key, a := range s.out.accounts.All() {
		if a.transfer != nil || !a.window.Waiters.Empty() {
			fmt.Fprintf(&b, "mailbox %v has waiters or a transfer; ", key)
		}
	}
	_, bytes := s.in.session.Outstanding()
	check("bytes of the session window", int(bytes))
	_, bytes = s.in.transfer.Outstanding()
	check("bytes of the transfer window", int(bytes))
	for key, a := range s.in.accounts.All() {
		if messages, bytes := a.grant.Outstanding(); messages != 0 || bytes != 0 {
			fmt.Fprintf(&b, "window of %v: %d messages, %d bytes; ", key, messages, bytes)
		}
	}
	return b.String()
}

// turn reports whether w was woken.
func turn(w *credit.Waiter) bool {
	select {
	case <-w.Turn:
		return true
	default:
		return false
	}
}

// room returns how much memory a partial message takes, as far as it may be known from its claimed size.
func (p *partial) room() int {
	if p.memory == nil {
		return 0
	}
	return cap(p.memory.Bytes)
}
