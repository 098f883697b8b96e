package session

import (
	"math"
	"time"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// The revisions that this package speaks.
const (
	LowestRevision  = 1
	HighestRevision = 1
)

const (
	// ackDelay is how long an acknowledgement may wait for a frame that carries it.
	ackDelay = 25 * time.Millisecond
	// answersAckDelay is how long it may wait where there are only answers to acknowledge: as long as TCP's. Who asks one thing after the other, of many
	// peers, would else have one frame more to read and to write for each ask than there are messages. It is not much longer, because what a peer that has
	// crashed has not acknowledged holds up the shutdown of this Env.
	answersAckDelay = 200 * time.Millisecond
	// creditDelay is how long credit may be kept that is less than a quarter of a window.
	creditDelay = 25 * time.Millisecond
)

// leastFrameBytes is the least that a receiver can allow: every batch, and every message that is not cut into chunks with all
// the metadata that it may have, fits such a frame.
const leastFrameBytes = 256 << 10

// Limits are what one side, as a receiver, allows the other.
type Limits struct {
	MailboxMessages, MailboxBytes uint64 // the window of any one mailbox
	SessionBytes                  uint64 // the window of all mailboxes, for messages that are whole in one envelope
	TransferBytes                 uint64 // the window of all payloads in chunks
	ReplayBytes                   uint64 // what the sender keeps until it is acknowledged
	MessageBytes                  uint64 // the largest payload
	FrameBytes                    uint64 // the largest frame
	Routes                        uint32 // announced routes
	Transfers                     uint32 // messages under way in chunks
	Pending                       uint32 // asks without a reply
	Mailboxes                     uint32 // mailboxes ever sent to
	StreamBytes                   uint64 // the first window of a streaming call
	Streams                       uint32 // streaming calls that are not over

	SessionTTL time.Duration // how long a session without a stream is kept; the smaller of both sides' counts
	Heartbeat  time.Duration // a peer that is silent for this long is sent a ping
}

// InitialLimits are those that revision 1 fixes.
func InitialLimits() Limits {
	return Limits{
		MailboxMessages: 8192,
		MailboxBytes:    1 << 20,
		SessionBytes:    4 << 20,
		TransferBytes:   64 << 20,
		ReplayBytes:     4 << 20,
		MessageBytes:    128 << 20,
		FrameBytes:      1 << 20,
		Routes:          65536,
		Transfers:       64,
		Pending:         65536,
		Mailboxes:       65536,
		StreamBytes:     256 << 10,
		Streams:         1024,
		SessionTTL:      60 * time.Second,
		Heartbeat:       10 * time.Second,
	}
}

// initial is what most sessions have on both sides, and so have in common.
var initial = InitialLimits()

// Shared returns limits like l that are not to be changed, because others have them, too.
func (l Limits) Shared() *Limits {
	if l == initial {
		return &initial
	}
	own := l
	return &own
}

// Proto returns l as it travels in hello and welcome.
func (l Limits) Proto() *parleyv1.Limits {
	return &parleyv1.Limits{
		MailboxMessages: l.MailboxMessages,
		MailboxBytes:    l.MailboxBytes,
		SessionBytes:    l.SessionBytes,
		TransferBytes:   l.TransferBytes,
		ReplayBytes:     l.ReplayBytes,
		MessageBytes:    l.MessageBytes,
		FrameBytes:      l.FrameBytes,
		Routes:          l.Routes,
		Transfers:       l.Transfers,
		Pending:         l.Pending,
		Mailboxes:       l.Mailboxes,
		StreamBytes:     l.StreamBytes,
		Streams:         l.Streams,
		SessionTtlMs:    milliseconds(l.SessionTTL),
		HeartbeatMs:     milliseconds(l.Heartbeat),
	}
}

// LimitsFromProto returns the limits that a peer told; a field that is zero, or a nil p, stands for the initial limit.
func LimitsFromProto(p *parleyv1.Limits) Limits {
	l := InitialLimits()
	set(&l.MailboxMessages, p.GetMailboxMessages())
	set(&l.MailboxBytes, p.GetMailboxBytes())
	set(&l.SessionBytes, p.GetSessionBytes())
	set(&l.TransferBytes, p.GetTransferBytes())
	set(&l.ReplayBytes, p.GetReplayBytes())
	set(&l.MessageBytes, p.GetMessageBytes())
	set(&l.FrameBytes, p.GetFrameBytes())
	set(&l.Routes, p.GetRoutes())
	set(&l.Transfers, p.GetTransfers())
	set(&l.Pending, p.GetPending())
	set(&l.Mailboxes, p.GetMailboxes())
	set(&l.StreamBytes, p.GetStreamBytes())
	set(&l.Streams, p.GetStreams())
	if ms := p.GetSessionTtlMs(); ms != 0 {
		l.SessionTTL = time.Duration(ms) * time.Millisecond
	}
	if ms := p.GetHeartbeatMs(); ms != 0 {
		l.Heartbeat = time.Duration(ms) * time.Millisecond
	}
	l.FrameBytes = max(l.FrameBytes, leastFrameBytes)
	return l
}

// milliseconds returns d as it travels: at least 1, since 0 stands for the initial limit.
func milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 1), math.MaxUint32))
}

func set[T uint32 | uint64](field *T, told T) {
	if told != 0 {
		*field = told
	}
}
