package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

var (
	errFieldNumber = errors.New("field number out of range")
	errUTF8        = errors.New("text is not valid UTF-8")
)

// reader walks through the fields of one message. A field is known by its tag, so one of a known number but another wire
// type is skipped like any unknown field, as protobuf has it.
type reader struct {
	rest   []byte
	tag    uint32 // field number and wire type
	varint uint64 // the value, of wire type varint
	bytes  []byte // the value, of wire type length; aliases the input
	err    error  // what ended the walk early
}

// next moves on to the next field. It returns false at the end of the message, or with r.err set if the field is malformed
// or the one before was refused.
func (r *reader) next() bool {
	if len(r.rest) == 0 || r.err != nil {
		return false
	}
	tag, n := protowire.ConsumeVarint(r.rest)
	if n < 0 {
		r.err = protowire.ParseError(n)
		return false
	}
	r.rest = r.rest[n:]
	number := tag >> 3
	if number < uint64(protowire.MinValidNumber) || number > uint64(protowire.MaxValidNumber) {
		r.err = errFieldNumber
		return false
	}
	r.tag = uint32(tag)
	switch tag & 7 {
	case varint:
		r.varint, n = protowire.ConsumeVarint(r.rest)
	case length:
		r.bytes, n = protowire.ConsumeBytes(r.rest)
		r.bytes = r.bytes[:len(r.bytes):len(r.bytes)]
	default:
		n = protowire.ConsumeFieldValue(protowire.Number(number), protowire.Type(tag&7), r.rest)
	}
	if n < 0 {
		r.fail(protowire.ParseError(n))
		return false
	}
	r.rest = r.rest[n:]
	return true
}

// fail ends the walk if err is not nil.
func (r *reader) fail(err error) {
	if err != nil {
		r.err = fmt.Errorf("field %d: %w", r.tag>>3, err)
	}
}

// text returns the current field's value, of proto type string, and ends the walk if it is not valid UTF-8.
func (r *reader) text() []byte {
	if !utf8.Valid(r.bytes) {
		r.fail(errUTF8)
	}
	return r.bytes
}

// mergeMessage decodes b into *m as a further occurrence of the same field, making *m at the first one.
func mergeMessage[T any, M interface {
	*T
	proto.Message
}](m *M, b []byte) error {
	if *m == nil {
		*m = new(T)
	}
	return proto.UnmarshalOptions{Merge: true}.Unmarshal(b, *m)
}
