package wire

import (
	"errors"
	"fmt"
	"io"
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
	data       []byte
	at         int    // of the next field
	tag        uint32 // field number and wire type
	varint     uint64 // the value, of wire type varint
	start, end int    // of the value, of wire type length
	err        error  // what ended the walk early
}

// next moves on to the next field. It returns false at the end of the message, or with r.err set if the field is malformed
// or the one before was refused. It stores no pointers, which would cost a write barrier for each field while the garbage
// collector runs.
func (r *reader) next() bool {
	if r.at >= len(r.data) || r.err != nil {
		return false
	}
	tag, err := r.consumeVarint()
	if err != nil {
		r.err = err
		return false
	}
	number := tag >> 3
	if number < uint64(protowire.MinValidNumber) || number > uint64(protowire.MaxValidNumber) {
		r.err = errFieldNumber
		return false
	}
	r.tag = uint32(tag)
	switch tag & 7 {
	case varint:
		r.varint, err = r.consumeVarint()
	case length:
		err = r.consumeBytes()
	default:
		n := protowire.ConsumeFieldValue(protowire.Number(number), protowire.Type(tag&7), r.data[r.at:])
		if err = protowire.ParseError(n); n >= 0 {
			r.at += n
		}
	}
	r.fail(err)
	return err == nil
}

// consumeVarint returns the varint that begins here.
func (r *reader) consumeVarint() (uint64, error) {
	if r.at < len(r.data) && r.data[r.at] < 0x80 { // most of them
		r.at++
		return uint64(r.data[r.at-1]), nil
	}
	v, n := protowire.ConsumeVarint(r.data[r.at:])
	if n < 0 {
		return 0, protowire.ParseError(n)
	}
	r.at += n
	return v, nil
}

// consumeBytes takes the value, of wire type length, that begins here.
func (r *reader) consumeBytes() error {
	size, err := r.consumeVarint()
	if err == nil && size > uint64(len(r.data)-r.at) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	r.start = r.at
	r.at += int(size)
	r.end = r.at
	return nil
}

// bytes returns the current field's value, of wire type length. It aliases the input.
func (r *reader) bytes() []byte { return r.data[r.start:r.end:r.end] }

// fail ends the walk if err is not nil.
func (r *reader) fail(err error) {
	if err != nil {
		r.err = fmt.Errorf("field %d: %w", r.tag>>3, err)
	}
}

// text returns the current field's value, of proto type string, and ends the walk if it is not valid UTF-8.
func (r *reader) text() []byte {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.fail(errUTF8)
	}
	return b
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
