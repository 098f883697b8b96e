package piecewise

import (
	"runtime"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Source is an encoded message in parts.
type Source interface {
	// Len returns how many bytes there are.
	Len() int
	// Take takes the next part out, which is not empty; it is nil if there is none. Nobody looks at it after release.
	Take() (part []byte, release func())
}

// Unmarshal decodes the message in source, which is empty then, and merges it into m. If m is a new message, the outcome is that of proto.Unmarshal, but that
// this finds all required fields that are missing, of which package proto overlooks those in messages of a oneof. It yields after each part.
func Unmarshal(source Source, m proto.Message) error {
	reflected := m.ProtoReflect()
	if !isGenerated(reflected) {
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(Join(source), m)
	}
	d := decoder{source: source}
	defer d.done()
	if err := d.message(reflected, source.Len(), nesting); err != nil {
		return err
	}
	return proto.CheckInitialized(m)
}

// Join returns what source has in one piece, and leaves source empty. It takes as long as a copy, so it is for whoever decodes a message, and not for who reads it
// from the network, whom other messages wait for. It yields after each part.
func Join(source Source) []byte {
	d := decoder{source: source}
	defer d.done()
	n := source.Len()
	whole, _ := d.collect(make([]byte, 0, n), n)
	return whole
}

type decoder struct {
	source  Source
	part    []byte // what is left of the part at hand
	release func() // of that part; nil if there is none
}

// fill takes the next part, if nothing is left of the one at hand. It reports whether there is one.
func (d *decoder) fill() bool {
	if len(d.part) > 0 {
		return true
	}
	d.done()
	d.part, d.release = d.source.Take()
	return d.part != nil
}

// done releases the part at hand, of which nothing is needed any more.
func (d *decoder) done() {
	if d.release != nil {
		d.release()
		d.release = nil
		runtime.Gosched()
	}
}

// next takes up to n bytes of the part at hand. There must be some.
func (d *decoder) next(n int) []byte {
	n = min(n, len(d.part))
	taken := d.part[:n]
	d.part = d.part[n:]
	return taken
}

// collect appends the next n bytes to b. It reports whether there were as many.
func (d *decoder) collect(b []byte, n int) ([]byte, bool) {
	for n > 0 {
		if !d.fill() {
			return b, false
		}
		piece := d.next(n)
		b = append(b, piece...)
		n -= len(piece)
	}
	return b, true
}

// message merges the next size bytes into m, as whole fields: those that a part has wholly, and then the one that goes on in the next part.
func (d *decoder) message(m protoreflect.Message, size, depth int) error {
	for size > 0 && d.fill() {
		n := wholeFields(d.part[:min(size, len(d.part))])
		if n > 0 {
			size -= n
			if err := merge(d.next(n), m, depth); err != nil {
				return err
			}
			continue
		}
		taken, err := d.field(m, size, depth)
		if err != nil {
			return err
		}
		size -= taken
	}
	return nil
}

// wholeFields returns how many bytes the fields have that b begins with and has wholly.
func wholeFields(b []byte) int {
	whole := 0
	for whole < len(b) {
		n := 0
		if _, _, n = protowire.ConsumeField(b[whole:]); n < 0 {
			break
		}
		whole += n
	}
	return whole
}

// field merges the next field into m, which is one of the next size bytes, and returns how many bytes it had. What is not a field is left to package proto,
// which finds the error.
func (d *decoder) field(m protoreflect.Message, size, depth int) (int, error) {
	encoded, tag, ok := d.varint(nil, size)
	if !ok {
		return d.whole(m, encoded, size, depth)
	}
	number, wireType := protowire.DecodeTag(tag)
	switch wireType {
	case protowire.VarintType:
		encoded, _, _ = d.varint(encoded, size)
		return d.whole(m, encoded, len(encoded), depth)
	case protowire.Fixed32Type:
		return d.whole(m, encoded, min(len(encoded)+4, size), depth)
	case protowire.Fixed64Type:
		return d.whole(m, encoded, min(len(encoded)+8, size), depth)
	case protowire.BytesType:
	default: // a group has no length
		return d.whole(m, encoded, size, depth)
	}
	encoded, length, ok := d.varint(encoded, size)
	if !ok || length > uint64(size-len(encoded)) {
		return d.whole(m, encoded, size, depth)
	}
	total := len(encoded) + int(length)
	fd := m.Descriptor().Fields().ByNumber(number)
	switch {
	case fd == nil:
	case isMessage(fd):
		if sub, ok := within(m, fd, depth); ok {
			return total, d.nested(m, fd, sub, int(length), depth-1)
		}
	case fd.Kind() == protoreflect.BytesKind:
		value, _ := d.collect(make([]byte, 0, length), int(length))
		set(m, fd, protoreflect.ValueOfBytes(value))
		return total, nil
	case fd.Kind() == protoreflect.StringKind:
		text := d.text(int(length))
		if !utf8.ValidString(text) { // not every field minds
			return total, merge(append(encoded, text...), m, depth)
		}
		set(m, fd, protoreflect.ValueOfString(text))
		return total, nil
	}
	return d.whole(m, encoded, total, depth)
}

// varint takes a number of at most size bytes, which it appends to those that were taken before it.
func (d *decoder) varint(taken []byte, size int) (encoded []byte, v uint64, ok bool) {
	before := len(taken)
	for len(taken) < size && d.fill() {
		taken = append(taken, d.next(1)...)
		v, n := protowire.ConsumeVarint(taken[before:])
		if n > 0 {
			return taken, v, true
		}
		if len(taken)-before > 10 {
			break
		}
	}
	return taken, 0, false
}

// whole merges total bytes into m in one piece, of which some were taken. It returns total.
func (d *decoder) whole(m protoreflect.Message, taken []byte, total, depth int) (int, error) {
	all, _ := d.collect(append(make([]byte, 0, total), taken...), total-len(taken))
	return total, merge(all, m, depth)
}

// within returns the message that a field of m is to be merged into, and whether that can be done piece by piece.
func within(m protoreflect.Message, fd protoreflect.FieldDescriptor, depth int) (protoreflect.Value, bool) {
	var sub protoreflect.Value
	if fd.IsList() {
		sub = m.NewField(fd).List().NewElement()
	} else {
		sub = m.Mutable(fd)
	}
	return sub, depth > 0 && isGenerated(sub.Message())
}

// nested merges the next size bytes into sub, which is or becomes the value of a field of m.
func (d *decoder) nested(m protoreflect.Message, fd protoreflect.FieldDescriptor, sub protoreflect.Value, size, depth int) error {
	if err := d.message(sub.Message(), size, depth); err != nil {
		return err
	}
	if fd.IsList() {
		m.Mutable(fd).List().Append(sub)
	}
	return nil
}

// text returns the next size bytes as a text. The memory of a Builder is not cleared before it is written to.
func (d *decoder) text(size int) string {
	var b strings.Builder
	b.Grow(size)
	for b.Len() < size && d.fill() {
		b.Write(d.next(size - b.Len()))
	}
	return b.String()
}

// merge decodes b, which is one field or several, into m.
func merge(b []byte, m protoreflect.Message, depth int) error {
	options := proto.UnmarshalOptions{AllowPartial: true, Merge: true, RecursionLimit: protowire.DefaultRecursionLimit - nesting + depth}
	return options.Unmarshal(b, m.Interface())
}

// set sets a field to a value, or appends that to the list.
func set(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	if fd.IsList() {
		m.Mutable(fd).List().Append(v)
	} else {
		m.Set(fd, v)
	}
}
