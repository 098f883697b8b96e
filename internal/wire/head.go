package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// Head is everything of a frame but its body. What is zero or nil is absent.
type Head struct {
	// Number is the number of the frame in its direction of the session; zero if the frame has no body.
	Number uint64
	// Ack is the number of the last frame that the sender of this one has taken over.
	Ack uint64
	// Credits are windows, as totals from the start of the session.
	Credits []Credit
	Hello   *parleyv1.Hello
	Welcome *parleyv1.Welcome
	Refusal *parleyv1.Refusal
	// Ping and Pong are tokens.
	Ping, Pong *uint64
	Drain      *parleyv1.Drain
	// AgeMicros is how long ago, in microseconds, a replayed frame was first ready to be written.
	AgeMicros uint64
}

// Credit is the window of one mailbox, or of the whole session if both names are empty.
type Credit struct {
	// EnvID is the Env of a route that is relayed; empty for a mailbox of the receiving Env itself.
	EnvID    string
	Endpoint string
	// Messages and Bytes are how many the receiver of the credit may have sent in all.
	Messages, Bytes uint64
	// TransferBytes is how many bytes of payloads in chunks; of the session's credit only.
	TransferBytes uint64
}

// Reset empties h for its next use, and keeps the capacity of Credits.
func (h *Head) Reset() {
	*h = Head{Credits: h.Credits[:0]}
}

// ParseHead sets h to the head of an encoded frame; what h held before is dropped, but for the capacity of Credits. It
// does not look into the envelopes, and nothing in h aliases the frame. Any error wraps [ErrMalformed], and leaves nothing
// of use in h.
func ParseHead(frame []byte, h *Head) error {
	h.Reset()
	r := reader{data: frame}
	for r.next() {
		switch r.tag {
		case tagNumber:
			h.Number = r.varint
		case tagAck:
			h.Ack = r.varint
		case tagCredits:
			r.fail(h.appendCredit(r.bytes()))
		case tagHello:
			r.fail(mergeMessage(&h.Hello, r.bytes()))
		case tagWelcome:
			r.fail(mergeMessage(&h.Welcome, r.bytes()))
		case tagRefusal:
			r.fail(mergeMessage(&h.Refusal, r.bytes()))
		case tagPing:
			r.fail(mergeToken(&h.Ping, r.bytes()))
		case tagPong:
			r.fail(mergeToken(&h.Pong, r.bytes()))
		case tagDrain:
			r.fail(mergeMessage(&h.Drain, r.bytes()))
		case tagAge:
			h.AgeMicros = r.varint
		}
	}
	if r.err != nil {
		return fmt.Errorf("%w: frame: %w", ErrMalformed, r.err)
	}
	return nil
}

func (h *Head) appendCredit(b []byte) error {
	var c Credit
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagCreditEnvID:
			c.EnvID = string(r.text())
		case tagCreditEndpoint:
			c.Endpoint = string(r.text())
		case tagCreditMessages:
			c.Messages = r.varint
		case tagCreditBytes:
			c.Bytes = r.varint
		case tagCreditTransferBytes:
			c.TransferBytes = r.varint
		}
	}
	h.Credits = append(h.Credits, c)
	return r.err
}

// mergeToken decodes b, a Ping or a Pong, making *token at the first occurrence.
func mergeToken(token **uint64, b []byte) error {
	if *token == nil {
		*token = new(uint64)
	}
	r := reader{data: b}
	for r.next() {
		if r.tag == tagToken {
			**token = r.varint
		}
	}
	return r.err
}

// AppendHead appends the head to b, a frame that is being built, and returns the longer frame. The fields are in the order
// of their numbers; where they stand between the envelopes makes no difference.
//
// The names in credits must be valid UTF-8, as for [Envelope.Append]. In the other text of a head each invalid sequence
// is written as U+FFFD.
func AppendHead(b []byte, h *Head) []byte {
	b = appendUint(b, tagNumber, h.Number)
	b = appendUint(b, tagAck, h.Ack)
	for i := range h.Credits {
		b = h.Credits[i].append(b)
	}
	if h.Hello != nil {
		b = appendMessage(b, tagHello, h.Hello)
	}
	if h.Welcome != nil {
		b = appendMessage(b, tagWelcome, h.Welcome)
	}
	if h.Refusal != nil {
		b = appendMessage(b, tagRefusal, h.Refusal)
	}
	b = appendToken(b, tagPing, h.Ping)
	b = appendToken(b, tagPong, h.Pong)
	if h.Drain != nil {
		b = appendMessage(b, tagDrain, h.Drain)
	}
	return appendUint(b, tagAge, h.AgeMicros)
}

func (c *Credit) size() int {
	return textSize(c.EnvID) + textSize(c.Endpoint) + uintSize(c.Messages) + uintSize(c.Bytes) + uintSize(c.TransferBytes)
}

func (c *Credit) append(b []byte) []byte {
	b = appendLength(b, tagCredits, c.size())
	b = appendText(b, tagCreditEnvID, c.EnvID)
	b = appendText(b, tagCreditEndpoint, c.Endpoint)
	b = appendUint(b, tagCreditMessages, c.Messages)
	b = appendUint(b, tagCreditBytes, c.Bytes)
	return appendUint(b, tagCreditTransferBytes, c.TransferBytes)
}

func appendToken(b []byte, tag byte, token *uint64) []byte {
	if token == nil {
		return b
	}
	b = appendLength(b, tag, uintSize(*token))
	return appendUint(b, tagToken, *token)
}

// appendMessage appends a field that is rare enough for the generated code.
func appendMessage(b []byte, tag byte, m proto.Message) []byte {
	return protowire.AppendBytes(append(b, tag), marshal(m))
}

// Envelopes walks through the body of a frame. The zero value is an empty body.
type Envelopes struct {
	fields reader
}

// Body returns the envelopes of an encoded frame, which [ParseHead] has accepted; of a frame that it refuses, those before
// the error.
func Body(frame []byte) Envelopes {
	return Envelopes{reader{data: frame}}
}

// Next returns the content of the next envelope, for [Envelope.Decode], or false at the end. It aliases the frame.
func (e *Envelopes) Next() (envelope []byte, ok bool) {
	for e.fields.next() {
		if e.fields.tag == tagEnvelopes {
			return e.fields.bytes(), true
		}
	}
	return nil, false
}
