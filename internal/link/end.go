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
		defer close(l.told)
		if why, good := l.isLeaving(); good {
			// The peer may end the stream as soon as it has the bye, before this side is back from writing it.
			streamErr, broken = nil, false
			if why != nil {
				e = why
			}
		}
		c := l.endSession(e, streamErr)
		l.running.Lock()
		calls := l.running.calls
		l.running.calls = idtable.Table[Running]{}
		l.running.Unlock()
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

// discard ends a session that was in the table, but has not begun.
func (l *Link) discard(e *endpoint.Error) {
	l.ending.Do(func() {
		defer close(l.told)
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
	l.endLife()
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
