package fairness

import (
	"context"
	"fmt"
	"sync"
)

// consumer is what the handler of the second endpoint does: it takes messages one at a time, or none while it is blocked. Its methods may
// be called concurrently.
type consumer struct {
	mu    sync.Mutex
	taken int
	open  chan struct{} // closed while messages are taken
	more  chan struct{} // closed when another one has been taken
}

func newConsumer() *consumer {
	c := &consumer{open: make(chan struct{}), more: make(chan struct{})}
	close(c.open)
	return c
}

// take takes one message.
func (c *consumer) take(ctx context.Context) error {
	c.mu.Lock()
	open := c.open
	c.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken++
	close(c.more)
	c.more = make(chan struct{})
	return nil
}

// block has no more messages taken until unblock is called.
func (c *consumer) block() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = make(chan struct{})
}

func (c *consumer) unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.open)
}

// count returns how many messages have been taken since the start.
func (c *consumer) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// wait returns when n messages have been taken since the start.
func (c *consumer) wait(ctx context.Context, n int) error {
	for {
		c.mu.Lock()
		taken, more := c.taken, c.more
		c.mu.Unlock()
		if taken > n {
			return fmt.Errorf("%d messages were taken of %d", taken, n)
		}
		if taken == n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %d messages are taken, of which %d are: %w", n, taken, ctx.Err())
		}
	}
}
