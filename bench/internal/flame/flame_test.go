package flame

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// sample is a stack, the innermost function first, as profiles have it, separated by blanks. Functions joined by + are one location: they are
// inlined into the last of them.
type sample struct {
	stack string
	nanos int64
}

const (
	link = "github.com/parley-rpc/parley/internal/link."
	box  = "github.com/parley-rpc/parley/internal/mailbox.init.func1.1"
	run  = "github.com/parley-rpc/parley/bench/internal/workload.RunCallers.func1"
	goes = "sync.(*WaitGroup).Go.func1"
)

// samples have a stack of each stage.
var samples = []sample{
	{"runtime.mallocgc+runtime.newobject " + run + " " + goes, 300},
	{"runtime.selectgo example.com/endpoint.M[go.shape.struct{a/b.c}].Wait " + run + " " + goes, 100},
	{"google.golang.org/grpc.(*x).SendMsg " + link + "(*Carrier).write " + link + "(*Carrier).takeOver.func2", 100},
	{"internal/runtime/syscall/linux.Syscall6 syscall.write net.(*conn).Write google.golang.org/grpc/internal/transport.(*loopyWriter).run", 200},
	{"runtime.memmove " + link + "(*Link).dispatch " + link + "(*Link).readAll " + link + "(*Carrier).takeOver.func1", 100},
	{"google.golang.org/protobuf/proto.Unmarshal " + box, 90},
	{"google.golang.org/protobuf/encoding/protowire.ConsumeTag " + box, 50},
	{"runtime.futex runtime.findRunnable runtime.mcall", 29},
	{"runtime.scanObject runtime.gcBgMarkWorker", 29},
	{"example.com/<narrow> runtime.main", 2},
}

// encode makes a profile of samples.
func encode(t *testing.T, of []sample) []byte {
	t.Helper()
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
	}
	functions := map[string]*profile.Function{}
	for _, s := range of {
		out := &profile.Sample{Value: []int64{1, s.nanos}}
		for location := range strings.FieldsSeq(s.stack) {
			l := &profile.Location{ID: uint64(len(p.Location) + 1)}
			for name := range strings.SplitSeq(location, "+") {
				if functions[name] == nil {
					functions[name] = &profile.Function{ID: uint64(len(functions) + 1), Name: name}
					p.Function = append(p.Function, functions[name])
				}
				l.Line = append(l.Line, profile.Line{Function: functions[name]})
			}
			p.Location = append(p.Location, l)
			out.Location = append(out.Location, l)
		}
		p.Sample = append(p.Sample, out)
	}
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t *testing.T, of []sample) *Graph {
	t.Helper()
	g, err := Read(bytes.NewReader(encode(t, of)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSharesAreByStageAndByWhoseCodeRuns(t *testing.T) {
	want := []Share{
		{Callers, Runtime, 10}, {Callers, Memory, 30}, {Writer, GRPC, 10}, {Transport, Kernel, 20}, {Reader, Parley, 10},
		{Worker, Parley, 5}, {Worker, Protobuf, 9}, {Scheduler, Kernel, 2.9}, {GC, Memory, 2.9}, {Other, Runtime, 0.2},
	}
	got := read(t, samples).Shares()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i, w := range want {
		if g := got[i]; g.Stage != w.Stage || g.Owner != w.Owner || math.Abs(g.Percent-w.Percent) > 1e-9 {
			t.Errorf("share %d is %v %v %v, want %v %v %v", i, g.Stage, g.Owner, g.Percent, w.Stage, w.Owner, w.Percent)
		}
	}
}

func TestPictureIsWellFormedAndHasWhatIsWide(t *testing.T) {
	svg := read(t, samples).SVG("a <title>")
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	var titles []string
	for inTitle := false; ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inTitle = token.Name.Local == "title"
		case xml.EndElement:
			inTitle = false
		case xml.CharData:
			if inTitle {
				titles = append(titles, string(token))
			}
		}
	}
	all := strings.Join(titles, "\n")
	for _, want := range []string{
		"callers: 40.0%", "runtime.newobject: 30.0%, Go runtime: memory", "endpoint.M[…].Wait: 10.0%, the user's", "link.(*Link).dispatch: 10.0%, Parley",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no frame is called %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "narrow") {
		t.Error("a frame below 0.3 % is drawn")
	}
	if first := strings.Index(all, "callers:"); first != 0 || strings.Index(all, "mailbox worker") < strings.Index(all, "Parley's writer") {
		t.Errorf("the stages are not in order:\n%s", all)
	}
}

func TestPictureOfAProfileIsAlwaysTheSame(t *testing.T) {
	want := read(t, samples).SVG("x")
	reversed := make([]sample, 0, len(samples))
	for i := range samples {
		reversed = append(reversed, samples[len(samples)-1-i])
	}
	if got := read(t, reversed).SVG("x"); !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTextIsCutToItsFrame(t *testing.T) {
	for _, test := range []struct {
		room float64
		want string
	}{{10, "p.(*T).abc"}, {9, "T.abc"}, {5, "T.abc"}, {4, "T.a…"}, {3, ""}, {-1, ""}} {
		if got := fitted("p.(*T).abc", test.room*charWidth); got != test.want {
			t.Errorf("in room for %v characters: got %q, want %q", test.room, got, test.want)
		}
	}
}

func TestWhatIsNoCPUProfileIsRefused(t *testing.T) {
	if _, err := Read(strings.NewReader("nothing")); err == nil {
		t.Error("text is taken for a profile")
	}
	if _, err := Read(bytes.NewReader(encode(t, nil))); err == nil {
		t.Error("an empty profile is no error")
	}
}
