package faultproxy

import (
	"context"
	"time"
)

// Strike does f to a connection, chosen at random among those that no fault was given to yet, and returns when that is
// over: when a stall or slow phase has passed, or HalfOpen has closed the other side, too. If ctx ends before that, a connection that is
// broken is closed, and any other goes on as if nothing had been.
//
// Errors: ErrNoConnection, ErrGone, and that of ctx.
func (p *Proxy) Strike(ctx context.Context, f Fault) error {
	c := p.choose()
	if c == nil {
		return ErrNoConnection
	}
	if f.Kind == Slow {
		return p.slow(ctx, c, f)
	}
	defer p.release(c, f.Kind)
	if err := c.await(ctx, f); err != nil {
		return err
	}
	switch f.Kind {
	case Stall, StallCut:
		return p.stall(ctx, c, f)
	case HalfOpen:
		p.count(f.Kind, c)
		return c.halfOpen(ctx, side(p.intN(2)), f.For)
	case Reset:
		p.count(f.Kind, c)
		c.reset()
	default:
		p.count(f.Kind, c)
		c.close()
	}
	return nil
}

// choose takes a connection for a fault.
func (p *Proxy) choose() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var free []*conn
	for _, c := range p.conns {
		if !c.struck {
			free = append(free, c)
		}
	}
	if len(free) == 0 {
		return nil
	}
	c := free[p.intN(len(free))]
	c.struck = true
	return c
}

// release lets other faults have c, if it lives.
func (p *Proxy) release(c *conn, k Kind) {
	if k.Breaks() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.struck = false
}

// count counts a fault that has struck. Of one that breaks it is called when nothing is passed any more, and before the sides are closed.
func (p *Proxy) count(k Kind, c *conn) {
	c.mu.Lock()
	unacknowledged := c.unacknowledged[dialler] || c.unacknowledged[target]
	c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.ByKind[k]++
	if !k.Breaks() {
		return
	}
	p.counts.Breaks++
	if unacknowledged {
		p.counts.Unacknowledged++
	}
}

// await sets a trap for traffic, and waits until that is sprung or f has no more patience.
func (c *conn) await(ctx context.Context, f Fault) error {
	t := &trap{kind: f.Kind, budget: max(f.Bytes, 1), sprung: make(chan struct{})}
	c.mu.Lock()
	c.trap = t
	c.mu.Unlock()
	patience := time.NewTimer(f.Patience)
	defer patience.Stop()
	select {
	case <-t.sprung:
		return nil
	case <-patience.C:
	case <-c.ended:
	case <-ctx.Done():
		return c.disarm(ctx, t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trap != t {
		return nil // it was sprung in this very moment, or waits for a peer that does not read
	}
	select {
	case <-c.ended:
		return ErrGone
	default:
		c.strikeLocked(f.Kind)
		return nil
	}
}

// disarm takes back a trap because ctx has ended. One that is sprung already cannot be: the connection is closed.
func (c *conn) disarm(ctx context.Context, t *trap) error {
	c.mu.Lock()
	waits := c.trap == t
	c.trap = nil
	c.mu.Unlock()
	if !waits {
		c.close()
	}
	return ctx.Err()
}

// stall waits while nothing is copied, and then goes on or closes both sides.
func (p *Proxy) stall(ctx context.Context, c *conn, f Fault) error {
	err := pause(ctx, c, f.For)
	cut := f.Kind == StallCut && err == nil
	c.mu.Lock()
	close(c.stalled)
	c.stalled = nil
	c.broken = cut
	c.mu.Unlock()
	if err != nil {
		return err
	}
	p.count(f.Kind, c)
	if cut {
		c.close()
	}
	return nil
}

// slow limits the rate for a while.
func (p *Proxy) slow(ctx context.Context, c *conn, f Fault) error {
	defer p.release(c, f.Kind)
	c.setRate(max(f.Bytes, 1))
	defer c.setRate(0)
	if err := pause(ctx, c, f.For); err != nil {
		return err
	}
	p.count(f.Kind, c)
	return nil
}

func (c *conn) setRate(rate int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rate = rate
}

// halfOpen closes one side, and the other one later.
func (c *conn) halfOpen(ctx context.Context, first side, d time.Duration) error {
	defer c.close()
	_ = c.sides[first].Close() // it fails if the peer was faster
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ended: // the peer of the kept side has found out
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pause waits for d. It fails if the connection or ctx ends before.
func pause(ctx context.Context, c *conn, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.ended:
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}
