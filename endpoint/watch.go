package endpoint

import (
	"context"
	"sync"
)

// watches are the asks of one Method that are to end with their contexts. Asks that are made one after the other with the
// same context, and are pending together, share one registration with it, which costs more than all else of an ask
// otherwise.
type watches struct {
	mu      sync.Mutex
	current *watch // the one that the last ask took; nil if it has none
}

// watch is one registration with a context. It ends with its last ask, so that nothing is kept of a context that outlives
// them.
type watch struct {
	done  <-chan struct{} // of the context
	stop  func() bool
	first *call // a list, guarded by the mu of watches
}

// add makes the end of ctx end c.
func (w *watches) add(ctx context.Context, c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shared := w.current
	if shared == nil || shared.done != ctx.Done() {
		shared = &watch{done: ctx.Done()}
		shared.stop = context.AfterFunc(ctx, func() { w.fire(ctx, shared) })
		w.current = shared
	}
	c.watch = shared
	c.next = shared.first
	if c.next != nil {
		c.next.prev = c
	}
	shared.first = c
}

// remove takes c out, because it is complete.
func (w *watches) remove(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	shared := c.watch
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		shared.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next, c.watch = nil, nil, nil
	if shared.first == nil {
		shared.stop()
		if w.current == shared {
			w.current = nil
		}
	}
}

// fire ends the asks of a context that has ended.
func (w *watches) fire(ctx context.Context, shared *watch) {
	w.mu.Lock()
	if w.current == shared {
		w.current = nil
	}
	var asks []*call
	for c := shared.first; c != nil; c = c.next {
		c.held = true // it may be over before it is abandoned
		asks = append(asks, c)
	}
	w.mu.Unlock()
	for _, c := range asks {
		c.abandon(ctx)
	}
}
