package client

import (
	"maps"

	"github.com/parley-rpc/parley/internal/link"
)

// path is where messages can go: to the Env at via; or, to an Env in client mode, by a session with it or by the Env at via, which relays. Which of these
// depends on what sessions there are when the first message goes; the others follow it as long as that session lives, because they
// might overtake it on another.
type path struct {
	envID string // "" unless in client mode
	via   string // "" if nobody is known who relays
}

// manyPaths is how many there may be before those are dropped whose session has ended.
const manyPaths = 256

// taken returns the session that messages by p take, nil if none does yet.
func (c *Client) taken(p path) *link.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takenLocked(p)
}

func (c *Client) takenLocked(p path) *link.Link {
	if l := c.paths[p]; l != nil && l.Live() {
		return l
	}
	return nil
}

// take makes messages by p take l, unless they take another session already, and returns which they take.
func (c *Client) take(p path, l *link.Link) *link.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.takenLocked(p); before != nil {
		return before
	}
	if len(c.paths) >= manyPaths {
		maps.DeleteFunc(c.paths, func(_ path, l *link.Link) bool { return !l.Live() })
	}
	if c.paths == nil {
		c.paths = make(map[path]*link.Link)
	}
	c.paths[p] = l
	return l
}
