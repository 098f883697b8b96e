package session

import "time"

// mostMisses is how many pings in a row may go unanswered.
const mostMisses = 3

// liveness finds out that a stream is dead which does not say so: a peer that is silent, or one that acknowledges nothing. Its
// zero value does nothing.
type liveness struct {
	heartbeat time.Duration // zero: off
	heard     time.Time     // when the last frame was read
	looked    time.Time     // when tick was called
	misses    int32         // pings since then
	ping      bool          // one is due
	drain     bool          // the peer is going to end the stream
	moved     bool          // something was acknowledged since stuck was set
	pings     uint64        // that were written on this stream; the token of each is its number
	answered  uint64        // the last of them that was
	stuck     time.Time     // since when the oldest unacknowledged frame has been waiting; zero if there is none
}

// restart begins anew, on a new stream.
func (l *liveness) restart(now time.Time) {
	*l = liveness{heartbeat: l.heartbeat, heard: now, looked: now}
}

// read says that a frame has come.
func (l *liveness) read(now time.Time) {
	l.heard, l.misses, l.ping = now, 0, false
}

// pong takes the answer to a ping. It reports whether any waited for it; the last answers those before it, too.
func (l *liveness) pong(token uint64) bool {
	if token <= l.answered || token > l.pings {
		return false
	}
	l.answered = token
	return true
}

func (l *liveness) progressed() { l.moved = true }

// deadline returns when tick is to be called; zero for never. It is called once a heartbeat even if the peer is heard all the time: one
// that acknowledges nothing may be.
func (l *liveness) deadline() time.Time {
	if l.heartbeat == 0 || l.heard.IsZero() {
		return time.Time{}
	}
	silent, look := l.silent(), l.looked.Add(l.heartbeat)
	if look.Before(silent) {
		return look
	}
	return silent
}

// silent returns when the peer has been silent for one heartbeat more than it was pinged for.
func (l *liveness) silent() time.Time {
	return l.heard.Add(time.Duration(l.misses+1) * l.heartbeat)
}

// tick returns why the stream is dead, or "". waiting says that frames are unacknowledged.
func (l *liveness) tick(now time.Time, waiting bool) string {
	if l.heartbeat == 0 || l.heard.IsZero() {
		return ""
	}
	l.looked = now
	switch {
	case !waiting || l.moved:
		l.stuck, l.moved = time.Time{}, false
	case l.stuck.IsZero():
		l.stuck = now
	case now.Sub(l.stuck) > mostMisses*l.heartbeat:
		return "the peer acknowledges nothing"
	}
	if now.Before(l.silent()) {
		return ""
	}
	if l.misses == mostMisses {
		return "the peer is silent"
	}
	l.misses++
	l.ping = true
	return ""
}
