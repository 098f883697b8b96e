package session

import (
	"math/rand/v2"
	"testing"
	"time"
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
