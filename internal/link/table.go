package link

import (
	"crypto/subtle"
	"errors"
	"slices"
	"sync"
)

// mostTokens is how many tokens of sessions that are over are kept.
const mostTokens = 1024

// Table has the live links of an Env. It may be used concurrently.
type Table struct {
	mu    sync.Mutex
	links []*Link
	byEnv map[string][]*Link // the oldest first
	ids   map[string]*Link   // those that peers have dialled, by session

	tokens map[string][]byte // of the last dialled session with an Env that is over
	closed chan struct{}     // closed by Close
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{byEnv: make(map[string][]*Link), ids: make(map[string]*Link), tokens: make(map[string][]byte), closed: make(chan struct{})}
}

// Close makes the table take no more links.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isClosed() {
		close(t.closed)
	}
}

func (t *Table) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}

var (
	errTaken       = errors.New("this Env id has a live session here, and the hello does not bring its token")
	errTableClosed = errors.New("this Env is shut down, or being shut down")
)

// add adds l. It fails with errTaken if l claims the id of a live Env without the token of a session with it, and with
// errTableClosed. Sessions of which the dialler may not know, because their stream broke before it has sent anything after its hello, do not
// count: they are returned, to be ended.
func (t *Table) add(l *Link, token []byte) (unknown []*Link, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed() {
		return nil, errTableClosed
	}
	id := l.peer.EnvID
	if same := t.byEnv[id]; id != "" && len(same) > 0 && !l.dialled && !knowsToken(same, token) {
		for _, other := range same {
			if other.dialled || other.heard.Load() || !other.lostStream() {
				return nil, errTaken
			}
		}
		unknown = slices.Clone(same)
	}
	t.links = append(t.links, l)
	if !l.dialled {
		t.ids[l.peer.Session] = l
	}
	if id != "" {
		t.byEnv[id] = append(t.byEnv[id], l)
	}
	return unknown, nil
}

func knowsToken(links []*Link, token []byte) bool {
	for _, l := range links {
		if len(token) > 0 && subtle.ConstantTimeCompare(l.token, token) == 1 {
			return true
		}
	}
	return false
}

// Remove takes l out.
func (t *Table) Remove(l *Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.links = without(t.links, l)
	if !l.dialled {
		delete(t.ids, l.peer.Session)
	} else if l.peer.EnvID != "" {
		t.rememberLocked(l)
	}
	if same := without(t.byEnv[l.peer.EnvID], l); len(same) > 0 {
		t.byEnv[l.peer.EnvID] = same
	} else {
		delete(t.byEnv, l.peer.EnvID)
	}
}

// rememberLocked keeps the token of a session that is over: where only this side knows that yet, the peer wants it of the
// next one.
func (t *Table) rememberLocked(l *Link) {
	if _, known := t.tokens[l.peer.EnvID]; !known && len(t.tokens) >= mostTokens {
		for id := range t.tokens { // any one
			delete(t.tokens, id)
			break
		}
	}
	t.tokens[l.peer.EnvID] = l.token
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

// Get returns the oldest link with the Env, so that all messages to it take the same one; nil if there is none.
func (t *Table) Get(envID string) *Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	if same := t.byEnv[envID]; len(same) > 0 {
		return same[0]
	}
	return nil
}

// token returns the token of a session with the Env, or of the last one; nil if there was none.
func (t *Table) token(envID string) []byte {
	if l := t.Get(envID); l != nil {
		return l.token
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tokens[envID]
}

// All returns the live links, the oldest first.
func (t *Table) All() []*Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.links)
}
