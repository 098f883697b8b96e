package session

import (
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// mostReplies is how many replies go into one frame, though more may have room; receipts and the ends of streaming calls are not counted. Those who wait for
// the first ones go on while the rest is still being worked on, which makes 512 callers some 8 % faster. Asks are not cut like that, because it gains
// nothing; and with fewer replies a frame costs too much of each.
const mostReplies = 100

// Reply answers an ask or a lookup of the peer.
type Reply struct {
	ID uint64
	// Status is nil for OK.
	Status          *spb.Status
	Header, Trailer []wire.Metadata
	// Payload is kept if it is longer than MostWhole, copied otherwise.
	Payload []byte
	// Parts is the payload instead, if it is larger than MostWhole and in parts: the session takes it over. Its Encoding is wire.Proto.
	Parts *wire.Parts
	// Memory is what Payload is in, if it is kept and that may be used again: the session takes it over. Nil if there is none.
	Memory *wire.Buffer
	// Encoding is wire.Proto or wire.JSON, or wire.NoPayload beside a status.
	Encoding wire.Encoding
}

func (r *Reply) size() int { return payloadSize(r.Payload, r.Parts) }

// fill makes e the envelope of r. What no reply has is left as it is.
func (r *Reply) fill(e *wire.Envelope) {
	e.Kind, e.ID, e.Encoding = wire.KindReply, r.ID, r.Encoding
	e.Status, e.Metadata, e.Trailer, e.Payload = r.Status, r.Header, r.Trailer, r.Payload
}

// Reply queues r. Replies take no credit and never wait; if too much of them is waiting to be written, or r is too large,
// an error takes the place of r.
func (s *Session) Reply(r *Reply) {
	s.in.open--
	if s.over != nil {
		return
	}
	if e := s.refuseReply(r); e != nil {
		*r = Reply{ID: r.ID, Status: e.GRPCStatus().Proto()}
	}
	if r.size() > MostWhole && r.Encoding == wire.Proto {
		s.replyLarge(r)
		return
	}
	if s.out.open.replies >= mostReplies {
		s.closeBatch()
	}
	e := s.out.envelope()
	r.fill(e)
	s.append(e)
	s.out.open.replies++
	e.ID, e.Status, e.Metadata, e.Trailer, e.Payload = 0, nil, nil, nil, nil // what Post does not set each time
}

// replyLarge queues r as a transfer.
func (s *Session) replyLarge(r *Reply) {
	kept := *r
	t := &transfer{data: r.Payload, memory: r.Memory, parts: r.Parts, size: r.size(), isReply: true, reply: &kept}
	s.out.largeReplies += t.size
	s.out.replies = append(s.out.replies, t)
}

// Receipt answers a send of the peer that wants that: st is nil if the mailbox has taken the message, and says why not otherwise.
func (s *Session) Receipt(id uint64, st *spb.Status) {
	s.in.open--
	if s.over == nil {
		s.append(&wire.Envelope{Kind: wire.KindReceipt, ID: id, Status: st})
	}
}

func (s *Session) refuseReply(r *Reply) *endpoint.Error {
	limit := s.payloadLimit(r.Encoding)
	var e *endpoint.Error
	switch {
	case uint64(r.size()) > limit:
		e = tooLarge(r.size(), limit)
		e.Text = "reply: " + e.Text
	case metadataBytes(r.Header)+metadataBytes(r.Trailer) > maxMetadataBytes:
		e = &endpoint.Error{Reason: endpoint.ReasonTooLarge, Text: "reply: more than 64 KiB of metadata"}
	case r.Status != nil && uint64(proto.Size(r.Status)) > s.peer.FrameBytes/2:
		e = &endpoint.Error{Reason: endpoint.ReasonTooLarge, Text: fmt.Sprintf("reply: a status of %d bytes, where %d fit", proto.Size(r.Status), s.peer.FrameBytes/2)}
	case s.out.queued+s.out.largeReplies > replyBytes:
		e = overloaded("", "the asker does not read its replies")
	default:
		return nil
	}
	e.Phase, e.Execution = endpoint.PhaseSent, endpoint.MayHaveExecuted
	return e
}

// payloadLimit returns the largest payload that the peer takes. JSON has to fit a frame.
func (s *Session) payloadLimit(encoding wire.Encoding) uint64 {
	if encoding == wire.JSON {
		return min(s.peer.MessageBytes, s.peer.FrameBytes/2)
	}
	return s.peer.MessageBytes
}
