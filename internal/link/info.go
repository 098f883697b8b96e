package link

import "github.com/parley-rpc/parley/endpoint"

// Info returns what is known of the session: all but its token.
func (l *Link) Info() endpoint.SessionInfo {
	i := endpoint.SessionInfo{
		Peer: l.peer, Opened: l.opened, Dialled: l.dialled, Principal: l.principal, Remote: l.peer.Remote, Stalls: l.stalls.Load(),
	}
	if other := l.Carrier(); other != nil {
		i.Remote = other.Addr.String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if since, detached := l.session.DetachedSince(); detached {
		i.State, i.DetachedSince = endpoint.SessionDetached, since
	}
	c := l.session.Counters()
	i.Epoch, i.Attaches, i.Rotations, i.Breaks = l.epoch, c.Attaches, l.rotations, c.Breaks
	i.FramesSent, i.FramesReceived, i.Replayed, i.Duplicates = c.FramesOut, c.FramesIn, c.Replayed, c.Duplicates
	i.UnacknowledgedFrames, i.UnacknowledgedBytes = l.session.Unacknowledged()
	i.PendingAsks, i.OpenAsks = l.session.Pending(), l.session.OpenAsks()
	i.Ignored = endpoint.Ignored{
		LateReplies: c.LateReplies, LateCancels: c.LateCancels, LateMessages: c.LateMessages, LateChunks: c.LateChunks, LateFrames: c.LateFrames,
		StaleTotals: c.StaleTotals, UnknownCredits: c.UnknownCredits, UnmatchedPongs: c.UnmatchedPongs, DroppedMetadata: c.DroppedMetadata,
	}
	return i
}
