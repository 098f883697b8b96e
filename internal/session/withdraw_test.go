package session

import (
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestWithdraw: an ask that ends before it is written leaves nothing behind, wherever it stands in what waits, and is known not to
// have executed.
func TestWithdraw(t *testing.T) {
	for name, gone := range map[string]func(i int) bool{
		"the first":  func(i int) bool { return i == 0 },
		"the last":   func(i int) bool { return i == 29 },
		"the middle": func(i int) bool { return i > 3 && i < 25 },
		"all":        func(int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, limited(), limited())
			s := p.side[0].Session
			var asks []*Ask
			for range 30 { // of 10 kB each: some six to a batch
				q := asking("a", make([]byte, 10_000))
				p.post(0, q)
				asks = append(asks, q.Ask)
			}
			p.post(0, sending("a", []byte("a send, which stays")))
			stays := []uint64{}
			for i, a := range asks {
				if !gone(i) {
					stays = append(stays, a.id)
					continue
				}
				u, pending := s.Abandon(a)
				if !pending || u.Phase != endpoint.PhaseQueued || u.Execution != endpoint.NotExecuted {
					t.Fatalf("ask %d ended as %+v, %t; want queued, not executed", i, u, pending)
				}
			}
			p.settle()
			var came []uint64
			for _, ev := range p.take(1) {
				switch {
				case ev.Kind == wire.KindAsk:
					came = append(came, ev.ID)
					p.side[1].Reply(&Reply{ID: ev.ID})
				case ev.Kind != wire.KindSend:
					t.Errorf("%v arrived", ev.Kind)
				}
				p.side[1].StateCredit(ev.Account)
			}
			if len(came) != len(stays) {
				t.Fatalf("asks %d arrived, want %d", came, stays)
			}
			for i := range came {
				if came[i] != stays[i] {
					t.Fatalf("asks %d arrived, want %d", came, stays)
				}
			}
			p.settle()
			if problem := unreturned(s, nil) + leftovers(s); problem != "" {
				t.Error(problem)
			}
			if s.asks.unanswered != 0 {
				t.Errorf("%d asks count as not answered", s.asks.unanswered)
			}
		})
	}
}

// TestWithdrawMakesRoom: who waits because too much is queued gets the place of what is withdrawn.
func TestWithdrawMakesRoom(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.MailboxBytes, l.SessionBytes = 64<<20, 64<<20 }))
	var asks []*Ask
	for !p.s.out.full {
		q := asking("a", make([]byte, 10_000))
		p.post(q)
		asks = append(asks, q.Ask)
	}
	q := waiting(t, p.s, sending("a", nil))
	for _, a := range asks {
		p.s.Abandon(a)
	}
	if !turn(q.Waiter) {
		t.Fatal("nobody was woken")
	}
	if ok, err := p.s.Post(q); !ok {
		t.Fatal(err)
	}
}

// TestRemainingOfWaiting: what an ask says of its time is true when its frame is written, however long its batch and those before it had
// to wait.
func TestRemainingOfWaiting(t *testing.T) {
	p := newPair(t, limited(), limited())
	for i := range 30 {
		q := asking("a", make([]byte, 10_000))
		q.Started, q.Deadline = p.now, p.now.Add(10*time.Second)
		if i%2 == 1 {
			q.Deadline = p.now.Add(time.Millisecond)
		}
		p.post(0, q)
		p.now = p.now.Add(100 * time.Millisecond)
	}
	p.settle()
	events := p.take(1)
	if len(events) != 30 {
		t.Fatalf("%d asks arrived", len(events))
	}
	for i, ev := range events {
		want := uint64((7*time.Second + time.Duration(i)*100*time.Millisecond) / time.Microsecond)
		if i%2 == 1 {
			want = 0
		}
		if got := ev.RemainingMicros; got != want+1 {
			t.Errorf("ask %d arrives with %d us left, want %d", i, got, want+1)
		}
	}
}

// TestReceiptGivenUp: nobody waits for the receipt any more, and the message goes on.
func TestReceiptGivenUp(t *testing.T) {
	p := newPair(t, limited(), limited())
	for _, s := range p.side {
		s.GiveReceipts()
	}
	q := asking("a", nil)
	q.Receipt = true
	p.post(0, q)
	if u, pending := p.side[0].Abandon(q.Ask); !pending || u.Execution != endpoint.MayHaveExecuted {
		t.Errorf("it ended as %+v, %t; want may have executed", u, pending)
	}
	p.settle()
	if n := len(p.take(1)); n != 1 {
		t.Errorf("%d messages arrived, want one", n)
	}
}
