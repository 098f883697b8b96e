// Package pacing keeps a sender from running away from a receiver whose queue has no bound.
//
// It does what users of such queues do: now and then, it sends a message that asks for an answer, behind all that was sent before, and
// does not go on for long without the answer. While answers come in time, the sender never stops.
package pacing

import (
	"context"
	"fmt"
)

// messageBytes is what a message takes in queues besides its payload, roughly.
const messageBytes = 64

// Mark sends a message to which the receiver answers when it has received all that was sent before. It returns what waits for the
// answer, which is called once.
type Mark func(ctx context.Context) (wait func(context.Context) error, err error)

// Pacer counts what is sent, and lets two windows of it be underway. It belongs to the goroutine that sends.
type Pacer struct {
	window  int // bytes
	mark    Mark
	sent    int                         // bytes since the last mark
	pending func(context.Context) error // waits for the last mark; nil if nobody has to
}

// New returns a Pacer that marks the ends of windows of that many bytes, of which each message takes 64 besides its payload.
func New(windowBytes int, mark Mark) *Pacer { return &Pacer{window: windowBytes, mark: mark} }

// Sent counts a message with a payload of that many bytes. At the end of a window, it marks it, and waits for the mark before.
func (p *Pacer) Sent(ctx context.Context, bytes int) error {
	p.sent += messageBytes + bytes
	if p.sent < p.window {
		return nil
	}
	p.sent = 0
	wait, err := p.mark(ctx)
	if err != nil {
		return fmt.Errorf("mark the end of a window: %w", err)
	}
	previous := p.pending
	p.pending = wait
	return await(ctx, previous)
}

// Flush waits for the last mark.
func (p *Pacer) Flush(ctx context.Context) error {
	last := p.pending
	p.pending = nil
	return await(ctx, last)
}

func await(ctx context.Context, wait func(context.Context) error) error {
	if wait == nil {
		return nil
	}
	if err := wait(ctx); err != nil {
		return fmt.Errorf("wait until a window has been received: %w", err)
	}
	return nil
}
