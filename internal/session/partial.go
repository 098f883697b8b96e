package session

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// beginTransfer takes the last event back, until its payload has come.
func (s *Session) beginTransfer(ev *Event) *Violation {
	in := &s.in
	e := &in.env
	p := &partial{event: *ev, began: in.now, id: e.Transfer, size: e.TransferSize}
	*ev = Event{}
	in.events = in.events[:len(in.events)-1]
	message := p.event.Kind != wire.KindReply // which takes of the window for transfers
	switch {
	case e.Transfer <= in.lastTransfer:
		return violation("A15", codes.InvalidArgument, "transfer %d came after %d", e.Transfer, in.lastTransfer)
	case len(in.transfers) >= int(s.own.Transfers):
		return violation("A15", codes.ResourceExhausted, "more than %d transfers", s.own.Transfers)
	case p.size == 0 || p.size > s.own.MessageBytes:
		return violation("A16", codes.ResourceExhausted, "a transfer of %d bytes, where %d are allowed", p.size, s.own.MessageBytes)
	case message && !in.transfer.ReceiveBytes(p.size):
		return violation("A19", codes.ResourceExhausted, "the session's window for transfers is overrun")
	}
	if message {
		p.event.Cost.transfer = p.size
		if a := p.event.Account; a != nil {
			s.tighten(a)
		} else if in.transfer.Tight() && in.transfer.Untold() { // of a streaming call, whose window says nothing of what others have given back
			s.out.dirtyIn = true
		}
	} else {
		s.beginReply(p)
	}
	in.lastTransfer = e.Transfer
	if in.transfers == nil {
		in.transfers = make(map[uint64]*partial)
	}
	in.transfers[e.Transfer] = p
	return nil
}

// beginReply makes room for a large reply, unless nobody waits for it, or those that are under way are too large
// already: then the one ask fails, and the chunks are not kept.
func (s *Session) beginReply(p *partial) {
	in := &s.in
	switch {
	case s.asks.waiting.Get(p.event.ID) == nil:
		p.unwanted = true
		s.counters.LateReplies++
	case in.replyBytes >= s.own.TransferBytes:
		p.unwanted = true
		refused := Event{Kind: wire.KindReply, ID: p.event.ID, Refused: overloaded("parley.WithTransferWindow", "too many bytes of large replies are under way")}
		refused.Refused.Phase, refused.Refused.Execution = endpoint.PhaseSent, endpoint.MayHaveExecuted
		s.deliverAnswer(&refused)
	default:
		in.replyBytes += p.size
	}
}

// receiveChunk takes a chunk; the last one makes the message whole.
func (s *Session) receiveChunk(size uint64) *Violation {
	in := &s.in
	e := &in.env
	p := in.transfers[e.ID]
	switch {
	case p == nil && e.ID <= in.lastTransfer:
		s.counters.LateChunks++
		return nil
	case p == nil:
		return violation("A17", codes.InvalidArgument, "a chunk of transfer %d, which has not begun", e.ID)
	case len(e.Payload) == 0 || p.got+uint64(len(e.Payload)) > p.size:
		return violation("A16", codes.InvalidArgument, "transfer %d has an empty chunk, or more bytes than it told", e.ID)
	}
	a, st := p.event.Account, p.event.Stream
	switch {
	case a != nil:
		tight := a.grant.Tight()
		a.grant.Receive(0, size)
		if !tight { // later, whoever takes something sees to it
			s.tighten(a)
		}
		p.event.Cost.mailbox += size
	case st != nil:
		st.in.Receive(0, size)
		p.event.Cost.mailbox += size
	}
	p.unwanted = p.unwanted || p.event.Kind == wire.KindMessage && (st == nil || st.over)
	p.got += uint64(len(e.Payload))
	in.chunks += len(e.Payload)
	if !p.unwanted && p.event.Refused == nil {
		p.append(e.Payload)
		in.partialBytes += uint64(len(e.Payload))
	}
	if p.got < p.size {
		return nil
	}
	s.endPartial(p)
	p.event.Memory, p.event.Parts, p.event.Encoding = p.memory, p.parts, wire.Proto
	if p.memory != nil {
		p.event.Payload = p.memory.Bytes
	}
	p.event.RemainingMicros = less(p.event.RemainingMicros, uint64(max(0, in.now.Sub(p.began)/time.Microsecond)))
	switch {
	case p.event.Kind == wire.KindMessage:
		s.deliverStreamMessage(p, nil)
	case p.unwanted:
	case p.event.Kind == wire.KindReply:
		s.deliverAnswer(&p.event)
	default:
		in.events = append(in.events, p.event)
	}
	return nil
}

// append adds a piece. Up to reservedTransfer there is room for the whole from the first piece on. As its size is but a claim, the room for a
// larger one is made part by part: to have it in one piece, what has come would have to be copied here each time the room grows, or room to be
// made, and cleared, of which nothing has come; for milliseconds, while all else in the session waits.
func (p *partial) append(piece []byte) {
	switch {
	case p.size > reservedTransfer:
		if p.parts == nil {
			p.parts = new(wire.Parts)
		}
		p.parts.Append(piece)
		return
	case p.memory == nil:
		p.memory = wire.NewBuffer(int(p.size))
	}
	p.memory.Bytes = append(p.memory.Bytes, piece...)
}

// held returns how many bytes of the message are kept.
func (p *partial) held() int {
	switch {
	case p.parts != nil:
		return p.parts.Len()
	case p.memory != nil:
		return len(p.memory.Bytes)
	default:
		return 0
	}
}

// receiveAbort takes the abort of a transfer.
func (s *Session) receiveAbort() {
	if p := s.in.transfers[s.in.env.ID]; p != nil {
		s.abortPartial(p, s.in.env.Status)
	} else {
		s.counters.LateChunks++
	}
}

// HalfClosed says that the peer sends no more, for the reason why: its unfinished transfers count as aborted, and its streaming calls as
// half-closed. It returns the events of that, and what was asked of the peer, in order: that is not answered
// any more, and nothing else is asked.
func (s *Session) HalfClosed(why *endpoint.Error) ([]Event, []Unanswered) {
	s.in.enter(new(Intake), time.Time{})
	defer s.in.leave()
	s.in.ended = why
	var asks []Unanswered
	for _, id := range s.asks.waiting.IDs() {
		u, _ := s.Abandon(s.asks.waiting.Get(id))
		asks = append(asks, u)
	}
	for _, id := range slices.Sorted(maps.Keys(s.in.transfers)) {
		if p := s.in.transfers[id]; p.event.Kind == wire.KindReply { // nobody waits for it any more
			s.endPartial(p)
		} else {
			s.abortPartial(p, nil)
		}
	}
	for _, a := range s.out.accounts.All() {
		a.window.Waiters.WakeAll()
	}
	s.halfClosed()
	return s.in.events, asks
}

// abortPartial forgets a partial message. Its credit returns, as if it had been taken; an aborted ask is not answered.
func (s *Session) abortPartial(p *partial, why *spb.Status) {
	s.endPartial(p)
	switch p.event.Kind {
	case wire.KindReply:
		if !p.unwanted {
			p.event.Encoding, p.event.Status = wire.NoPayload, aborted(why)
			s.deliverAnswer(&p.event)
		}
		return
	case wire.KindMessage:
		s.deliverStreamMessage(p, aborted(why))
		return
	case wire.KindAsk, wire.KindSend:
		if p.event.ID != 0 {
			s.in.open--
		}
	}
	s.Take(p.event.Account, p.event.Cost)
	s.StateCredit(p.event.Account)
}

// endPartial forgets p.
func (s *Session) endPartial(p *partial) {
	delete(s.in.transfers, p.id)
	s.in.partialBytes -= uint64(p.held())
	if p.event.Kind != wire.KindReply {
		return
	}
	s.asks.answered(p.event.ID)
	if !p.unwanted {
		s.in.replyBytes -= p.size
	}
}

// aborted returns the status of a reply whose transfer was aborted: an abort without a reason is an error, too.
func aborted(st *spb.Status) *spb.Status {
	if st.GetCode() != 0 {
		return st
	}
	return &spb.Status{Code: int32(codes.Unavailable), Message: "the message was aborted"}
}

// validateMethod checks the form "package.Service/Method".
func validateMethod(m string) error {
	service, method, ok := strings.Cut(m, "/")
	if !ok || len(m) > 1024 || !protoreflect.FullName(service).IsValid() || !protoreflect.Name(method).IsValid() {
		return fmt.Errorf("parley: invalid method %.300q: it must be \"package.Service/Method\"", m)
	}
	return nil
}

// validateEnvID checks the id of an Env to relay to: none, or a uuid in the usual text.
func validateEnvID(id string) error {
	if id == "" {
		return nil
	}
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return fmt.Errorf("parley: invalid Env id %.100q: it must be a uuid", id)
	}
	return nil
}
