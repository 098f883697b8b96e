package server

import "sync"

// crew counts goroutines, and links, which have some. Unlike a sync.WaitGroup it may be added to while somebody waits: a peer may open a stream during a
// shutdown.
type crew struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n comes down to 0; nil while nobody waits
}

// join counts one more, until leave is called.
func (c *crew) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// goes runs f on a goroutine that is counted.
func (c *crew) goes(f func()) {
	c.join()
	go func() {
		defer c.leave()
		f()
	}()
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// gone returns a channel that is closed when no goroutine is left.
func (c *crew) gone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		none := make(chan struct{})
		close(none)
		return none
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	return c.idle
}
