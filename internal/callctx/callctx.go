// Package callctx has the context of a running handler: one that costs a single allocation, because its channel and its
// timer are made only when somebody asks for them.
package callctx

import (
	"context"
	"sync"
	"time"
)

// Context is the context of one running handler or callback. It ends when its deadline passes, when Cancel is called, or
// when its parent ends. All methods may be called concurrently.
type Context struct {
	parent   context.Context
	deadline time.Time // zero: none of its own
	call     any

	mu         sync.Mutex
	done       chan struct{} // made by the first call of Done
	err, cause error         // set once
	timer      *time.Timer   // set with done, if there is a deadline
	stopParent func() bool   // set with done
	after      map[*afterFunc]struct{}
}

type afterFunc struct{ f func() }

type key struct{}

// Init makes c the context of call. It must be called once, before c is used.
func (c *Context) Init(parent context.Context, deadline time.Time, call any) {
	c.parent, c.deadline, c.call = parent, deadline, call
}

// From returns the call that ctx, or a context that it was derived from, belongs to; nil if there is none.
func From(ctx context.Context) any { return ctx.Value(key{}) }

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	d, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && d.Before(c.deadline) {
		return d, ok
	}
	return c.deadline, true
}

// Value implements context.Context.
func (c *Context) Value(k any) any {
	if (k == key{}) {
		return c.call
	}
	return c.parent.Value(k)
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	if c.err != nil {
		close(c.done)
		return c.done
	}
	if !c.deadline.IsZero() {
		c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.Cancel(context.DeadlineExceeded, nil) })
	}
	c.stopParent = context.AfterFunc(c.parent, func() { c.Cancel(c.parent.Err(), context.Cause(c.parent)) })
	return c.done
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := c.parent.Err(); err != nil {
		c.Cancel(err, context.Cause(c.parent))
	} else if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.Cancel(context.DeadlineExceeded, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc runs f on a goroutine of its own after c has ended; package context uses it instead of a goroutine that
// waits. The result stops it, as that of context.AfterFunc does.
func (c *Context) AfterFunc(f func()) func() bool {
	c.Done() // arms the deadline
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{})
	}
	a := &afterFunc{f}
	c.after[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[a]
		delete(c.after, a)
		return ok
	}
}

// Running reports whether c has not ended by Cancel.
func (c *Context) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// Cancel ends c with err, which is context.Canceled or context.DeadlineExceeded. cause, if not nil, is what Cause returns. Only the first call counts.
func (c *Context) Cancel(err, cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.cause = cause
	if c.done != nil {
		close(c.done)
	}
	timer, stop, after := c.timer, c.stopParent, c.after
	c.timer, c.stopParent, c.after = nil, nil, nil
	c.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if stop != nil {
		stop()
	}
	for a := range after {
		go a.f()
	}
}

// Cause returns why c ended: what Cancel was given, or Err. (context.Cause knows only the standard library's contexts and
// returns Err for this one.)
func (c *Context) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return c.err
}
