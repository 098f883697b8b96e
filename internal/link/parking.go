package link

import (
	"container/list"
	"fmt"
)

const (
	// mostDetached is how many sessions that peers have opened are kept while they have no stream, and mostDetachedBytes how
	// much may be kept for all of these: a peer could otherwise open sessions and leave them, each for its time-to-live.
	mostDetached      = 1024
	mostDetachedBytes = 256 << 20
)

// parking is what the table knows of a session that a peer has opened and that has no stream.
type parking struct {
	element *list.Element // in Table.parked; nil if the session has a stream, or has been chosen to end
	bytes   uint64        // that it keeps
	chosen  bool          // to end
}

// park tells the table that l has lost its stream. It reports whether too much is kept now, and evict is to be called. The caller
// holds l.mu; the session lives. Sessions that this side has dialled are its own affair: no peer can make it have more of them.
func (l *Link) park() (over bool) {
	if l.dialled || !l.session.Resumable() {
		return false
	}
	l.parked = true
	return l.config.Table.park(l, l.session.Kept())
}

// keepsMore tells the table how much l keeps, if that matters, since replies and messages come to it also without a stream. Where that
// is too much the timer ends what is to be ended, because the caller holds l.mu.
func (l *Link) keepsMore() {
	if l.parked && l.Live() && l.config.Table.park(l, l.session.Kept()) {
		l.crowded = true
	}
}

// unpark tells the table that l has a stream again, or is over. The caller holds l.mu.
func (l *Link) unpark() {
	if l.parked {
		l.parked = false
		l.config.Table.unpark(l)
	}
}

// park notes that l has no stream and keeps so many bytes. It reports whether too much is kept.
func (t *Table) park(l *Link, bytes uint64) (over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &l.place
	if p.chosen {
		return false
	}
	if p.element == nil {
		p.element = t.parked.PushBack(l)
	}
	t.parkedBytes += bytes - p.bytes
	p.bytes = bytes
	return t.overfullLocked()
}

// unpark forgets that l has no stream.
func (t *Table) unpark(l *Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unparkLocked(l)
}

func (t *Table) unparkLocked(l *Link) {
	p := &l.place
	if p.element == nil {
		return
	}
	t.parked.Remove(p.element)
	t.parkedBytes -= p.bytes
	p.element, p.bytes = nil, 0
}

func (t *Table) overfullLocked() bool {
	return t.parked.Len() > t.mostDetached || t.parkedBytes > t.mostDetachedBytes
}

// evict ends the sessions that have been without a stream for longest until no more is kept than may be. The caller holds no lock: the end of a
// session calls its handler.
func (t *Table) evict() {
	for {
		t.mu.Lock()
		if !t.overfullLocked() {
			t.mu.Unlock()
			return
		}
		l := t.parked.Front().Value.(*Link)
		text := fmt.Sprintf("more than %d sessions had no stream, this one for longest", t.mostDetached)
		if t.parked.Len() <= t.mostDetached {
			text = fmt.Sprintf("more than %d bytes were kept for sessions that had no stream, this one for longest", t.mostDetachedBytes)
		}
		t.unparkLocked(l)
		l.place.chosen = true
		t.mu.Unlock()
		if l.evict() {
			l.finish(ended(text, nil), nil, false)
		}
	}
}

// evict makes l, which the table has chosen to end, take no other stream. It reports false if it has one meanwhile: then it stays.
func (l *Link) evict() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evicted = l.carrier == nil
	if !l.evicted {
		l.config.Table.spare(l)
	}
	return l.evicted
}

// spare takes back that l was chosen to end.
func (t *Table) spare(l *Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.place.chosen = false
}
