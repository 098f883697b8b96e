package piecewise

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// parts is a Source and a Sink.
type parts struct {
	all  [][]byte
	held int // parts that were taken and not released
	most int // of these, at a time
}

func (p *parts) Len() (n int) {
	for _, b := range p.all {
		n += len(b)
	}
	return n
}

func (p *parts) Take() ([]byte, func()) {
	if len(p.all) == 0 {
		return nil, nil
	}
	b := p.all[0]
	p.all = p.all[1:]
	p.held++
	p.most = max(p.most, p.held)
	return b, func() {
		p.held--
		for i := range b { // whoever has it next writes to it
			b[i] = 0xff
		}
	}
}

func (p *parts) Append(b []byte)       { p.all = append(p.all, bytes.Clone(b)) }
func (p *parts) AppendString(s string) { p.all = append(p.all, []byte(s)) }

// cut returns b in parts of up to most bytes.
func cut(r *rand.Rand, b []byte, most int) *parts {
	p := new(parts)
	for len(b) > 0 {
		n := 1 + r.IntN(min(most, len(b)))
		p.Append(b[:n])
		b = b[n:]
	}
	return p
}

func newRandom(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// text returns a random text of up to most bytes.
func text(r *rand.Rand, most int) string {
	units := []string{"a", "é", "漢", "😀"}
	return strings.Repeat(units[r.IntN(len(units))], r.IntN(max(1, most/4)))
}

// file returns a random message: of the second syntax, with messages in messages, lists of all kinds, and now and then a required field.
func file(r *rand.Rand, most int) *descriptorpb.FileDescriptorProto {
	f := &descriptorpb.FileDescriptorProto{Name: proto.String(text(r, most)), Syntax: proto.String(text(r, 30))}
	for range r.IntN(5) {
		f.Dependency = append(f.Dependency, text(r, most))
		f.PublicDependency = append(f.PublicDependency, r.Int32())
	}
	for range r.IntN(4) {
		f.MessageType = append(f.MessageType, message(r, most, 3))
	}
	f.Options = &descriptorpb.FileOptions{GoPackage: proto.String(text(r, most)), Deprecated: proto.Bool(r.IntN(2) == 0)}
	if r.IntN(3) == 0 {
		f.Options.UninterpretedOption = []*descriptorpb.UninterpretedOption{{
			Name:        []*descriptorpb.UninterpretedOption_NamePart{{NamePart: proto.String("n"), IsExtension: proto.Bool(true)}},
			StringValue: []byte(text(r, most)), DoubleValue: proto.Float64(r.Float64()),
		}}
	}
	f.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{{Path: []int32{1, r.Int32()}, LeadingComments: proto.String(text(r, most))}}}
	if r.IntN(3) == 0 {
		unknown := protowire.AppendTag(nil, 5000, protowire.StartGroupType)
		unknown = protowire.AppendTag(unknown, 1, protowire.Fixed32Type)
		unknown = protowire.AppendFixed32(unknown, r.Uint32())
		unknown = protowire.AppendTag(unknown, 5000, protowire.EndGroupType)
		unknown = protowire.AppendTag(unknown, 5001, protowire.BytesType)
		f.ProtoReflect().SetUnknown(protowire.AppendString(unknown, text(r, most)))
	}
	return f
}

func message(r *rand.Rand, most, depth int) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(text(r, most))}
	for range r.IntN(3) {
		m.ReservedName = append(m.ReservedName, text(r, most))
		m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{Number: proto.Int32(r.Int32()), JsonName: proto.String(text(r, most))})
	}
	for range r.IntN(3) {
		if depth > 0 {
			m.NestedType = append(m.NestedType, message(r, most, depth-1))
		}
	}
	return m
}

// others are messages of the third syntax, with a map, a oneof, and messages that hold themselves.
func others(r *rand.Rand, most int) []proto.Message {
	tree := structpb.NewNullValue()
	for range r.IntN(12) {
		switch r.IntN(3) {
		case 0:
			tree = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(text(r, most)), tree}})
		case 1:
			tree = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"k": tree, "x" + text(r, most): structpb.NewNumberValue(r.Float64())}})
		default:
			tree = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{tree}})
		}
	}
	return []proto.Message{
		tree,
		&fieldmaskpb.FieldMask{Paths: []string{text(r, most), text(r, most), ""}},
		&anypb.Any{TypeUrl: text(r, 40), Value: []byte(text(r, most))},
		wrapperspb.Bytes([]byte(text(r, most))),
	}
}

// TestUnmarshal: wherever a message is cut, it becomes the same message; and no part is looked at when it has been released.
func TestUnmarshal(t *testing.T) {
	r := newRandom(t)
	for range 300 {
		most := 1 << r.IntN(12)
		for _, m := range append(others(r, most), file(r, most)) {
			encoded, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			p := cut(r, encoded, 1<<r.IntN(10))
			got := m.ProtoReflect().New().Interface()
			if err := Unmarshal(p, got); err != nil || !proto.Equal(got, m) {
				t.Fatalf("got %v, error %v, want %v", got, err, m)
			}
			if p.held != 0 || p.most > 1 || p.Len() != 0 {
				t.Fatalf("%d parts are held, %d were at a time, and %d bytes are left", p.held, p.most, p.Len())
			}
		}
	}
}

// TestUnmarshalBroken: what is no message is refused as package proto refuses it, and what it takes is taken, with the same outcome.
func TestUnmarshalBroken(t *testing.T) {
	r := newRandom(t)
	refused := 0
	for range 3000 {
		for _, m := range append(others(r, 60), file(r, 60)) {
			encoded, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			for range 1 + r.IntN(3) {
				if len(encoded) > 0 {
					encoded[r.IntN(len(encoded))] = byte(r.Uint32())
				}
			}
			encoded = encoded[:len(encoded)-r.IntN(1+len(encoded)/4)]
			if compare(t, cut(r, bytes.Clone(encoded), 1<<r.IntN(7)), encoded, m) {
				refused++
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d were broken", refused)
	}
}

// compare decodes encoded in both ways, and reports whether it was refused.
func compare(t *testing.T, p *parts, encoded []byte, like proto.Message) bool {
	t.Helper()
	want, got := like.ProtoReflect().New().Interface(), like.ProtoReflect().New().Interface()
	wantErr := proto.Unmarshal(encoded, want)
	err := Unmarshal(p, got)
	if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(deterministic(t, got), deterministic(t, want)) {
		t.Fatalf("%.300x as a %s: got %.300v, error %v; want %.300v, error %v", encoded, like.ProtoReflect().Descriptor().FullName(), got, err, want, wantErr)
	}
	if err != nil && errors.Is(err, proto.Error) != errors.Is(wantErr, proto.Error) {
		t.Fatalf("got error %v, want %v", err, wantErr)
	}
	if p.held != 0 {
		t.Fatalf("%d parts are held", p.held)
	}
	return err != nil
}

// deterministic is for comparing messages, of which some have numbers that are not equal to themselves.
func deterministic(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestUnmarshalMerges: a message is added to what is there, as its pieces are.
func TestUnmarshalMerges(t *testing.T) {
	r := newRandom(t)
	for range 100 {
		m, more := file(r, 200), file(r, 200)
		encoded, err := proto.Marshal(more)
		if err != nil {
			t.Fatal(err)
		}
		want := proto.Clone(m)
		proto.Merge(want, more)
		if err := Unmarshal(cut(r, encoded, 50), m); err != nil || !proto.Equal(m, want) {
			t.Fatalf("got %v, error %v, want %v", m, err, want)
		}
	}
}

// TestMarshal: what is encoded in pieces is the message, whatever is large of it.
func TestMarshal(t *testing.T) {
	r := newRandom(t)
	divided := 0
	for range 60 {
		most := 1 << (10 + r.IntN(11))
		for _, m := range append(others(r, most), file(r, most)) {
			size := proto.Size(m)
			if Divides(m, size) {
				divided++
			}
			p := new(parts)
			if err := Marshal(p, m); err != nil {
				t.Fatal(err)
			}
			if p.Len() != size {
				t.Fatalf("%d bytes were written, want %d", p.Len(), size)
			}
			got := m.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(slices.Concat(p.all...), got); err != nil || !proto.Equal(got, m) {
				t.Fatalf("a %T of %d bytes is another message: %v", m, size, err)
			}
			if longest := slices.MaxFunc(append(p.all, nil), func(a, b []byte) int { return len(a) - len(b) }); len(longest) > pieceBytes {
				t.Fatalf("a piece has %d bytes", len(longest))
			}
		}
	}
	if divided < 20 {
		t.Errorf("only %d messages were large", divided)
	}
}

// TestMarshalRefuses: what package proto does not encode is not encoded, with the same error.
func TestMarshalRefuses(t *testing.T) {
	long := strings.Repeat("x", 3*pieceBytes)
	for name, m := range map[string]proto.Message{
		"a text that is none":                      &fieldmaskpb.FieldMask{Paths: []string{long, long + "\xff"}},
		"one that ends within a character":         &fieldmaskpb.FieldMask{Paths: []string{long, strings.Repeat("é", pieceBytes)[1:]}},
		"a short one beside a long one":            &fieldmaskpb.FieldMask{Paths: []string{long, "\xff"}},
		"one within messages":                      structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(long + "\xff")}}),
		"a required field that is missing":         &descriptorpb.UninterpretedOption{IdentifierValue: &long, Name: []*descriptorpb.UninterpretedOption_NamePart{{NamePart: &long}}},
		"one in a message that is encoded at once": &descriptorpb.UninterpretedOption{IdentifierValue: &long, Name: []*descriptorpb.UninterpretedOption_NamePart{{}}},
	} {
		proto.Size(m)
		_, want := proto.Marshal(m)
		if err := Marshal(new(parts), m); err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%s: got error %v, want %v", name, err, want)
		}
	}
}

// TestMarshalNil: a list may have messages that are nil, which are empty ones.
func TestMarshalNil(t *testing.T) {
	long := structpb.NewStringValue(strings.Repeat("x", 2*pieceBytes))
	m := &structpb.ListValue{Values: []*structpb.Value{nil, long, nil}}
	want, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p := new(parts)
	if err := Marshal(p, m); err != nil || !bytes.Equal(slices.Concat(p.all...), want) {
		t.Errorf("%d bytes were written, want %d; error %v", p.Len(), len(want), err)
	}
}

// TestInvalidTextThatNobodyMinds: fields of the second syntax may have any bytes for a text.
func TestInvalidTextThatNobodyMinds(t *testing.T) {
	m := &descriptorpb.FileDescriptorProto{Name: proto.String(strings.Repeat("\xff", 3*pieceBytes))}
	size := proto.Size(m)
	if !Divides(m, size) {
		t.Error("it does not divide")
	}
	p := new(parts)
	if err := Marshal(p, m); err != nil {
		t.Fatal(err)
	}
	got := new(descriptorpb.FileDescriptorProto)
	if err := Unmarshal(p, got); err != nil || got.GetName() != m.GetName() {
		t.Errorf("got a name of %d bytes, error %v", len(got.GetName()), err)
	}
}

// TestDivides: what would gain nothing is left to package proto.
func TestDivides(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	numbers := &descriptorpb.SourceCodeInfo_Location{Path: make([]int32, 1<<20)}
	for i := range numbers.Path {
		numbers.Path[i] = -1
	}
	dynamic := dynamicpb.NewMessage((&fieldmaskpb.FieldMask{}).ProtoReflect().Descriptor())
	proto.Merge(dynamic, &fieldmaskpb.FieldMask{Paths: []string{long}})
	for _, test := range []struct {
		name string
		m    proto.Message
		want bool
	}{
		{"one text", wrapperspb.String(long), true},
		{"bytes", wrapperspb.Bytes([]byte(long)), true},
		{"a list of texts", &fieldmaskpb.FieldMask{Paths: slices.Repeat([]string{long[:5000]}, 300)}, true},
		{"many short texts", &fieldmaskpb.FieldMask{Paths: slices.Repeat([]string{long[:100]}, 15_000)}, false},
		{"a text for half of it", &descriptorpb.DescriptorProto{Name: &long, Field: []*descriptorpb.FieldDescriptorProto{{}}, ReservedName: slices.Repeat([]string{long[:100]}, 10_000)}, false},
		{"a text in messages", structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(long)}}), true},
		{"numbers", numbers, false},
		{"numbers in a message", &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{numbers}}, false},
		{"a map", &structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue(long)}}, false},
		{"another implementation", dynamic, false},
		{"nothing", &fieldmaskpb.FieldMask{}, false},
	} {
		if got := Divides(test.m, proto.Size(test.m)); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

// TestNesting: messages within messages are looked into up to some level, and are refused from that level on from which package proto refuses them.
func TestNesting(t *testing.T) {
	r := newRandom(t)
	refused := 0
	for _, levels := range []int{nesting / 2, nesting, 1000, protowire.DefaultRecursionLimit/2 - 1, protowire.DefaultRecursionLimit / 2} {
		tree := structpb.NewStringValue(strings.Repeat("x", 1<<20))
		for range levels {
			tree = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{tree}})
		}
		encoded, err := proto.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if compare(t, cut(r, bytes.Clone(encoded), 100_000), encoded, tree) {
			refused++
		}
		p := new(parts)
		if err := Marshal(p, tree); err != nil || !bytes.Equal(slices.Concat(p.all...), encoded) {
			t.Errorf("%d levels: %d bytes were written, want %d; error %v", levels, p.Len(), len(encoded), err)
		}
	}
	if refused != 1 {
		t.Errorf("%d were refused, want that of the most levels", refused)
	}
}

// TestOtherImplementations: a message of another implementation is decoded by that.
func TestOtherImplementations(t *testing.T) {
	m := &fieldmaskpb.FieldMask{Paths: []string{"a", strings.Repeat("b", 100)}}
	encoded, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got := dynamicpb.NewMessage(m.ProtoReflect().Descriptor())
	if err := Unmarshal(cut(newRandom(t), encoded, 10), got); err != nil || !proto.Equal(got, m) {
		t.Errorf("got %v, error %v", got, err)
	}
}

// TestYields: with one processor, others have a turn for every piece of a large message.
func TestYields(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns atomic.Int64
	over := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-over:
				return
			default:
				turns.Add(1)
				runtime.Gosched()
			}
		}
	}()
	defer func() {
		close(over)
		<-stopped
	}()
	const pieces = 64
	for name, m := range map[string]proto.Message{
		"a text": wrapperspb.String(strings.Repeat("x", pieces*pieceBytes)),
		"a list": &fieldmaskpb.FieldMask{Paths: slices.Repeat([]string{strings.Repeat("x", pieceBytes/4)}, 4*pieces)},
	} {
		t.Run(name, func(t *testing.T) {
			proto.Size(m)
			p := new(parts)
			before := turns.Load()
			if err := Marshal(p, m); err != nil {
				t.Fatal(err)
			}
			if n := turns.Load() - before; n < pieces/2 {
				t.Errorf("others had %d turns while it was encoded, want %d or more", n, pieces/2)
			}
			before = turns.Load()
			if err := Unmarshal(p, m.ProtoReflect().New().Interface()); err != nil {
				t.Fatal(err)
			}
			if n := turns.Load() - before; n < pieces/2 {
				t.Errorf("others had %d turns while it was decoded, want %d or more", n, pieces/2)
			}
		})
	}
}

// FuzzUnmarshal: whatever comes, however it is cut, has the outcome that package proto has for it.
func FuzzUnmarshal(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		encoded, err := proto.Marshal(file(r, 100))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded, uint64(1), uint8(10))
	}
	f.Fuzz(func(t *testing.T, encoded []byte, seed uint64, most uint8) {
		for _, m := range []proto.Message{&descriptorpb.FileDescriptorProto{}, &structpb.Value{}} {
			compare(t, cut(rand.New(rand.NewPCG(seed, 0)), bytes.Clone(encoded), 1+int(most)), encoded, m)
		}
	})
}

func ExampleUnmarshal() {
	m := &fieldmaskpb.FieldMask{Paths: []string{"a", "b"}}
	p := new(parts)
	proto.Size(m)
	if err := Marshal(p, m); err != nil {
		fmt.Println(err)
	}
	got := new(fieldmaskpb.FieldMask)
	fmt.Println(Unmarshal(p, got), got.Paths)
	// Output: <nil> [a b]
}
