// Package callctx has the context of a running handler: a small one, because its channel, its timer and the metadata of
// its answer are made only when somebody asks for them.
//
// A handler may keep its context after it has returned, so a Context is never used again. What the context belongs to, the
// call, is: the two part when the handler returns.
package callctx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Context is the context of one running handler or callback. It ends when its deadline passes, when Cancel is called, or
// when its parent ends. All methods may be called concurrently.
type Context struct {
	parent   context.Context
	deadline time.Duration        // since base; 0: none of its own
	more     atomic.Pointer[more] // nil while c runs and nobody has asked for any of it; set under mu

	mu   sync.Mutex // guards what follows, and what more has
	call any        // nil when they have parted
}

// state is how a context has ended.
type state uint8

const (
	running state = iota
	cancelled
	expired
)

func (s state) err() error {
	switch s {
	case cancelled:
		return context.Canceled
	case expired:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// more is what few contexts need while they run.
type more struct {
	state      state
	done       chan struct{} // made by the first call of Done
	timer      *time.Timer   // set with done, if there is a deadline
	stopParent func() bool   // set with done
	after      map[*afterFunc]struct{}

	caused          context.Context // see newCaused; set when c ends, if there is a cause
	header, trailer metadata.MD     // of the answer
}

type afterFunc struct{ f func() }

// base is what deadlines are counted from: a time.Time would take three times as much, of each message that waits or runs.
var base = time.Now()

type key struct{}

// Init makes c the context of call. It must be called once, before c is used.
func (c *Context) Init(parent context.Context, deadline time.Time, call any) {
	c.parent, c.deadline, c.call = parent, 0, call
	if !deadline.IsZero() {
		c.deadline = deadline.Sub(base)
		if c.deadline == 0 {
			c.deadline = 1
		}
	}
}

// Use calls f with the call that ctx, or a context that it was derived from, belongs to, and reports true; it reports false if there is none, or
// its handler has returned. The handler cannot return meanwhile, so f must be quick, and must not use the context.
func Use(ctx context.Context, f func(call any)) bool {
	c, ok := ctx.Value(key{}).(*Context)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil {
		return false
	}
	f(c.call)
	return true
}

// Part ends c, if it has not ended, and parts it from its call: from now on Use does not find it.
func (c *Context) Part() {
	c.mu.Lock()
	c.call = nil
	c.endLocked(cancelled, nil)
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) {
	d, ok := c.parent.Deadline()
	own := base.Add(c.deadline)
	if c.deadline == 0 || ok && d.Before(own) {
		return d, ok
	}
	return own, true
}

// Value implements context.Context.
func (c *Context) Value(k any) any {
	switch k {
	case any(key{}):
		return c
	case transportStreamKey:
		return grpc.ServerTransportStream(transportStream{c})
	}
	return c.values().Value(k)
}

// values returns what has the values that c does not have itself.
func (c *Context) values() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.more.Load(); m != nil && m.caused != nil {
		return m.caused
	}
	return c.parent
}

// newCaused returns a context of the standard library that has the values of parent and has ended, for the reason cause:
// context.Cause looks for one among the values of any other context.
func newCaused(parent context.Context, cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	cancel(cause)
	return ctx
}

// onlyEnded is what contexts have that have ended, and of whose more nobody has asked for anything. They share it, so it does not change.
var onlyEnded = [...]*more{cancelled: {state: cancelled}, expired: {state: expired}}

// stateLocked returns how c has ended.
func (c *Context) stateLocked() state {
	if m := c.more.Load(); m != nil {
		return m.state
	}
	return running
}

// moreLocked returns c.more, to be changed; it is made if there is none.
func (c *Context) moreLocked() *more {
	m, s := c.more.Load(), c.stateLocked()
	if m == onlyEnded[s] {
		m = &more{state: s}
		c.more.Store(m)
	}
	return m
}

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.moreLocked()
	if m.done != nil {
		return m.done
	}
	m.done = make(chan struct{})
	if m.state != running {
		close(m.done)
		return m.done
	}
	if c.deadline != 0 {
		m.timer = time.AfterFunc(c.deadline-time.Since(base), func() { c.Cancel(context.DeadlineExceeded, nil) })
	}
	m.stopParent = context.AfterFunc(c.parent, func() { c.Cancel(c.parent.Err(), context.Cause(c.parent)) })
	return m.done
}

// Err implements context.Context.
func (c *Context) Err() error {
	if err := c.ended(); err != nil {
		return err
	}
	if err := c.parent.Err(); err != nil {
		c.Cancel(err, context.Cause(c.parent))
	} else if c.deadline != 0 && time.Since(base) >= c.deadline {
		c.Cancel(context.DeadlineExceeded, nil)
	}
	return c.ended()
}

// ended returns why c has ended, if it knows that it has. Nearly all contexts know nothing, and are asked with every message.
func (c *Context) ended() error {
	if c.more.Load() == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stateLocked().err()
}

// AfterFunc runs f on a goroutine of its own after c has ended; package context uses it instead of a goroutine that
// waits. The result stops it, as that of context.AfterFunc does.
func (c *Context) AfterFunc(f func()) func() bool {
	c.Done() // arms the deadline
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stateLocked() != running {
		go f()
		return func() bool { return false }
	}
	m := c.moreLocked()
	if m.after == nil {
		m.after = make(map[*afterFunc]struct{})
	}
	a := &afterFunc{f}
	m.after[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := m.after[a]
		delete(m.after, a)
		return ok
	}
}

// CancelCall ends c, because nobody waits for the answer any more.
func (c *Context) CancelCall(cause error) { c.Cancel(context.Canceled, cause) }

// Cancel ends c with err, which is context.Canceled or context.DeadlineExceeded. cause, if not nil, is what context.Cause returns.
// Only the first call counts.
func (c *Context) Cancel(err, cause error) {
	c.mu.Lock()
	if err == context.DeadlineExceeded {
		c.endLocked(expired, cause)
	} else {
		c.endLocked(cancelled, cause)
	}
}

// endLocked ends c, if it has not ended, and unlocks it.
func (c *Context) endLocked(how state, cause error) {
	if c.stateLocked() != running {
		c.mu.Unlock()
		return
	}
	if cause != nil {
		c.moreLocked().caused = newCaused(c.parent, cause)
	}
	m := c.more.Load()
	if m == nil {
		c.more.Store(onlyEnded[how])
		c.mu.Unlock()
		return
	}
	m.state = how
	if m.done != nil {
		close(m.done)
	}
	timer, stop, after := m.timer, m.stopParent, m.after
	m.timer, m.stopParent, m.after = nil, nil, nil
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
