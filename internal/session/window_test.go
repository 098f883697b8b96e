package session

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

func window(messages, bytes uint64) func(*Limits) {
	return func(l *Limits) { l.MailboxMessages, l.MailboxBytes = messages, bytes }
}

func TestInitialLimitsAreThoseOfRevision1(t *testing.T) {
	want := Limits{
		MailboxMessages: 8192, MailboxBytes: 1 << 20, SessionBytes: 4 << 20, TransferBytes: 64 << 20, ReplayBytes: 4 << 20,
		MessageBytes: 128 << 20, FrameBytes: 1 << 20, Routes: 65536, Transfers: 64, Pending: 65536, Mailboxes: 65536,
		StreamBytes: 256 << 10, Streams: 1024,
		SessionTTL: time.Minute, Heartbeat: 10 * time.Second,
	}
	if got := InitialLimits(); got != want {
		t.Errorf("InitialLimits = %+v, want %+v (docs/protocol.md, section 13)", got, want)
	}
	if got := LimitsFromProto(nil); got != want {
		t.Errorf("LimitsFromProto(nil) = %+v, want %+v", got, want)
	}
	told := limited(func(l *Limits) { l.MailboxMessages, l.Pending, l.TransferBytes = 1, 2, 3 })
	if got := LimitsFromProto(told.Proto()); got != told {
		t.Errorf("limits arrive as %+v, want %+v", got, told)
	}
}

// fill posts small messages to name until the session refuses, and returns how many it took.
func fill(t *testing.T, s *Session, name string) int {
	t.Helper()
	for n := 0; ; n++ {
		accepted, err := s.Post(sending(name, []byte("12345678")))
		if err != nil {
			t.Fatal(err)
		}
		if !accepted {
			return n
		}
		if n > 1_000_000 {
			t.Fatal("there is no end to what is accepted")
		}
	}
}

func TestWindowInMessages(t *testing.T) {
	p := newPeer(t, limited(), limited(window(10, 1<<20)))
	if n := fill(t, p.s, "slow"); n != 10 {
		t.Fatalf("%d messages were accepted, want 10", n)
	}
	if n := fill(t, p.s, "other"); n != 10 {
		t.Fatalf("a full window of one endpoint let %d messages to another, want 10", n)
	}
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "slow", Messages: 13, Bytes: 1 << 20}}})
	if n := fill(t, p.s, "slow"); n != 3 {
		t.Fatalf("credit of 3 let %d through", n)
	}
}

func TestWindowInBytesIsOverdrawnByOne(t *testing.T) {
	p := newPeer(t, limited(), limited(window(1000, 100)))
	p.post(sending("a", make([]byte, 10)))
	p.post(sending("a", make([]byte, 5000))) // it may start: something is left
	if accepted, err := p.s.Post(sending("a", nil)); accepted || err != nil {
		t.Fatalf("Post to a full window = %t, %v", accepted, err)
	}
	cost := 0
	for _, e := range p.drain() {
		if e.Kind == wire.KindSend {
			cost += e.Size()
		}
	}
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "a", Messages: 1000, Bytes: uint64(cost)}}})
	if accepted, _ := p.s.Post(sending("a", nil)); accepted {
		t.Fatal("a window that is exactly used up let a message through")
	}
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "a", Messages: 1000, Bytes: uint64(cost) + 1}}})
	p.post(sending("a", nil))
}

func TestSessionWindowHoldsUpAll(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.SessionBytes = 1000 }))
	p.post(sending("a", make([]byte, 2000)))
	if accepted, _ := p.s.Post(sending("b", nil)); accepted {
		t.Fatal("the session's window is used up, and yet a message was accepted")
	}
	p.drain()
	p.head(wire.Head{Credits: []wire.Credit{{Bytes: 5000}}})
	p.post(sending("b", nil))
}

func TestCreditComesInQuarters(t *testing.T) {
	p := newPeer(t, limited(window(100, 1<<20)), limited())
	var events []Event
	for range 100 {
		events = append(events, p.send(send("a", "x"))...)
	}
	p.drain() // the acks
	stated := uint64(100)
	for i, ev := range events {
		if p.s.Take(ev.Account, ev.Cost) {
			p.s.StateCredit(ev.Account)
		}
		taken := uint64(i + 1)
		w := p.next()
		if taken%25 != 0 {
			if w != nil {
				t.Fatalf("after %d messages: %+v, want nothing", taken, w.Head)
			}
			continue
		}
		var got *wire.Credit
		for i := range w.Credits {
			if w.Credits[i].Endpoint == "a" {
				got = &w.Credits[i]
			}
		}
		stated += 25
		if got == nil || got.Messages != stated || w.Number != 0 {
			t.Fatalf("after %d messages: %+v, want a head that states %d", taken, w.Head, stated)
		}
	}
	if problem := leftovers(p.s); problem != "" {
		t.Error(problem)
	}
}

func TestSessionCreditInQuarters(t *testing.T) {
	p := newPeer(t, limited(func(l *Limits) { l.SessionBytes = 4000 }), limited())
	for i, name := range []string{"a", "b", "c", "d"} {
		for _, ev := range p.send(send(name, string(make([]byte, 300)))) {
			if p.s.Take(ev.Account, ev.Cost) {
				p.s.StateCredit(ev.Account)
			}
		}
		w := p.next()
		if i < 2 && w != nil && len(w.Credits) > 0 {
			t.Fatalf("after %d messages: %+v", i+1, w.Credits)
		}
		if i == 2 { // 3 × some 340 bytes are a quarter
			i := slices.IndexFunc(w.Credits, func(c wire.Credit) bool { return c.Endpoint == "" })
			if i < 0 || w.Credits[i].Bytes <= 4900 || w.Credits[i].Bytes > 5200 {
				t.Fatalf("after a quarter of the session's window: %+v", w.Credits)
			}
		}
	}
}

// TestManyCredits: more totals than fit one head all get said.
func TestManyCredits(t *testing.T) {
	p := newPeer(t, limited(window(4, 1<<20)), limited())
	const mailboxes = 26
	for i := range mailboxes {
		for _, ev := range p.send(send(string(rune('A'+i)), "x")) {
			if p.s.Take(ev.Account, ev.Cost) {
				p.s.StateCredit(ev.Account)
			}
		}
	}
	said := map[string]bool{}
	for w := p.next(); w != nil; w = p.next() {
		for _, c := range w.Credits {
			if c.Endpoint != "" {
				said[c.Endpoint] = true
			}
		}
	}
	if len(said) != mailboxes {
		t.Fatalf("credit of %d mailboxes was stated, want %d", len(said), mailboxes)
	}
}

// waiting posts with a waiter, which must have to wait.
func waiting(t *testing.T, s *Session, q *Posting) *Posting {
	t.Helper()
	q.Waiter = credit.NewWaiter()
	if accepted, err := s.Post(q); accepted || err != nil {
		t.Fatalf("Post = %t, %v, want it to wait", accepted, err)
	}
	return q
}

func TestWaitersAreServedInOrder(t *testing.T) {
	p := newPeer(t, limited(), limited(window(4, 1<<20)))
	fill(t, p.s, "a")
	first := waiting(t, p.s, sending("a", []byte("1")))
	second := waiting(t, p.s, sending("a", []byte("2")))
	third := waiting(t, p.s, sending("a", []byte("3")))
	p.drain()
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "a", Messages: 6, Bytes: 1 << 20}}})

	// There is room now, but it is not for those who come last, with a waiter or without.
	if accepted, _ := p.s.Post(sending("a", []byte("x"))); accepted {
		t.Fatal("a posting without a waiter has overtaken")
	}
	if accepted, _ := p.s.Post(second); accepted {
		t.Fatal("the second waiter has overtaken the first")
	}
	if !turn(first.Waiter) || turn(second.Waiter) || turn(third.Waiter) {
		t.Fatal("not the first waiter, and only it, was woken")
	}
	p.post(first)
	if !turn(second.Waiter) || turn(third.Waiter) {
		t.Fatal("not the second waiter, and only it, was woken")
	}
	p.post(second)
	if turn(third.Waiter) {
		if accepted, _ := p.s.Post(third); accepted {
			t.Fatal("one message too many was accepted")
		}
	}
	var got []byte
	for _, e := range p.drain() {
		got = append(got, e.Payload...)
	}
	if string(got) != "12" {
		t.Fatalf("written %q, want 12", got)
	}
	p.s.Leave(third)
	if !p.s.out.accounts.Get(mailboxKey{"", "a"}).window.Waiters.Empty() {
		t.Fatal("a waiter is left")
	}
}

func TestWaiterThatLeavesLetsTheNextPass(t *testing.T) {
	p := newPeer(t, limited(), limited(window(4, 1<<20)))
	fill(t, p.s, "a")
	first := waiting(t, p.s, sending("a", nil))
	second := waiting(t, p.s, sending("a", nil))
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "a", Messages: 5, Bytes: 1 << 20}}})
	if !turn(first.Waiter) {
		t.Fatal("the first waiter was not woken")
	}
	p.s.Leave(first) // its context has ended just now
	if !turn(second.Waiter) {
		t.Fatal("the second waiter was not woken: the credit is lost")
	}
	p.post(second)
	p.s.Leave(second) // harmless
}

// TestFullQueueHoldsUp: what waits to be written is bounded, too, and who waits for it is woken when it has been written.
func TestFullQueueHoldsUp(t *testing.T) {
	wide := limited(window(1<<30, 1<<30), func(l *Limits) { l.SessionBytes = 1 << 30 })
	p := newPeer(t, limited(), wide)
	fill(t, p.s, "a")
	if p.s.out.queued < queueBytes || p.s.out.queued > queueBytes+1000 {
		t.Fatalf("%d bytes wait, want %d", p.s.out.queued, queueBytes)
	}
	w := waiting(t, p.s, sending("b", nil))
	if turn(w.Waiter) {
		t.Fatal("woken too early")
	}
	for p.s.out.queued > wakeBytes {
		if turn(w.Waiter) {
			t.Fatalf("woken when %d bytes waited", p.s.out.queued)
		}
		p.next()
	}
	if !turn(w.Waiter) {
		t.Fatal("not woken when half of what waited was written")
	}
	p.post(w)
}

func TestWaitersAreWokenByTheEnd(t *testing.T) {
	p := newPeer(t, limited(), limited(window(1, 1<<20)))
	fill(t, p.s, "a")
	fill(t, p.s, "b")
	waiters := []*Posting{
		waiting(t, p.s, sending("a", nil)), waiting(t, p.s, asking("a", nil)), waiting(t, p.s, sending("b", nil)),
	}
	p.s.End(&endpoint.Error{Reason: endpoint.ReasonSessionEnded})
	for i, q := range waiters {
		if !turn(q.Waiter) {
			t.Fatalf("waiter %d was not woken", i)
		}
		accepted, err := p.s.Post(q)
		if accepted || err == nil || err.Reason != endpoint.ReasonSessionEnded || err.Execution != endpoint.NotExecuted || err.Phase != endpoint.PhaseQueued {
			t.Fatalf("Post after the end = %t, %v", accepted, err)
		}
	}
	for key, a := range p.s.out.accounts.All() {
		if !a.window.Waiters.Empty() {
			t.Errorf("a waiter is left at %v", key)
		}
	}
}

func TestRefusedAtOnce(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.MessageBytes, l.Pending, l.Mailboxes = 20_000, 2, 2 }))
	refused := func(what string, q *Posting, reason endpoint.Reason) {
		t.Helper()
		accepted, err := p.s.Post(q)
		if accepted || err == nil || err.Reason != reason || err.Execution != endpoint.NotExecuted {
			t.Fatalf("%s: Post = %t, %v, want %v, not executed", what, accepted, err, reason)
		}
	}
	refused("too large", sending("a", make([]byte, 20_001)), endpoint.ReasonTooLarge)
	q := sending("a", nil)
	q.Metadata = []wire.Metadata{{Key: "k", Value: string(bytes.Repeat([]byte("v"), 64<<10))}}
	refused("too much metadata", q, endpoint.ReasonTooLarge)
	p.post(asking("a", nil))
	if err := p.s.Lookup(&Ask{Done: noReply{}}, "", "a", ""); err != nil {
		t.Fatal(err)
	}
	refused("too many pending", asking("a", nil), endpoint.ReasonOverloaded)
	if err := p.s.Lookup(&Ask{Done: noReply{}}, "", "a", ""); err == nil || err.Reason != endpoint.ReasonOverloaded {
		t.Fatalf("a lookup above the limit = %v", err)
	}
	p.post(sending("a", nil))
	p.post(sending("b", nil))
	refused("too many mailboxes", sending("c", nil), endpoint.ReasonOverloaded)
	p.drain()
	p.send(reply(1, ""))
	p.post(asking("a", nil))
}

// TestOverrunIsFound: the receiver ends the session where a sender has no credit, A18 and A19.
func TestOverrunIsFound(t *testing.T) {
	t.Run("messages", func(t *testing.T) {
		p := newPeer(t, limited(window(3, 1<<20)), limited())
		for range 3 {
			p.send(send("a", "x"))
		}
		p.send(send("b", "x"))
		p.violates("A18", codes.ResourceExhausted, send("a", "x"))
	})
	t.Run("bytes", func(t *testing.T) {
		p := newPeer(t, limited(window(1000, 1000)), limited())
		p.send(send("a", string(make([]byte, 900))))
		p.send(send("a", string(make([]byte, 9000)))) // overdraws
		p.violates("A18", codes.ResourceExhausted, send("a", "x"))
	})
	t.Run("credit that was returned counts", func(t *testing.T) {
		p := newPeer(t, limited(window(3, 1<<20)), limited())
		for range 1000 {
			for _, ev := range p.send(send("a", "x")) {
				p.s.Take(ev.Account, ev.Cost)
			}
		}
	})
	t.Run("session", func(t *testing.T) {
		p := newPeer(t, limited(func(l *Limits) { l.SessionBytes = 1000 }), limited())
		p.send(send("a", string(make([]byte, 999))))
		p.violates("A19", codes.ResourceExhausted, send("b", "x"))
	})
	t.Run("malformed targets are charged to the session", func(t *testing.T) {
		p := newPeer(t, limited(func(l *Limits) { l.SessionBytes = 1000 }), limited())
		p.send(send("\x00", string(make([]byte, 999))))
		p.violates("A19", codes.ResourceExhausted, send("\x00", "x"))
	})
	t.Run("transfers", func(t *testing.T) {
		p := newPeer(t, limited(func(l *Limits) { l.TransferBytes = 1000 }), limited())
		p.send(inChunks(send("a", ""), 1, 5000))
		p.violates("A19", codes.ResourceExhausted, inChunks(send("b", ""), 2, 1))
	})
}

// TestWithheldCreditIsStatedSoon: a peer that has used half of a window may soon wait for what is less than a quarter of any, for instance where other
// mailboxes hold the session's window. So that is stated after 25 ms at the latest. Of a peer that is far from waiting nothing is stated.
func TestWithheldCreditIsStatedSoon(t *testing.T) {
	message := &wire.Envelope{Kind: wire.KindSend, Text: true, Target: wire.Target{Endpoint: "a", Method: "s.S/M"}, Encoding: wire.Proto}
	elsewhere := &wire.Envelope{Kind: wire.KindSend, Text: true, Target: wire.Target{Endpoint: "b", Method: "s.S/M"}, Encoding: wire.Proto}
	large := *elsewhere
	large.Encoding, large.Transfer, large.TransferSize = wire.Transfer, 1, 1<<10
	size := uint64(message.Size())
	chunked := *message
	inChunks(&chunked, 1, 64*size)
	for name, c := range map[string]struct {
		limits Limits
		fill   []*wire.Envelope // what brings the peer to half of a window, after one message
	}{
		"messages of the mailbox": {limited(func(l *Limits) { l.MailboxMessages = 8 }), []*wire.Envelope{message, message, message}},
		"bytes of the mailbox":    {limited(func(l *Limits) { l.MailboxBytes = 8 * size }), []*wire.Envelope{message, message, message}},
		"the session":             {limited(func(l *Limits) { l.SessionBytes = 8 * size }), []*wire.Envelope{elsewhere, elsewhere, elsewhere}},
		"chunks": {limited(func(l *Limits) { l.MailboxBytes = 16 * size }), []*wire.Envelope{
			&chunked,
			{Kind: wire.KindChunk, ID: 1, Payload: make([]byte, 8*size)},
		}},
		"transfers": {limited(func(l *Limits) { l.TransferBytes = 2 << 10 }), []*wire.Envelope{&large}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.limits, limited())
			first := p.send(message)[0]
			a := first.Account
			if p.s.Take(a, first.Cost) {
				t.Fatal("one message is a quarter of the window")
			}
			if p.s.Withheld(a) {
				t.Fatal("nobody is near waiting")
			}
			last := a
			for _, e := range c.fill {
				for _, ev := range p.send(e) {
					last = ev.Account
				}
			}
			if p.s.in.creditAt.IsZero() {
				t.Fatal("what was taken is not seen to, now that the peer is near waiting")
			}
			p.s.Tick(p.now.Add(creditDelay - 1))
			if len(p.s.out.dirty) != 0 {
				t.Fatal("stated too early")
			}
			p.s.Tick(p.now.Add(creditDelay))
			if len(p.s.out.dirty) != 1 || !p.s.out.dirtyIn {
				t.Fatal("the credit is still withheld")
			}
			p.s.NextFrame(p.now)
			if name == "transfers" || name == "chunks" {
				return // the large message is still coming
			}
			// The peer has used half of the window, also when it knows what was taken.
			p.send(message)
			p.s.Tick(p.now.Add(creditDelay))
			p.s.NextFrame(p.now)
			if !p.s.Withheld(last) || p.s.Withheld(last) {
				t.Fatal("Withheld must be true for the first and false for the next")
			}
		})
	}
}
