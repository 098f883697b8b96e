// Package latch tells goroutines that something has happened, once, for the price of a flag where nobody waits for it.
package latch

import (
	"sync"
	"sync/atomic"
)

// Latch tells any number of goroutines that something has happened, once. It is a channel that is made when somebody waits: who looks afterwards, as
// most do who wait for many, needs none. The zero Latch is not set. Its methods may be called concurrently.
type Latch struct {
	mu   sync.Mutex
	set  atomic.Bool
	done chan struct{} // nil while nobody has waited
}

// Set says that it has happened. What was done before the first call is seen by all who are told; further ones do nothing.
func (l *Latch) Set() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set.Load() {
		return
	}
	l.set.Store(true)
	if l.done != nil {
		close(l.done)
	}
}

// IsSet reports whether it has happened.
func (l *Latch) IsSet() bool { return l.set.Load() }

// Done returns a channel that is closed when it has happened, always the same.
func (l *Latch) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.set.Load() {
			close(l.done)
		}
	}
	return l.done
}
