package parley

import (
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
)

// SessionState is what a session is doing.
type SessionState int

// The states of a session. One that is over is not listed.
const (
	// SessionAttached has a stream.
	SessionAttached SessionState = iota
	// SessionDetached has lost its stream and waits for another one, until its time-to-live is over. What is sent waits, too.
	SessionDetached
)

// String returns "attached" or "detached".
func (s SessionState) String() string {
	if s == SessionDetached {
		return "detached"
	}
	return "attached"
}

// SessionInfo is what an Env knows of one of its sessions at one moment. The numbers count from the session's beginning.
type SessionInfo struct {
	Peer  endpoint.Peer
	State SessionState
	// Dialled says that this Env has opened the session; it is then the one that gives it another stream.
	Dialled bool
	// Attaches is how often the session has got another stream, and Rotations how often of those the stream before still worked.
	Attaches, Rotations uint64
	// Replayed is how many frames were written again, and Duplicates how many came again and were dropped.
	Replayed, Duplicates uint64
	// UnacknowledgedFrames and UnacknowledgedBytes are what is kept until the peer has taken it over.
	UnacknowledgedFrames int
	UnacknowledgedBytes  uint64
	// PendingAsks is how many asks of this Env wait for a reply, and OpenAsks how many of the peer.
	PendingAsks, OpenAsks int
}

// Sessions returns the sessions of the Env, the oldest first. It may be called at any time.
func (e *Env) Sessions() []SessionInfo {
	links := e.table.All()
	infos := make([]SessionInfo, 0, len(links))
	for _, l := range links {
		infos = append(infos, sessionInfo(l))
	}
	return infos
}

func sessionInfo(l *link.Link) SessionInfo {
	c := l.Counters()
	i := SessionInfo{
		Peer: l.Peer(), Dialled: l.Dialled(), Attaches: c.Attaches, Rotations: l.Rotations(), Replayed: c.Replayed, Duplicates: c.Duplicates,
	}
	if !l.Attached() {
		i.State = SessionDetached
	}
	i.UnacknowledgedFrames, i.UnacknowledgedBytes = l.Unacknowledged()
	i.PendingAsks, i.OpenAsks = l.Pending()
	return i
}
