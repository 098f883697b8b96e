package link

import (
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/idtable"
)

// Close ends the session in good order, for the reason e: what is queued is written, then a bye, then the stream ends.
// Pending asks fail at once.
func (l *Link) Close(e *endpoint.Error) {
	l.mu.Lock()
	// A peer that comes back is refused, and knows by that. A dialler comes back itself, to say bye.
	lonely := !l.dialled && l.session.Detached() && l.emptyLocked()
	l.session.Bye(e)
	l.session.ExpireWithin(time.Now(), closeTTL)
	l.closing = true
	l.changed()
	l.mu.Unlock()
	if lonely { // there is nothing to be written, and nobody to write to
		l.finish(e, nil, false)
	}
}

// closeTTL is how long a session that is being closed waits for another stream.
const closeTTL = 5 * time.Second

// closedWell reports whether the end of the stream, for the reason e, is that of a session that this side has closed: the peer has its bye. The
// caller holds mu.
func (l *Link) closedWell(e *endpoint.Error) bool {
	if !l.closing || !l.session.ByeWritten() {
		return false
	}
	kept, _ := l.session.Unacknowledged()
	l.well = kept == 0 || l.dialled && e.Cause == nil // a listener ends the stream well when it has read the bye
	return l.well
}

// Kill ends the session at once, for the reason e.
func (l *Link) Kill(e *endpoint.Error) { l.finish(e, nil, true) }

// finish ends the session, once.
func (l *Link) finish(e *endpoint.Error, streamErr error, broken bool) {
	l.ending.Do(func() {
		defer l.leaves()
		if why, good := l.isLeaving(); good {
			// The peer may end the stream as soon as it has the bye, before this side is back from writing it.
			streamErr, broken = nil, false
			if why != nil {
				e = why
			}
		}
		c := l.endSession(e, streamErr)
		l.mu.Lock()
		calls := l.running
		l.running = idtable.Table[Running]{}
		l.mu.Unlock()
		for _, id := range calls.IDs() {
			calls.Get(id).CancelCall(e)
		}
		if c != nil {
			c.end()
		}
		l.telling.Wait() // the end is the last that the handler hears
		if l.begun {
			l.handler.Ended(l, e, broken)
		}
	})
}

// isLeaving reports whether the session ends in good order, and why if the peer has said so.
func (l *Link) isLeaving() (why *endpoint.Error, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving, l.closing || l.leaving != nil
}

// leave ends the session because the peer has said bye. Where it outlives its streams, the peer waits for the acknowledgement.
func (l *Link) leave(e *endpoint.Error) {
	l.mu.Lock()
	wait := l.session.Resumable() && l.carrier != nil
	if wait {
		l.leaving = e
		l.session.Acknowledge()
		l.changed()
	}
	l.mu.Unlock()
	if !wait {
		l.finish(e, nil, false)
	}
}

// goes runs f on a goroutine of the link. The caller holds mu; the session lives, or the caller is such a goroutine itself.
func (l *Link) goes(f func()) {
	l.users++
	go func() {
		defer l.leaves()
		f()
	}()
}

// leaves is called at the end of a goroutine of the link, and when the end of the session has been told. It tells those who wait for the last.
func (l *Link) leaves() {
	l.mu.Lock()
	l.users--
	var gone func()
	if l.users == 0 {
		gone, l.whenGone = l.whenGone, nil
	}
	l.mu.Unlock()
	if gone != nil {
		gone()
	}
}

// WhenGone calls f when the session has ended, its handler has been told so (by whichever goroutine has ended it, the timer's for one), and
// no goroutine of the link is left: at once, if that is so. f must not block.
func (l *Link) WhenGone(f func()) {
	l.mu.Lock()
	gone := l.users == 0
	if before := l.whenGone; before != nil {
		l.whenGone = func() { before(); f() }
	} else if !gone {
		l.whenGone = f
	}
	l.mu.Unlock()
	if gone {
		f()
	}
}

// Wait waits until WhenGone calls.
func (l *Link) Wait() {
	gone := make(chan struct{})
	l.WhenGone(func() { close(gone) })
	<-gone
}

// discard ends a session that was in the table, but has not begun.
func (l *Link) discard(e *endpoint.Error) {
	l.ending.Do(func() {
		defer l.leaves()
		l.endSession(e, nil)
	})
}

// endSession ends the session and completes what is pending in it. It returns what carried it, if anything did.
func (l *Link) endSession(e *endpoint.Error, streamErr error) *Carrier {
	l.mu.Lock()
	l.cut = l.leaving == nil && !l.well && l.session.Unfinished()
	sends := l.session.UnacknowledgedSends()
	asks := l.session.End(e)
	why := l.session.Over() // a bye said it before
	c := l.carrier
	if c != nil {
		c.retire(streamErr)
	}
	close(l.over)
	l.unpark()
	l.tellKeeper()
	if l.endLife != nil {
		l.endLife()
	}
	l.timer.Stop()
	l.mu.Unlock()
	for _, u := range asks {
		u.Ask.Done.Complete(endpoint.Response{Err: why.At(u.Phase, u.Execution)})
	}
	if len(sends) > 0 {
		l.handler.Unacknowledged(l, sends, e)
	}
	return c
}
