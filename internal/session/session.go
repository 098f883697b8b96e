package session

import (
	"cmp"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// Session is one side of an open session. It is not safe for concurrent use, but for Take.
type Session struct {
	own  *Limits       // what this side, as a receiver, allows; not to be changed, as the next
	peer *Limits       // what the peer, as a receiver, allows
	ttl  time.Duration // how long a session without a stream is kept

	in       incoming
	out      outgoing
	asks     asks
	live     liveness
	counters Counters

	over *endpoint.Error // why nothing more can be sent; nil while the session lives
}

// Counters are totals of what was done and ignored.
type Counters struct {
	// FramesIn and FramesOut count frames with a number.
	FramesIn, FramesOut uint64
	// LateReplies count answers to nothing that waits (A46, A47).
	LateReplies uint64
	// LateCancels count cancels of nothing that runs (A48).
	LateCancels uint64
	// LateMessages count messages and half-closes of callers, and windows, for no streaming call (A50).
	LateMessages uint64
	// LateChunks count chunks of transfers that are over, and aborts of none that is under way (A49).
	LateChunks uint64
	// LateFrames count numbered frames after a bye (A43), and frames of a stream that is over (A42).
	LateFrames uint64
	// StaleTotals count acknowledgements and credit below what was said before (A21, A22).
	StaleTotals uint64
	// UnknownCredits count credit of mailboxes to which nothing was sent (A23).
	UnknownCredits uint64
	// Duplicates count frames that had arrived before (A5).
	Duplicates uint64
	// UnmatchedPongs count pongs that no ping waits for (A44).
	UnmatchedPongs uint64
	// Breaks count how often the session has lost its stream, Attaches how often it has got another one, and Replayed
	// the frames that were written again.
	Breaks, Attaches, Replayed uint64
	// DroppedMetadata count pairs of a reserved key, and pairs of an answer that are not allowed (A61).
	DroppedMetadata uint64
}

// mailboxKey names a mailbox at the other side.
type mailboxKey struct{ envID, endpoint string }

// compare gives keys an order, so that what goes through a map does so in the same order each time.
func (k mailboxKey) compare(other mailboxKey) int {
	return cmp.Or(strings.Compare(k.envID, other.envID), strings.Compare(k.endpoint, other.endpoint))
}

// New returns an open session. own is what this side told the peer, peer what the peer told.
func New(own, peer Limits) *Session {
	s := &Session{own: own.Shared(), peer: peer.Shared(), ttl: min(own.SessionTTL, peer.SessionTTL)}
	s.in.session.Init(0, own.SessionBytes)
	s.in.transfer.Init(0, own.TransferBytes)
	s.out.pace = newPace(leastAhead)
	s.out.session = credit.NewWindow(math.MaxUint64, peer.SessionBytes)
	s.out.transfer = credit.NewWindow(math.MaxUint64, peer.TransferBytes)
	return s
}

// Counters returns the counters.
func (s *Session) Counters() Counters { return s.counters }

// GiveReceipts allows sends that want a receipt: both sides have agreed to that. It must be called before anything else.
func (s *Session) GiveReceipts() { s.in.receipts = true }

// Drain announces that this side, which has been dialled, is going to end the stream after d.
func (s *Session) Drain(d time.Duration) { s.out.drain = d }

// TakeDrain reports, once, that the peer is going to end the stream.
func (s *Session) TakeDrain() bool {
	drain := s.live.drain
	s.live.drain = false
	return drain
}

// CountLateFrame counts a frame that was read on a stream that carries the session no more (A42).
func (s *Session) CountLateFrame() { s.counters.LateFrames++ }

// Acknowledge makes the next frame acknowledge what has come.
func (s *Session) Acknowledge() {
	s.in.acked = 0
	s.out.ackNow = true
}

// ByeWritten reports whether the last envelope of this side has been written.
func (s *Session) ByeWritten() bool { return s.over != nil && s.out.bye == nil && s.Idle() }

// CountLateCancel counts a cancel for which the owner of the session found nothing that runs.
func (s *Session) CountLateCancel() { s.counters.LateCancels++ }

// Over returns why the session is over, or nil.
func (s *Session) Over() *endpoint.Error { return s.over }

// Deadline returns when Tick should be called at the latest; zero for never.
func (s *Session) Deadline() time.Time {
	d := s.in.ackAt
	if c := s.in.creditAt; !c.IsZero() && (d.IsZero() || c.Before(d)) {
		d = c
	}
	if a := s.asks.first; a != nil && (d.IsZero() || a.Expires.Before(d)) {
		d = a.Expires
	}
	next := s.expiry()
	if !s.out.replay.detached {
		next = s.live.deadline()
	}
	if !next.IsZero() && (d.IsZero() || next.Before(d)) {
		d = next
	}
	return d
}

// Verdict is what has become of a session or its stream in the course of time.
type Verdict struct {
	// Dead says why the stream is to be ended; empty if it is not.
	Dead string
	// Expired says that the session is to be ended, because there was no stream for its time-to-live.
	Expired bool
}

// Check tells the time, like Tick, and returns what has come of it.
func (s *Session) Check(now time.Time) (v Verdict) {
	if s.out.replay.detached {
		return Verdict{Expired: s.expired(now)}
	}
	return Verdict{Dead: s.live.tick(now, len(s.out.replay.kept) > 0)}
}

// Watch begins to look after the stream by the heartbeat of this side.
func (s *Session) Watch(now time.Time) {
	s.live.heartbeat = s.own.Heartbeat
	s.live.restart(now)
}

// Tick tells the time. It returns the asks that have expired.
func (s *Session) Tick(now time.Time) []Unanswered {
	if !s.in.ackAt.IsZero() && !now.Before(s.in.ackAt) {
		s.in.ackAt = time.Time{}
		s.out.ackNow = true
	}
	if !s.in.creditAt.IsZero() && !now.Before(s.in.creditAt) {
		s.stateWithheld()
	}
	var expired []Unanswered
	for a := s.asks.first; a != nil && !now.Before(a.Expires); a = s.asks.first {
		u, _ := s.Abandon(a)
		expired = append(expired, u)
	}
	return expired
}

// End ends the session for the reason e: nothing is sent or accepted any more, those who wait for room are woken, and the
// pending asks are returned, in order. Ending twice returns nothing the second time.
func (s *Session) End(e *endpoint.Error) []Unanswered {
	if s.over == nil {
		s.over = e
	}
	var asks []Unanswered
	for _, id := range s.asks.waiting.IDs() {
		u := s.end(s.asks.waiting.Get(id))
		u.Ask.transfer, u.Ask.account = nil, nil
		if st := u.Ask.Stream; st != nil {
			st.last, st.out.transfer = nil, nil
			s.finishStream(st)
		}
		asks = append(asks, u)
	}
	for _, st := range s.in.streams { // their handlers end them, unless they have
		st.out.transfer = nil
		st.out.window.Waiters.WakeAll()
		if st.last != nil {
			st.last = nil
			s.closed(st)
		}
	}
	// A session that is over may be kept for long yet: by Refs that took it, and by futures.
	for _, a := range s.out.accounts.All() {
		a.window.Waiters.WakeAll()
		a.transfer = nil
	}
	s.in.transfers, s.in.partialBytes, s.in.replyBytes = nil, 0, 0
	s.out.largeMessages, s.out.largeReplies, s.out.underway = 0, 0, 0
	s.out.transfers, s.out.replies, s.out.sends = nil, nil, nil
	s.out.ready, s.out.open, s.out.queued = nil, batch{}, 0
	s.out.replay.release()
	s.out.rest()
	return asks
}

// Bye accepts nothing more. The last envelope of this side follows what is queued, large messages included.
func (s *Session) Bye(e *endpoint.Error) {
	if s.over != nil {
		return
	}
	s.out.bye = &wire.Envelope{Kind: wire.KindBye, Status: e.GRPCStatus().Proto()}
	s.over = e
}

// Unfinished reports whether the peer may not have taken all that was accepted before the bye.
func (s *Session) Unfinished() bool {
	kept := len(s.out.replay.kept)
	if s.ByeWritten() {
		kept-- // its own frame, which is the last, unless that is acknowledged
	}
	return kept > 0 || !s.Idle()
}

// Idle reports whether nothing waits to be written.
func (s *Session) Idle() bool {
	return s.out.queued == 0 && s.out.underway == 0 && len(s.out.replies) == 0
}

// Kept returns about how many bytes the session keeps for the peer: what the peer has not acknowledged, what waits to be written, and
// what of the peer's own is there for as long as the session: parts of messages, and the names of routes and mailboxes.
func (s *Session) Kept() uint64 {
	o, in := &s.out, &s.in
	return o.replay.bytes + uint64(o.queued+o.largeReplies+o.largeMessages) + in.partialBytes + in.namesBytes
}

// OpenAsks returns how many asks of the peer have not been answered.
func (s *Session) OpenAsks() int { return int(s.in.open) }

// Pending returns how many asks of this side wait for a reply.
func (s *Session) Pending() int { return s.asks.waiting.Len() }

func sessionOver(e *endpoint.Error) *endpoint.Error {
	return e.At(endpoint.PhaseQueued, endpoint.NotExecuted)
}

func overloaded(setting, text string) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: text, Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Setting: setting}
}

func gap(want, got uint64) *Violation {
	v := violation("A6", codes.DataLoss, "frame %d came where %d was due", got, want)
	v.Stream = true
	return v
}
