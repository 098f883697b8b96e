package link

import (
	"slices"
	"time"
)

const (
	// mostWrong is how often in a row an address may be that of one other Env, before the one that had it is taken to have ended.
	mostWrong = 10
	// wrongPause is the pause after such an answer, give or take a half.
	wrongPause = 100 * time.Millisecond
)

// replicas finds out what it means that an attach reaches another Env: that the peer has ended, and its address has been given to
// its successor; or that a load balancer has chosen another of the programs behind it, so that a further attempt may find
// the right one. the keeper has it.
type replicas struct {
	envID string // who answered last
	times int    // in a row
	many  bool   // there are several Envs at the address
}

// found says that an attach has reached the right Env.
func (r *replicas) found() {
	r.many = r.many || r.times > 0
	r.envID, r.times = "", 0
}

// gone is told that the Env envID has answered at address, and reports whether the peer has ended: it says that the address is its own, and
// the other Env alone answers there.
func (r *replicas) gone(address string, own []string, envID string) bool {
	if !slices.Contains(own, address) {
		return false
	}
	if r.times > 0 && r.envID != envID {
		r.many = true
	}
	r.envID = envID
	r.times++
	return !r.many && r.times >= mostWrong
}

// addresses returns where the peer says that it can be attached to.
func (l *Link) addresses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attachAt
}

// otherAddress returns an address of the peer to try after the one at which another Env has answered: in turn those that it has told, and
// the one that the session was dialled at, which is "".
func (l *Link) otherAddress(tried string) string {
	own := l.addresses()
	if i := slices.Index(own, tried); i >= 0 {
		own = own[i+1:]
	}
	if len(own) == 0 {
		return ""
	}
	return own[0]
}
