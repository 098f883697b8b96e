package session

import (
	"math"
	"slices"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// Stream is one side of a streaming call. The caller's belongs to its Ask, which the end of the call answers; the callee's comes with the
// event of its headers.
type Stream struct {
	// Owner is for the owner of the session: who is told what comes.
	Owner any

	id        uint64
	callee    bool          // this side is the callee
	out       account       // what this side may send; its window is the call's own
	in        *credit.Grant // what the peer may send
	last      *wire.Envelope
	closed    bool // this side sends no more messages: last has been appended, or waits behind a large message
	heard     bool // the caller sends no more messages
	cancelled bool // the caller has given up
	over      bool // nothing of the call is expected or sent any more
}

// begin makes st, whose headers are being sent or have come, ready for messages.
func (s *Session) begin(st *Stream, id uint64, callee bool) {
	st.id, st.callee = id, callee
	st.out = account{window: credit.NewWindow(math.MaxUint64, s.peer.StreamBytes), stream: true}
	st.in = credit.NewGrant(0, s.own.StreamBytes)
}

// CarryStreams allows streaming calls: both sides have agreed to that. It must be called before anything else.
func (s *Session) CarryStreams() { s.in.calls = true }

// ID returns the number of the call.
func (st *Stream) ID() uint64 { return st.id }

// errStreamOver is why nothing can be sent in a call that has ended.
func errStreamOver() *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonCancelled, Text: "the streaming call is over", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted}
}

// Message is one message of a streaming call.
type Message struct {
	// Payload is kept if it is longer than MostWhole, copied otherwise.
	Payload []byte
	// Memory is what Payload is in, if that is to be used again: the session takes it over with the message. Nil where Payload is copied.
	Memory *wire.Buffer
	// Parts is the payload instead, if it is larger than MostWhole and in parts: the session takes it over with the message. Its Encoding is wire.Proto.
	Parts    *wire.Parts
	Encoding wire.Encoding
}

// Len returns how long the payload is.
func (m *Message) Len() int { return payloadSize(m.Payload, m.Parts) }

// PostMessage accepts m as the next message of st, if there is room. If not, w, unless it is nil, keeps its place; PostMessage is to be called again when it
// gets its turn, or LeaveStream. An error is final.
func (s *Session) PostMessage(st *Stream, m Message, w *credit.Waiter) (accepted bool, err *endpoint.Error) {
	if err := s.refuseStreamMessage(st, m.Len(), m.Encoding); err != nil {
		s.LeaveStream(st, w)
		return false, err
	}
	a := &st.out
	large := m.Len() > MostWhole && m.Encoding == wire.Proto
	if a.window.Waiters.Blocks(w) || !s.mayStart(a, large) {
		if w != nil {
			a.window.Waiters.Join(w)
			s.block(a)
		}
		return false, nil
	}
	e := s.out.envelope()
	*e = wire.Envelope{Kind: wire.KindMessage, ID: st.id, FromCallee: st.callee, Encoding: m.Encoding, Payload: m.Payload}
	if large {
		a.transfer = &transfer{id: s.nextTransfer(), data: m.Payload, memory: m.Memory, parts: m.Parts, size: m.Len(), account: a, stream: st}
		e.Encoding, e.Payload, e.Transfer, e.TransferSize = wire.Transfer, nil, a.transfer.id, uint64(m.Len())
		s.out.transfer.Charge(1, e.TransferSize)
	}
	a.window.Charge(1, uint64(s.append(e))+besideBytes)
	if large {
		s.startTransfer(a.transfer)
	}
	*e = wire.Envelope{}
	s.LeaveStream(st, w)
	return true, nil
}

// LeaveStream gives up the place of w, which may be nil.
func (s *Session) LeaveStream(st *Stream, w *credit.Waiter) {
	if w != nil {
		st.out.window.Waiters.Leave(w)
		s.wake()
	}
}

// refuseStreamMessage returns why a message of st can never be accepted, or nil.
func (s *Session) refuseStreamMessage(st *Stream, size int, encoding wire.Encoding) *endpoint.Error {
	if s.over != nil {
		return sessionOver(s.over)
	}
	if st.over || st.closed {
		return errStreamOver()
	}
	limit := s.payloadLimit(encoding)
	if encoding == wire.JSON { // which is not cut into chunks
		limit = min(limit, wholeBytes)
	}
	if uint64(size) > limit {
		return tooLarge(size, limit)
	}
	return nil
}

// Headers sends the response headers of st, a callee's.
func (s *Session) Headers(st *Stream, md []wire.Metadata) *endpoint.Error {
	switch {
	case s.over != nil:
		return sessionOver(s.over)
	case st.over || st.closed:
		return errStreamOver()
	case metadataBytes(md) > maxMetadataBytes:
		return tooMuchMetadata(endpoint.PhaseQueued)
	}
	s.append(&wire.Envelope{Kind: wire.KindHeaders, ID: st.id, FromCallee: true, Metadata: md})
	return nil
}

// HalfClose says that st, a caller's, sends no more messages.
func (s *Session) HalfClose(st *Stream) {
	if s.over == nil && !st.over {
		s.closeStream(st, &wire.Envelope{Kind: wire.KindHalfClose, ID: st.id})
	}
}

// EndStream ends st, a callee's. A status or trailer that does not fit is replaced by an error.
func (s *Session) EndStream(st *Stream, status *spb.Status, trailer []wire.Metadata) {
	if st.closed {
		return
	}
	if e := s.refuseReply(&Reply{Status: status, Trailer: trailer}); e != nil {
		status, trailer = e.GRPCStatus().Proto(), nil
	}
	if t := st.out.transfer; t != nil && st.cancelled && s.over == nil {
		s.abort(t)
	}
	s.closeStream(st, &wire.Envelope{Kind: wire.KindEnd, ID: st.id, Status: status, Trailer: trailer})
}

// closeStream sends the last envelope of this side, behind a large message that is under way.
func (s *Session) closeStream(st *Stream, last *wire.Envelope) {
	if st.closed {
		return
	}
	st.closed = true
	switch {
	case s.over != nil:
		s.closed(st)
	case st.out.transfer != nil:
		st.last = last
	default:
		s.append(last)
		s.closed(st)
	}
}

// appendLast appends the last envelope of st, which has waited behind a large message. A bye may have been said since, which is written
// behind it.
func (s *Session) appendLast(st *Stream) {
	last := st.last
	st.last = nil
	s.append(last)
	s.closed(st)
}

// closed is called when nothing more is sent in st: at a callee, it is over.
func (s *Session) closed(st *Stream) {
	if st.callee {
		s.in.open--
		s.finishStream(st)
	}
}

// finishStream forgets a call that is over.
func (s *Session) finishStream(st *Stream) {
	st.over = true
	if st.callee {
		delete(s.in.streams, st.id)
	}
	st.out.window.Waiters.WakeAll()
}

// abandonStream ends the wait of a, the ask of a streaming call, which has had that id: nothing that is not written yet goes out.
func (s *Session) abandonStream(a *Ask, id uint64, unwritten bool) {
	st := a.Stream
	t := st.out.transfer
	st.last = nil
	if unwritten {
		if t != nil {
			s.endTransfer(t)
			s.out.transfer.Discharge(1, uint64(t.size))
		}
		s.withdrawAll(id, a.account)
	} else {
		if t != nil {
			s.abort(t)
		}
		if s.over == nil {
			s.append(&wire.Envelope{Kind: wire.KindCancel, ID: id})
		}
	}
	s.finishStream(st)
}

// withdrawAll takes a streaming call whose headers are in no frame out of the batches, as if it had not been opened.
func (s *Session) withdrawAll(id uint64, account *account) {
	o := &s.out
	mine := func(e *wire.Envelope) bool {
		return e.ID == id && !e.FromCallee && (e.Kind == wire.KindHeaders || e.Kind == wire.KindMessage || e.Kind == wire.KindHalfClose)
	}
	remove := func(b *batch) (empty bool) {
		before := len(b.body.Bytes)
		b.removeAll(mine, func(e *wire.Envelope, cost uint64) {
			if e.Kind == wire.KindHeaders {
				account.window.Discharge(1, cost)
				o.session.Discharge(1, cost)
			}
		})
		o.queued -= before - len(b.body.Bytes)
		if len(b.body.Bytes) > 0 {
			return false
		}
		b.body.Release()
		return true
	}
	o.ready = slices.DeleteFunc(o.ready, func(b batch) bool { return remove(&b) })
	if o.open.body != nil && remove(&o.open) {
		o.open = batch{}
	}
	s.asks.unanswered--
	delete(s.asks.streams, id)
	s.drained()
	s.wake()
}

// TakeMessage returns the room of a message of st. Unlike the other methods it may be called at any time, concurrently. If it reports true,
// StateWindow is to be called.
func (s *Session) TakeMessage(st *Stream, c Cost) bool {
	due := st.in.TakeBytes(c.mailbox)
	if c.transfer > 0 { // it is stated at once: nothing else says it later, and other calls may hold the rest of the window
		s.in.transfer.TakeBytes(c.transfer)
		due = true
	}
	return due
}

// StateWindow tells the peer the window of st, and of transfers.
func (s *Session) StateWindow(st *Stream) {
	if s.over != nil {
		return
	}
	s.out.dirtyIn = true
	_, bytes := st.in.Totals()
	if st.over || st.heard { // no more is coming
		return
	}
	s.append(&wire.Envelope{Kind: wire.KindWindow, ID: st.id, FromCallee: st.callee, WindowBytes: bytes})
}
