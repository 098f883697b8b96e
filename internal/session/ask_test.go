package session

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// TestExpiryOrder: asks expire in the order of their times, in whatever order they were posted, and wherever one leaves.
func TestExpiryOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := asks{}
	var all []*Ask
	for range 100 {
		a := &Ask{Expires: time.Unix(int64(r.IntN(20)), 0)}
		all = append(all, a)
		l.add(a)
	}
	for _, i := range r.Perm(len(all))[:50] {
		l.remove(all[i])
	}
	var last time.Time
	for n := 50; n > 0; n-- {
		a := l.first
		if a == nil || a.Expires.Before(last) {
			t.Fatalf("%d asks are left, and after %v comes %+v", n, last, a)
		}
		last = a.Expires
		l.remove(a)
	}
	if l.first != nil || l.last != nil || l.waiting.Len() != 0 {
		t.Errorf("all asks have gone, and the list is %+v", l)
	}
}

// TestAsksThatAreOverKeepNoSession: a future may be kept for long.
func TestAsksThatAreOverKeepNoSession(t *testing.T) {
	p := newPeer(t, limited(), limited())
	answered, abandoned, ended := asking("a", nil), asking("b", nil), asking("c", nil)
	for _, q := range []*Posting{answered, abandoned, ended} {
		p.post(q)
		if q.Ask.account == nil {
			t.Fatal("an ask under way is charged to no account")
		}
	}
	p.drain()
	p.send(&wire.Envelope{Kind: wire.KindReply, ID: answered.Ask.id})
	if _, ok := p.s.Abandon(abandoned.Ask); !ok {
		t.Fatal("an ask is over before it was abandoned")
	}
	p.s.End(overloaded("", "the end"))
	for _, q := range []*Posting{answered, abandoned, ended} {
		if q.Ask.account != nil || q.Ask.transfer != nil || q.Ask.id != 0 {
			t.Errorf("the ask to %s still has %+v", q.Target.Endpoint, q.Ask)
		}
	}
}
