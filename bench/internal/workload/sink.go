package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// Sink receives one-way messages, and checks that they are all there, once, in order. Its methods may be called
// concurrently. The zero Sink expects nothing.
type Sink struct {
	mu       sync.Mutex
	messages *Messages
	received int
	expected int
	wrong    error         // the first message that was not the next
	done     chan struct{} // closed when all that is expected has been received
}

// Expect begins a run of n of the messages, n > 0. What was wrong with the runs before stays wrong.
func (s *Sink) Expect(n int, messages *Messages) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages, s.received, s.expected, s.done = messages, 0, n, make(chan struct{})
}

// Receive takes a message. Handlers call it.
func (s *Sink) Receive(r *sayhiv1.HiRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil && (s.received >= s.expected || r.GetMsg() != s.messages.Payload(s.received)) {
		s.wrong = fmt.Errorf("received as message %d of %d: %s", s.received, s.expected, abridged(r.GetMsg()))
	}
	s.received++
	if s.received == s.expected {
		close(s.done)
	}
}

// Wait returns when all that is expected has been received, with what Check says, or when ctx ends. It follows Expect.
func (s *Sink) Wait(ctx context.Context) error {
	s.mu.Lock()
	done := s.done
	s.mu.Unlock()
	select {
	case <-done:
		return s.Check()
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Check())
	}
}

// Check reports messages that were wrong, or too few, or too many.
func (s *Sink) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil && s.received != s.expected {
		return fmt.Errorf("received %d messages of %d", s.received, s.expected)
	}
	return s.wrong
}
