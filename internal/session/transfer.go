package session

import (
	"fmt"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// transfer is a payload that is being sent in chunks.
type transfer struct {
	id      uint64       // 0 for a reply that has not started
	data    []byte       // nil when it has ended
	memory  *wire.Buffer // that data is in, if it is used again
	parts   *wire.Parts  // the payload instead of data; nil when it has ended
	size    int          // of the payload
	sent    int
	account *account // nil for a reply
	stream  *Stream  // of a message of a streaming call
	reply   *Reply   // of a reply that has not started
	isReply bool
	ended   bool

	send        *Send  // what is reported of a send that is not acknowledged; nil for an ask or a reply
	first, last uint64 // the frames that have its message and its last chunk; 0 while they are not made
}

func (t *transfer) written() bool { return t.sent == t.size }

// unsent returns what is next of the payload, as far as it is in one piece.
func (t *transfer) unsent() []byte {
	if t.parts != nil {
		return t.parts.From(t.sent)
	}
	return t.data[t.sent:]
}

// nextTransfer returns the id of a transfer whose message is appended next.
func (s *Session) nextTransfer() uint64 {
	s.out.lastTransfer++
	return s.out.lastTransfer
}

// startTransfer lets the chunks of t follow the batch that is open now, which has the message.
func (s *Session) startTransfer(t *transfer) {
	s.out.underway++
	if !t.isReply {
		s.out.largeMessages += t.size
	}
	s.out.open.begins = append(s.out.open.begins, t)
}

// nextChunk makes the body of a frame with the next chunk of the transfer whose turn it is.
func (s *Session) nextChunk() *wire.Buffer {
	o := &s.out
	t := o.transfers[0]
	piece := t.unsent()
	n := min(len(piece), chunkBytes)
	e := o.envelope()
	*e = wire.Envelope{Kind: wire.KindChunk, ID: t.id, Payload: piece[:n]}
	body := wire.NewBuffer(n + headRoom)
	body.Bytes = e.Append(body.Bytes)
	if t.account != nil {
		t.account.window.Charge(0, uint64(e.Size()))
	}
	*e = wire.Envelope{}
	t.sent += n
	copy(o.transfers, o.transfers[1:])
	o.transfers[len(o.transfers)-1] = t
	if t.written() {
		t.last = o.number + 1 // the frame that this becomes
		s.endTransfer(t)
	}
	return body
}

// abort ends a transfer that has not been written wholly.
func (s *Session) abort(t *transfer) {
	s.append(&wire.Envelope{Kind: wire.KindAbort, ID: t.id})
	s.endTransfer(t)
}

func (s *Session) endTransfer(t *transfer) {
	o := &s.out
	if t.memory != nil { // chunks are copies; what the end of the session leaves of it is reported, and not released
		t.memory.Release()
	}
	if t.parts != nil {
		t.parts.Release()
	}
	t.ended, t.data, t.memory, t.parts = true, nil, nil, nil // who asked may be waiting for long yet
	o.underway--
	for i, other := range o.transfers {
		if other == t {
			last := len(o.transfers) - 1
			copy(o.transfers[i:], o.transfers[i+1:])
			o.transfers[last] = nil
			o.transfers = o.transfers[:last]
			break
		}
	}
	if t.isReply {
		o.largeReplies -= t.size
	} else {
		o.largeMessages -= t.size
	}
	if t.account != nil {
		t.account.transfer = nil
	}
	if t.stream != nil && t.stream.last != nil {
		s.appendLast(t.stream)
	}
	s.wake()
}

// startReplies starts large replies that waited for a transfer to end.
func (s *Session) startReplies() {
	o := &s.out
	for len(o.replies) > 0 && o.underway < int(s.peer.Transfers) {
		t := o.replies[0]
		o.replies[0] = nil
		o.replies = o.replies[1:]
		t.id = s.nextTransfer()
		var e wire.Envelope
		t.reply.fill(&e)
		e.Encoding, e.Payload, e.Transfer, e.TransferSize = wire.Transfer, nil, t.id, uint64(t.size)
		t.reply = nil
		s.append(&e)
		s.startTransfer(t)
	}
}

func tooLarge(size int, limit uint64) *endpoint.Error {
	return &endpoint.Error{
		Reason: endpoint.ReasonTooLarge, Text: fmt.Sprintf("%d bytes, where the receiver allows %d", size, limit),
		Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted,
	}
}
