package load

import (
	"context"
	"time"
)

// waitTimer is a waiter with a timer of Go.
func waitTimer(ctx context.Context, until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
