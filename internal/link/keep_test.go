package link

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// connections makes Conns, and counts how often each of them is closed.
type connections struct {
	mu     sync.Mutex
	closed []int
}

func (c *connections) to(n *network) Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.closed)
	c.closed = append(c.closed, 0)
	return Conn{ClientConnInterface: n, Close: func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closed[i]++
	}}
}

// all returns how often each has been closed.
func (c *connections) all() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.closed)
}

// kept is a session that is kept, while streams break, others are wanted, attempts fail, and either side ends it at some time.
func kept(t *testing.T, r *rand.Rand) {
	n := newNetwork()
	own := &recorder{}
	own.got, n.at.got = answer, answer
	var conns connections
	first := conns.to(n)
	l, err := Dial(t.Context(), n, resuming(own))
	if err != nil {
		t.Fatal(err)
	}
	peer := <-n.accepted
	failing := r.IntN(4)
	connect := func(string) (Conn, *endpoint.Error) { // is called by one goroutine at a time
		if failing--; failing >= 0 {
			return Conn{Close: func() {}}, &endpoint.Error{Reason: endpoint.ReasonUnreachable, Text: "down"}
		}
		return conns.to(n), nil
	}
	var order []string
	gone := make(chan struct{})
	l.WhenGone(func() { order = append(order, "first") })
	l.WhenGone(func() {
		order = append(order, "second")
		close(gone)
	})
	ends := []func(){
		func() { l.Kill(errClosed) }, func() { l.Close(errClosed) }, func() { peer.Kill(errClosed) }, func() { peer.Close(errClosed) },
	}[r.IntN(4)]
	late := r.IntN(3) == 0 // it ends before it is kept
	if late {
		l.Kill(errClosed)
		<-gone
	}
	pauses := func(n int) (all []time.Duration) {
		for range r.IntN(n) {
			all = append(all, time.Duration(r.IntN(120))*time.Millisecond)
		}
		return all
	}
	var wg sync.WaitGroup
	after := func(pauses []time.Duration, f func()) {
		wg.Go(func() {
			for _, d := range pauses {
				<-time.After(d)
				f()
			}
		})
	}
	l.Keep(first, connect)
	after(pauses(6), n.cut)
	after(pauses(3), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.needStream()
	})
	after([]time.Duration{time.Duration(r.IntN(400)) * time.Millisecond}, ends)
	after([]time.Duration{20 * time.Second}, func() { l.Kill(errClosed) }) // the peer's end may not have come through
	<-gone
	if all := conns.all(); slices.ContainsFunc(all, func(n int) bool { return n != 1 }) {
		t.Errorf("when the session was gone, its connections were closed so often: %d; want each once", all)
	}
	if want := []string{"first", "second"}; !slices.Equal(order, want) {
		t.Errorf("who waited was told in the order %q, want %q", order, want)
	}
	wg.Wait()
	peer.Kill(errClosed)
	n.killAll()
}

// TestKeepClosesEachConnectionOnce, by the time that the session is gone, whatever happens to it.
func TestKeepClosesEachConnectionOnce(t *testing.T) {
	seed := rand.Uint64()
	for i := range uint64(500) {
		synctest.Test(t, func(t *testing.T) { kept(t, rand.New(rand.NewPCG(seed, i))) })
		if t.Failed() {
			t.Fatalf("seed %d, session %d", seed, i)
		}
	}
}
