package link

import (
	"container/list"
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-rpc/parley/internal/identity"
	"github.com/parley-rpc/parley/internal/latch"
	"github.com/parley-rpc/parley/internal/smallmap"
)

// mostPast is how many tokens of sessions that are over are kept.
const mostPast = 1024

// Table has the live links of an Env. It may be used concurrently.
type Table struct {
	mu    sync.Mutex // taken while a link's mu is held, never the other way round
	links []*Link
	byEnv smallmap.Map[string, []*Link] // the oldest first
	peers map[string]int                // how many each peer has dialled, by Link.owner; nil until one has
	ids   map[string]*Link              // those that peers have dialled, by session

	gone   Totals        // of the links that were taken out; without the stalls
	stalls atomic.Uint64 // of all links that there ever were: they may be counted until the last moment

	past map[string]*credential // of the last dialled session with an Env that is over; nil until there is one
	over latch.Latch            // set by Close

	parked      list.List // of *Link: that peers have opened and that have no stream, the one without for longest first
	parkedBytes uint64    // that these keep
	// The limits of these: constants but in tests.
	mostDetached      int
	mostDetachedBytes uint64
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{
		mostDetached: mostDetached, mostDetachedBytes: mostDetachedBytes,
	}
}

// Close makes the table take no more links.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over.Set()
}

var (
	errTaken       = errors.New("this Env id has a live session here, and the hello does not bring its token")
	errCrowded     = errors.New("this peer has as many sessions as one may have (parley.WithPeerSessions)")
	errTableClosed = errors.New("this Env is shut down, or being shut down")
)

// add adds l. It fails with errTaken if l claims the id of a live Env without the token of a session with it or its authenticated principal, with
// errCrowded if the peer that has dialled it has too many, and with errTableClosed. Sessions of which the dialler may not know, because their stream
// broke before it has sent anything after its hello, do not count: they are returned, to be ended.
func (t *Table) add(l *Link, token []byte) (unknown []*Link, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over.IsSet() {
		return nil, errTableClosed
	}
	id := l.peer.EnvID
	if same := t.byEnv.Get(id); id != "" && len(same) > 0 && !l.dialled && !mayClaim(same, l, token) {
		for _, other := range same {
			if other.dialled || other.heard.Load() || other.place.element == nil {
				return nil, errTaken
			}
		}
		unknown = slices.Clone(same)
	}
	if !l.dialled {
		owner := l.owner()
		count := t.peers[owner]
		for _, other := range unknown { // they make room
			if other.owner() == owner {
				count--
			}
		}
		if most := l.config.PeerSessions; most > 0 && count >= most {
			return nil, errCrowded
		}
		if t.ids == nil {
			t.peers, t.ids = make(map[string]int), make(map[string]*Link)
		}
		t.peers[owner]++
		t.ids[l.peer.Session] = l
	}
	t.links = append(t.links, l)
	if id != "" {
		t.byEnv.Set(id, append(t.byEnv.Get(id), l))
	}
	return unknown, nil
}

// mayClaim reports whether l, which brings token, has a right to the Env id of these links: the token of one of them, or what the
// carrier has authenticated. All are looked at, whichever it is.
func mayClaim(links []*Link, l *Link, token []byte) bool {
	may := false
	for _, other := range links {
		if len(token) > 0 && subtle.ConstantTimeCompare(other.token, token) == 1 {
			may = true
		}
		if l.principal != "" && l.principal == other.principal {
			may = true
		}
	}
	return may
}

// Remove takes l, which has ended, out. Its totals are kept.
func (t *Table) Remove(l *Link) {
	last := l.totals() // before mu: the link's own comes first
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.links, l); i >= 0 {
		t.links = slices.Delete(t.links, i, i+1)
		t.gone.add(last)
	}
	if !l.dialled {
		t.forgetLocked(l)
	} else if l.peer.EnvID != "" {
		t.rememberLocked(l)
	}
	if same := without(t.byEnv.Get(l.peer.EnvID), l); len(same) > 0 {
		t.byEnv.Set(l.peer.EnvID, same)
	} else {
		t.byEnv.Delete(l.peer.EnvID)
	}
}

// owner says who has dialled l, as far as anybody knows.
func (l *Link) owner() string {
	if l.principal != "" {
		return "principal " + l.principal
	}
	return "host " + identity.Host(l.peer.Remote)
}

// forgetLocked forgets a session that a peer has dialled, once.
func (t *Table) forgetLocked(l *Link) {
	if t.ids[l.peer.Session] != l {
		return
	}
	delete(t.ids, l.peer.Session)
	owner := l.owner()
	if t.peers[owner]--; t.peers[owner] == 0 {
		delete(t.peers, owner)
	}
}

// rememberLocked keeps the token of a session that is over: where only this side knows that yet, the peer wants it of the
// next one.
func (t *Table) rememberLocked(l *Link) {
	if t.past[l.peer.EnvID] == nil && len(t.past) >= mostPast {
		for id := range t.past { // any one
			delete(t.past, id)
			break
		}
	}
	if t.past == nil {
		t.past = make(map[string]*credential)
	}
	c := l.credential()
	t.past[l.peer.EnvID] = &c
}

func without(links []*Link, l *Link) []*Link {
	if i := slices.Index(links, l); i >= 0 {
		return slices.Delete(links, i, i+1)
	}
	return links
}

// session returns the link of a session that a peer has dialled; nil if there is none.
func (t *Table) session(id string) *Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[id]
}

// Get returns the oldest link with the Env that has a stream, or the oldest of those that have none; nil if there is none. A program that has
// ended a session alone, and opened another one, is not to be reached by the first. Who needs the order of messages keeps to the link that
// the first of them took, while it lives.
func (t *Table) Get(envID string) *Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	same := t.byEnv.Get(envID)
	if len(same) == 0 {
		return nil
	}
	return same[max(0, slices.IndexFunc(same, func(l *Link) bool { return l.place.element == nil }))]
}

// Totals are what sessions have counted: how often a message had to wait for room, how many frames were written again, and how many replies came
// when nobody waited any more.
type Totals struct {
	Stalls, Replayed, LateReplies uint64
}

func (t *Totals) add(other Totals) {
	t.Replayed += other.Replayed
	t.LateReplies += other.LateReplies
}

// stalled notes that a message has to wait for room.
func (l *Link) stalled() {
	l.stalls.Add(1)
	l.config.Table.stalls.Add(1)
}

// totals returns what the session of l has counted, but for the stalls. When it has ended, that does not change any more.
func (l *Link) totals() Totals {
	c := l.Counters()
	return Totals{Replayed: c.Replayed, LateReplies: c.LateReplies}
}

// Totals returns the live links, the oldest first, and what all sessions that there ever were have counted.
func (t *Table) Totals() (live []*Link, all Totals) {
	t.mu.Lock()
	live, all = slices.Clone(t.links), t.gone
	t.mu.Unlock()
	for _, l := range live {
		all.add(l.totals())
	}
	all.Stalls = t.stalls.Load()
	return live, all
}

// All returns the live links, the oldest first.
func (t *Table) All() []*Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.links)
}
