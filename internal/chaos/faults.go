package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

const (
	// strikers is how many faults a proxy may have at a time.
	strikers = 2
	// meanPause is the pause of a striker between two faults, on average.
	meanPause = 500 * time.Millisecond
	// patience is how long a fault waits for a message. There are many a second, unless a connection is being opened.
	patience = 2 * time.Second
)

// weights say how often each kind of fault comes, beside the others.
var weights = map[faultproxy.Kind]int{
	faultproxy.Cut:        5,
	faultproxy.Reset:      4,
	faultproxy.HalfOpen:   3,
	faultproxy.CloseAfter: 4,
	faultproxy.StallCut:   2,
	faultproxy.Stall:      1,
	faultproxy.Slow:       1,
}

// storm strikes the connections of proxies.
type storm struct {
	proxies []*faultproxy.Proxy
	kinds   []faultproxy.Kind // each as often as its weight says
	seed    uint64
}

func newStorm(proxies []*faultproxy.Proxy, kinds []faultproxy.Kind, seed uint64) *storm {
	s := &storm{proxies: proxies, seed: seed}
	for _, k := range kinds {
		for range weights[k] {
			s.kinds = append(s.kinds, k)
		}
	}
	return s
}

// run strikes until ctx ends. It returns when no fault is under way any more.
func (s *storm) run(ctx context.Context) {
	if len(s.kinds) == 0 {
		return
	}
	var running sync.WaitGroup
	for i, p := range s.proxies {
		for j := range strikers {
			random := rand.New(rand.NewPCG(s.seed, uint64(i*strikers+j)))
			running.Go(func() { s.strike(ctx, p, random) })
		}
	}
	running.Wait()
}

// strike strikes the connections of one proxy, one after the other.
func (s *storm) strike(ctx context.Context, p *faultproxy.Proxy, random *rand.Rand) {
	for {
		pause := time.NewTimer(between(random, 0, 2*meanPause))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
		err := p.Strike(ctx, s.fault(random))
		// What is left are ErrNoConnection and ErrGone: all connections have a fault already, or are just being opened again.
		if errors.Is(err, context.Canceled) {
			return
		}
	}
}

// fault returns a random one.
func (s *storm) fault(random *rand.Rand) faultproxy.Fault {
	f := faultproxy.Fault{Kind: s.kinds[random.IntN(len(s.kinds))], Patience: patience}
	switch f.Kind {
	case faultproxy.HalfOpen:
		f.For = between(random, 200*time.Millisecond, 3*time.Second)
	case faultproxy.StallCut, faultproxy.Stall:
		f.For = between(random, 50*time.Millisecond, 1500*time.Millisecond)
	case faultproxy.Slow:
		f.For = between(random, 200*time.Millisecond, time.Second)
		f.Bytes = 8<<10 + random.IntN(120<<10)
	case faultproxy.CloseAfter:
		f.Bytes = 1 + random.IntN(64<<10)
		if random.IntN(2) == 0 { // often in the midst of the opening of a new connection
			f.Bytes = 1 + random.IntN(2<<10)
		}
	}
	return f
}

// between returns a random duration.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}
