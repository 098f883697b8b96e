package mailbox

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// last is given to Close in these tests.
const last = -1

// gated is a box whose handlers report that they have started, then wait until
// the test lets them return.
type gated struct {
	*Box[int]
	t       *testing.T
	mu      sync.Mutex
	started []int
	turns   map[int]Turn
	gates   map[int]chan struct{}
}

func newGated(t *testing.T, c Config) *gated {
	g := &gated{t: t, turns: map[int]Turn{}, gates: map[int]chan struct{}{}}
	g.Box = New(c, func(turn Turn, item int) {
		gate := make(chan struct{})
		g.mu.Lock()
		g.started = append(g.started, item)
		g.turns[item] = turn
		g.gates[item] = gate
		g.mu.Unlock()
		<-gate
	})
	return g
}

// finish lets the handlers of items return, in this order.
func (g *gated) finish(items ...int) {
	g.t.Helper()
	for _, item := range items {
		synctest.Wait()
		g.mu.Lock()
		gate := g.gates[item]
		g.mu.Unlock()
		if gate == nil {
			g.t.Fatalf("the handler of %d has not started", item)
		}
		close(gate)
	}
	synctest.Wait()
}

// turn returns the turn of an item whose handler has started.
func (g *gated) turn(item int) Turn {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turns[item]
}

// expect checks which handlers have started so far, in order of their items.
func (g *gated) expect(want ...int) {
	g.t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	got := slices.Clone(g.started)
	if g.Concurrency() > 1 { // nothing orders the handlers
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("started %v, want %v", got, want)
	}
}

// expectDone checks whether Done is closed.
func (g *gated) expectDone(want bool) {
	g.t.Helper()
	synctest.Wait()
	if got := closed(g.Done()); got != want {
		g.t.Errorf("Done closed = %t, want %t", got, want)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
