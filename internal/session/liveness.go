package session

import "time"

// mostMisses is how many pings in a row may go unanswered.
const mostMisses = 3

// liveness finds out that a stream is dead which does not say so: a peer that is silent, or one that acknowledges nothing. Its
// zero value does nothing.
type liveness struct {
	heartbeat time.Duration // zero: off
	heard     time.Time     // when the last frame was read
	misses    int           // pings since then
	ping      bool          // one is due
	stuck     time.Time     // since when the oldest unacknowledged frame has been waiting; zero if there is none
	drain     bool          // the peer is going to end the stream
	moved     bool          // something was acknowledged since stuck was set
}

// restart begins anew, on a new stream.
func (l *liveness) restart(now time.Time) {
	*l = liveness{heartbeat: l.heartbeat, heard: now}
}

// read says that a frame has come.
func (l *liveness) read(now time.Time) {
	l.heard, l.misses, l.ping = now, 0, false
}

func (l *liveness) progressed() { l.moved = true }

// deadline returns when tick is to be called; zero for never.
func (l *liveness) deadline() time.Time {
	if l.heartbeat == 0 || l.heard.IsZero() {
		return time.Time{}
	}
	return l.heard.Add(time.Duration(l.misses+1) * l.heartbeat)
}

// tick returns why the stream is dead, or "". waiting says that frames are unacknowledged.
func (l *liveness) tick(now time.Time, waiting bool) string {
	d := l.deadline()
	if d.IsZero() {
		return ""
	}
	switch {
	case !waiting || l.moved:
		l.stuck, l.moved = time.Time{}, false
	case l.stuck.IsZero():
		l.stuck = now
	case now.Sub(l.stuck) > mostMisses*l.heartbeat:
		return "the peer acknowledges nothing"
	}
	if now.Before(d) {
		return ""
	}
	if l.misses == mostMisses {
		return "the peer is silent"
	}
	l.misses++
	l.ping = true
	return ""
}
