package link

import (
	"crypto/subtle"
	"slices"
	"sync"
)

// Table has the live links of an Env. It may be used concurrently.
type Table struct {
	mu    sync.Mutex
	links []*Link
	byEnv map[string][]*Link // the oldest first
}

// NewTable returns an empty table.
func NewTable() *Table { return &Table{byEnv: make(map[string][]*Link)} }

// add adds l. It reports false if l claims the id of a live Env without the token of a session with it.
func (t *Table) add(l *Link, token []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := l.peer.EnvID
	if same := t.byEnv[id]; id != "" && len(same) > 0 && !l.dialled && !knowsToken(same, token) {
		return false
	}
	t.links = append(t.links, l)
	if id != "" {
		t.byEnv[id] = append(t.byEnv[id], l)
	}
	return true
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
	if same := without(t.byEnv[l.peer.EnvID], l); len(same) > 0 {
		t.byEnv[l.peer.EnvID] = same
	} else {
		delete(t.byEnv, l.peer.EnvID)
	}
}

func without(links []*Link, l *Link) []*Link {
	if i := slices.Index(links, l); i >= 0 {
		return slices.Delete(links, i, i+1)
	}
	return links
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

// token returns the token of a session with the Env; nil if there is none.
func (t *Table) token(envID string) []byte {
	if l := t.Get(envID); l != nil {
		return l.token
	}
	return nil
}

// All returns the live links, the oldest first.
func (t *Table) All() []*Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.links)
}
