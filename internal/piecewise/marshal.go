package piecewise

import (
	"errors"
	"iter"
	"runtime"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// pieceBytes is about how much is encoded between two yields: some 10 µs.
	pieceBytes = 128 << 10
	// fewBytes is how large a value of a list must be, on average, for the list to be taken apart: to handle each by itself costs some 0.4 µs.
	fewBytes = 4 << 10
)

// Sink takes an encoded message piece by piece, and copies each.
type Sink interface {
	Append(piece []byte)
	AppendString(piece string)
}

// Divides reports whether most of m, of which size is the encoded size, as proto.Size has returned it just before, is in fields that Marshal takes apart.
func Divides(m proto.Message, size int) bool {
	reflected := m.ProtoReflect()
	return mayDivide(reflected) && divisible(reflected, size, nesting) > size/4*3
}

// mayDivide reports whether the fields of m may be encoded one by one. Fields that are decoded when somebody looks at them are not looked at: they are encoded as
// they came, which is what their size is of, and may be in other bytes afterwards. That goes for extensions, too.
func mayDivide(m protoreflect.Message) bool {
	if m.Descriptor().ExtensionRanges().Len() > 0 || !isGenerated(m) {
		return false
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if fd, ok := fields.Get(i).(interface{ IsLazy() bool }); ok && fd.IsLazy() {
			return false
		}
	}
	return true
}

// divisible returns how many bytes of m, which has size, Marshal takes apart.
func divisible(m protoreflect.Message, size, depth int) int {
	parts := 0
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !divides(fd, v, size) {
			return true
		}
		for v := range values(fd, v) {
			n := valueSize(fd, v)
			switch {
			case !isMessage(fd) || n < pieceBytes:
				parts += n
			case depth > 0 && mayDivide(v.Message()):
				parts += divisible(v.Message(), n, depth-1)
			}
		}
		return true
	})
	return parts
}

// divides reports whether the values of a field, in a message of that size, are encoded one by one.
func divides(fd protoreflect.FieldDescriptor, v protoreflect.Value, size int) bool {
	switch {
	case fd.IsMap():
		return false
	case fd.Kind() != protoreflect.StringKind && fd.Kind() != protoreflect.BytesKind && !isMessage(fd):
		return false
	case fd.IsList():
		return size/v.List().Len() >= fewBytes
	default:
		return valueSize(fd, v) >= pieceBytes
	}
}

// values are the value of a field, or those of a list.
func values(fd protoreflect.FieldDescriptor, v protoreflect.Value) iter.Seq[protoreflect.Value] {
	return func(yield func(protoreflect.Value) bool) {
		if !fd.IsList() {
			yield(v)
			return
		}
		list := v.List()
		for i := range list.Len() {
			if !yield(list.Get(i)) {
				return
			}
		}
	}
}

// valueSize returns the encoded size of a value, without its tag and length.
func valueSize(fd protoreflect.FieldDescriptor, v protoreflect.Value) int {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return len(v.String())
	case protoreflect.BytesKind:
		return len(v.Bytes())
	default:
		return proto.MarshalOptions{UseCachedSize: true}.Size(v.Message().Interface())
	}
}

// Marshal encodes m into sink, as proto.Marshal does, with the same errors; the order of the fields may be another. What it has written is of no use if it
// fails. proto.Size must have been called just before, and Divides said yes. It yields after each piece.
func Marshal(sink Sink, m proto.Message) error {
	if err := proto.CheckInitialized(m); err != nil {
		return err
	}
	e := encoder{sink: sink}
	return e.message(m.ProtoReflect(), nesting)
}

type encoder struct {
	sink    Sink
	scratch []byte
	written int
	since   int // bytes since the last yield
}

// wrote counts n bytes more, and yields when they are enough.
func (e *encoder) wrote(n int) {
	e.written += n
	if e.since += n; e.since >= pieceBytes {
		e.since = 0
		runtime.Gosched()
	}
}

// append writes b.
func (e *encoder) append(b []byte) {
	for len(b) > 0 {
		n := min(len(b), pieceBytes)
		e.sink.Append(b[:n])
		e.wrote(n)
		b = b[n:]
	}
}

// message encodes m: the fields that divide by themselves, and then the others.
func (e *encoder) message(m protoreflect.Message, depth int) error {
	size := proto.MarshalOptions{UseCachedSize: true}.Size(m.Interface())
	rest := m.New()
	var err error
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if divides(fd, v, size) {
			err = e.field(m, fd, v, depth)
		} else {
			rest.Set(fd, v)
		}
		return err == nil
	})
	if err == nil {
		err = e.together(rest)
	}
	e.append(m.GetUnknown())
	return err
}

// together encodes a message in one piece.
func (e *encoder) together(m protoreflect.Message) (err error) {
	e.scratch, err = proto.MarshalOptions{AllowPartial: true}.MarshalAppend(e.scratch[:0], m.Interface())
	if err == nil {
		e.append(e.scratch)
	}
	return err
}

// field encodes the values of a field of m in their order: large ones by themselves, small ones of a list together.
func (e *encoder) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	some, bytes := m.New(), 0
	for v := range values(fd, v) {
		n := valueSize(fd, v)
		if n < pieceBytes {
			set(some, fd, v)
			bytes += n
		}
		if max(n, bytes) < pieceBytes {
			continue
		}
		if err := e.together(some); err != nil {
			return err
		}
		some, bytes = m.New(), 0
		if n < pieceBytes {
			continue
		}
		if err := e.value(m, fd, v, n, depth); err != nil {
			return err
		}
	}
	return e.together(some)
}

// value encodes one large value, which has n bytes.
func (e *encoder) value(m protoreflect.Message, fd protoreflect.FieldDescriptor, v protoreflect.Value, n, depth int) error {
	var whole bool
	switch fd.Kind() {
	case protoreflect.StringKind:
		whole = !e.isValid(v.String()) // not every field minds
	case protoreflect.MessageKind:
		whole = depth == 0 || !mayDivide(v.Message())
	}
	if whole {
		alone := m.New()
		set(alone, fd, v)
		return e.together(alone)
	}
	e.append(protowire.AppendVarint(protowire.AppendTag(nil, fd.Number(), protowire.BytesType), uint64(n)))
	switch fd.Kind() {
	case protoreflect.StringKind:
		for s := v.String(); len(s) > 0; {
			piece := s[:min(len(s), pieceBytes)]
			e.sink.AppendString(piece)
			e.wrote(len(piece))
			s = s[len(piece):]
		}
	case protoreflect.BytesKind:
		e.append(v.Bytes())
	default:
		before := e.written
		if err := e.message(v.Message(), depth-1); err != nil {
			return err
		}
		if e.written-before != n {
			return errors.New("a message has another size than it had before: has it been changed meanwhile?")
		}
	}
	return nil
}

// isValid is utf8.ValidString, and yields after each piece.
func (e *encoder) isValid(s string) bool {
	for len(s) > 0 {
		n := min(len(s), pieceBytes)
		for back := 0; n < len(s) && back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
			n--
		}
		if !utf8.ValidString(s[:n]) {
			return false
		}
		s = s[n:]
		runtime.Gosched()
	}
	return true
}
