package endpoint

import "time"

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

// SessionInfo is what an Env knows of one of its sessions at one moment. The numbers count from the session's beginning. The session's token is
// no part of it.
type SessionInfo struct {
	// Peer is the other side. Its Remote is the socket address of the first stream.
	Peer  Peer
	State SessionState
	// DetachedSince is when the session lost its stream; the zero time if it has one.
	DetachedSince time.Time
	// Opened is when the session was opened.
	Opened time.Time
	// Dialled says that this Env has opened the session; it is then the one that gives it another stream.
	Dialled bool
	// Remote is the socket address of the peer on the stream that carries the session, or has carried it last.
	Remote string
	// Principal is what TLS has authenticated the peer as, on the first stream; empty for nothing. Unlike the rest of what is known of
	// the peer, it is no claim.
	Principal string
	// Epoch is the number of the last stream. Attempts that have failed are numbered, too.
	Epoch uint64
	// Attaches is how often the session has got another stream, and Rotations how often of those the stream before still worked. Breaks is
	// how often it was without a stream for a while, rotations included.
	Attaches, Rotations, Breaks uint64
	// FramesSent and FramesReceived count frames with messages, each once.
	FramesSent, FramesReceived uint64
	// Replayed is how many frames were written again, and Duplicates how many came again and were dropped.
	Replayed, Duplicates uint64
	// Stalls is how often a message of this Env had to wait for room: in the window of its mailbox at the peer, or of its streaming call, or of
	// the session, or in the replay window.
	Stalls uint64
	// UnacknowledgedFrames and UnacknowledgedBytes are what is kept until the peer has taken it over.
	UnacknowledgedFrames int
	UnacknowledgedBytes  uint64
	// PendingAsks is how many asks of this Env wait for a reply, and OpenAsks how many of the peer.
	PendingAsks, OpenAsks int
	// Ignored counts what came and meant nothing.
	Ignored Ignored
}

// Ignored counts what came in a session and was ignored, as docs/protocol.md says of each. A few of them are no fault of anybody: messages cross.
type Ignored struct {
	// LateReplies are replies for which nobody waited any more.
	LateReplies uint64
	// LateCancels are cancels of asks that had been answered.
	LateCancels uint64
	// LateMessages are messages, half-closes and windows of streaming calls that were over.
	LateMessages uint64
	// LateChunks are chunks, and aborts, of messages that were over.
	LateChunks uint64
	// LateFrames are frames after a bye, or of a stream that did not carry the session any more.
	LateFrames uint64
	// StaleTotals are acknowledgements and credit below what had been said.
	StaleTotals uint64
	// UnknownCredits are credit of mailboxes to which nothing had been sent.
	UnknownCredits uint64
	// UnmatchedPongs are pongs without a ping.
	UnmatchedPongs uint64
	// DroppedMetadata are pairs of metadata with a reserved key, and pairs of answers that are not allowed.
	DroppedMetadata uint64
}

// Total returns the sum of all.
func (i Ignored) Total() uint64 {
	return i.LateReplies + i.LateCancels + i.LateMessages + i.LateChunks + i.LateFrames + i.StaleTotals + i.UnknownCredits + i.UnmatchedPongs + i.DroppedMetadata
}
