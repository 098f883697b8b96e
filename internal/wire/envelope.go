// Package wire encodes and decodes the frames of parley.v1.Parley/Connect.
//
// It reads and writes the bytes that api/parley/v1/parley.proto describes, and agrees with the generated code on every
// input: which bytes are malformed, and what the others mean. It is there because each message of a program passes
// through it twice: nothing on the path of an ask, a send or a reply allocates. It knows bytes only; which envelope may
// follow which is the business of package session.
//
// A frame on its way in is a [Frame], then a head ([ParseHead]) and a body ([Body]) of envelopes ([Envelope.Decode]). On
// its way out it is built up in one buffer with [Envelope.Append] and [AppendHead], in any order, and handed to [NewFrame].
package wire

import (
	"errors"
	"strings"
	"sync"

	spb "google.golang.org/genproto/googleapis/rpc/status"
)

// ErrMalformed is wrapped by every error of this package: the bytes are not an encoding of the message.
var ErrMalformed = errors.New("wire: malformed message")

// Target names a method of an endpoint.
type Target struct {
	// EnvID is the Env that hosts the endpoint, if it is to be relayed to; empty for the receiving Env itself.
	EnvID string
	// Endpoint is the endpoint's name.
	Endpoint string
	// Method is the full name of the method, "package.Service/Method".
	Method string
}

// Encoding says how a message carries its payload.
type Encoding uint8

const (
	// NoPayload is the absence of a payload: an empty message.
	NoPayload Encoding = iota
	// Proto is an encoded message in Envelope.Payload.
	Proto
	// JSON is a message in protobuf's JSON in Envelope.Payload.
	JSON
	// Transfer is an encoded message that follows in chunks; see Envelope.Transfer.
	Transfer
)

// Metadata is one key and value, as in gRPC.
type Metadata struct {
	Key string
	// Value holds the field `binary` if Key ends in "-bin", and the field `value` if not; the other one is ignored in
	// what comes in and left out of what goes out. This is the one difference to the generated code.
	Value string
}

// binary reports whether the value goes into the field `binary`.
func (m *Metadata) binary() bool {
	return strings.HasSuffix(m.Key, "-bin")
}

// Envelope is one message of a session, of any kind: a field that a kind does not have is zero after Decode and ignored by
// Append. The zero value has no kind. It is meant to be reused, and has no concurrency control of its own.
type Envelope struct {
	Kind Kind
	// ID is the number of the exchange that the envelope belongs to; the transfer for chunk and abort. Route and bye have none.
	ID uint64
	// Route is the number of the destination of ask, send and headers, if Text is false; zero if there is none. For route
	// it is the number that is announced.
	Route uint32
	// Text says that Target instead of Route is the destination of ask, send and headers.
	Text bool
	// Target is the destination in full, and what a route announces. Of lookup and watch it has no Method.
	Target Target
	// Service is what a lookup's endpoint must implement; empty for any.
	Service string
	// RemainingMicros is how long the sender of ask or headers is still going to wait; zero if for ever.
	RemainingMicros uint64
	// Metadata comes with ask, send and headers, and is the header of a reply.
	Metadata []Metadata
	// Trailer comes with reply and end.
	Trailer []Metadata
	// Encoding is what ask, send, reply and message have for a payload.
	Encoding Encoding
	// Payload is the message if Encoding is Proto or JSON, or the data of a chunk. After Decode it aliases the input.
	Payload []byte
	// Transfer is the number of the transfer that brings the payload, if Encoding is Transfer.
	Transfer uint64
	// TransferSize is the number of bytes of that transfer.
	TransferSize uint64
	// WindowBytes is the total of a window, and the first one in headers.
	WindowBytes uint64
	// Reason is that of terminated, a parleyv1.Terminated_Reason.
	Reason uint32
	// FromCallee says of headers, message and window that the callee of the streaming call has sent them.
	FromCallee bool
	// Status is that of reply, abort, receipt, end and bye; nil if absent, which means OK.
	Status *spb.Status
}

// envelopes keeps those that are released. It is no state that anybody can observe.
var envelopes = sync.Pool{New: func() any { return new(Envelope) }}

// NewEnvelope returns one to be released. It may have what the last user has left in it.
func NewEnvelope() *Envelope { return envelopes.Get().(*Envelope) }

// Release gives e to whoever needs one next. It should refer to nothing that is large.
func (e *Envelope) Release() { envelopes.Put(e) }
