package link

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the pause between attempts to connect: it doubles, from 50 ms to 1 s, and has a jitter of a fifth either way.
type Backoff struct{ next time.Duration }

// NewBackoff returns a Backoff that begins.
func NewBackoff() *Backoff { return &Backoff{50 * time.Millisecond} }

// Pause waits for the pause to be over, or for over to be closed. It fails if ctx ends first.
func (b *Backoff) Pause(ctx context.Context, over <-chan struct{}) error {
	pause := time.Duration(float64(b.next) * (0.8 + 0.4*rand.Float64()))
	b.next = min(2*b.next, time.Second)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
