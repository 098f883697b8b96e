package endpoint

import (
	"sync"
	"sync/atomic"
)

// latch tells any number of goroutines that something has happened, once. It is a channel that is made when somebody waits: who looks afterwards, as
// most do who wait for many, needs none. The zero value is ready.
type latch struct {
	mu   sync.Mutex
	set  atomic.Bool
	done chan struct{} // nil while nobody has waited
}

// Set says that it has happened. It must be called once. What was done before is seen by all who are told.
func (l *latch) Set() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set.Store(true)
	if l.done != nil {
		close(l.done)
	}
}

// IsSet reports whether it has happened.
func (l *latch) IsSet() bool { return l.set.Load() }

// Done returns a channel that is closed when it has happened, always the same.
func (l *latch) Done() <-chan struct{} {
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
