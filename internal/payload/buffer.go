// Package payload encodes messages for a session, which copies small payloads and keeps large ones.
package payload

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/runtime/protoiface"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Buffer is a buffer for one small payload. It comes from a pool, and must be freed when the session has the payload.
type Buffer struct{ b *[]byte }

var pool = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// NewBuffer returns a buffer.
func NewBuffer() Buffer { return Buffer{pool.Get().(*[]byte)} }

// Free gives the buffer back. What Marshal returned must not be used any more, unless it is in memory of its own.
func (b Buffer) Free() { pool.Put(b.b) }

// Message encodes m as a message of a streaming call; see Marshal.
func (b Buffer) Message(m proto.Message) (session.Message, error) {
	encoded, memory, parts, err := b.Marshal(m, false)
	return session.Message{Payload: encoded, Memory: memory, Parts: parts, Encoding: wire.Proto}, err
}

// Marshal encodes m into the buffer, or, if it is larger than session.MostWhole, into memory of its own, which has one user; memory is nil otherwise.
// If it is larger than wire.MostUndivided, and divides, it is encoded in parts, and there is nothing else.
// A large message waits for its turn, unless noWait is set: see package bulk. One with an encoding of its own, which may take its time, has no turn, and memory that
// nobody uses again.
func (b Buffer) Marshal(m proto.Message, noWait bool) (encoded []byte, memory *wire.Buffer, parts *wire.Parts, err error) {
	size, known := sizeOf(m)
	if !known {
		encoded, err = proto.Marshal(m)
		return encoded, nil, nil, err
	}
	options := proto.MarshalOptions{UseCachedSize: true}
	if size > session.MostWhole {
		if !noWait {
			defer bulk.Begin(size)()
		}
		if parts, err = inParts(m, size); parts != nil {
			return nil, nil, parts, err
		}
		memory = wire.NewBuffer(size)
		encoded, err = options.MarshalAppend(memory.Bytes, m)
		memory.Bytes = encoded
		return encoded, memory, nil, err
	}
	encoded, err = options.MarshalAppend((*b.b)[:0], m)
	switch {
	case err != nil:
	case len(encoded) > session.MostWhole: // it has become larger than it was, and the session keeps it
		*b.b = nil
	default:
		*b.b = encoded // it may have grown
	}
	return encoded, nil, nil, err
}

// Marshal encodes m into memory that is the caller's to keep, or, if it is larger than wire.MostUndivided, and divides, in parts, and there is nothing else. A large
// message waits for its turn, unless noWait is set: see package bulk. One with an encoding of its own, which may take its time, has no turn. A Frame is encoded already, and
// taken over.
func Marshal(m proto.Message, noWait bool) (encoded []byte, parts *wire.Parts, err error) {
	if frame, ok := m.(*wire.Frame); ok {
		return frame.Bytes(), nil, nil
	}
	size, known := sizeOf(m)
	if !known {
		encoded, err = proto.Marshal(m)
		return encoded, nil, err
	}
	options := proto.MarshalOptions{UseCachedSize: true}
	if !noWait {
		defer bulk.Begin(size)()
	}
	if parts, err = inParts(m, size); parts != nil {
		return nil, parts, err
	}
	encoded, err = options.Marshal(m)
	return encoded, nil, err
}

// sizeOf returns the encoded size of m, or false if m would have to be encoded to know it.
func sizeOf(m proto.Message) (size int, known bool) {
	if m == nil {
		return 0, true
	}
	reflected := m.ProtoReflect()
	switch fast := reflected.ProtoMethods(); {
	case fast == nil || fast.Marshal == nil: // it is encoded field by field
		return proto.Size(m), true
	case fast.Size == nil:
		return 0, false
	default: // what proto.Size does, without looking for the methods again
		return fast.Size(protoiface.SizeInput{Message: reflected}).Size, true
	}
}

// inParts encodes m, of which size is what proto.Size has returned just before, in parts, if it is large enough and divides; else it returns nil.
func inParts(m proto.Message, size int) (*wire.Parts, error) {
	if size <= wire.MostUndivided || !piecewise.Divides(m, size) {
		return nil, nil
	}
	parts := new(wire.Parts)
	return parts, piecewise.Marshal(parts, m)
}

// Unencodable returns the error of a request that cannot be encoded.
func Unencodable(err error) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonUnencodable, Text: "request: " + err.Error(), Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Cause: err}
}
