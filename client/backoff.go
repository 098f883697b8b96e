package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the pause between attempts to connect: it doubles, from 50 ms to 1 s, and has a jitter of a fifth either way.
type backoff struct{ next time.Duration }

func newBackoff() *backoff { return &backoff{50 * time.Millisecond} }

// sleep waits for the pause to be over, or for life to end, which is that of the Client. It fails if ctx ends first.
func (b *backoff) sleep(ctx, life context.Context) error {
	pause := time.Duration(float64(b.next) * (0.8 + 0.4*rand.Float64()))
	b.next = min(2*b.next, time.Second)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-life.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
