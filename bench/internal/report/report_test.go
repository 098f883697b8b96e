package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is small, and has a gap in each part that may have one.
func sample() Data {
	return Data{
		Run: Run{Date: "2026-01-31", Command: "go -C bench run . -report", Rounds: 5},
		Machine: Machine{
			CPU: "Model 7", Cores: 2, GOMAXPROCS: 2, Virtual: true, OS: "linux/amd64", Kernel: "6.1.0", Go: "go1.26.0",
			Modules: []Module{{"example.org/a", "v1.2.3"}},
		},
		Systems: []System{{"parley", "defaults"}, {"a<b>&c", "one connection | a caller"}},
		Caveats: []string{"Numbers are\ninvented."},
		Notes:   map[Section]string{SectionThroughput: "Payloads of 64 bytes."},
		Ratios: []Ratio{
			{Name: "ask64", Value: 5.5, Low: Known(4.25), High: Known(6), Goal: 5},
			{Name: "send", Value: 1.9999, Goal: 2},
			{Name: "memory", Value: 0.501, Goal: 0.5, AtMost: true},
			{Name: "ask512", Value: 6.128},
		},
		Throughput: []Throughput{{"parley", 64, 412345}, {"parley", 1, 12345.6}, {"a<b>&c", 1, 9876}},
		Latency: []Latency{
			{System: "parley", Offered: 20000, Achieved: 19998, P50: 123456, P90: 2e5, P99: 999_700, P999: 3e6, Max: 12e6},
			{System: "parley", Offered: 1000, Achieved: 1000, P50: 90e3, P90: 1e5, P99: 2e5, P999: 3e5, Max: 2.5e9, Failed: 1, NotStarted: 1234},
		},
		Cost: []Cost{
			{"parley", OperationAsk, 0, Known(2345), Known(1500)},
			{"parley", OperationAsk, 65536, Known(45678), nil},
			{"a<b>&c", OperationAsk, 1000, Known(12000), nil},
			{"parley", OperationSend, 0, Known(345), Known(250)},
		},
		Memory:      []Memory{{"parley", 1000, 45678}, {"a<b>&c", 1000, 123456}},
		Fanout:      []Fanout{{"parley", 100, 1, 1234, nil}, {"parley", 1, 50, 2345, Known(3456)}, {"a<b>&c", 100, 1, 999.6, nil}},
		Allocations: []Allocation{{"Ask64", "parley", 9, Known(612.4)}, {"Ask64", "a<b>&c", 151.2, nil}},
		Fairness: []Table{{
			Title: "A slow endpoint beside", Text: "What its neighbour notices.",
			Columns: []Column{{"system", UnitText}, {"p99 alone", UnitTime}, {"p99 beside", UnitTime}, {"share", UnitPercent}},
			Rows: [][]Cell{
				{Text("parley"), Number(2e5), Number(2.5e5), Number(49.87)},
				{Text("a<b>&c"), {}, Text("never ended"), Number(0)},
			},
		}},
	}
}

func TestMarkdownIsGolden(t *testing.T) {
	got, err := Markdown(sample())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/benchmarks.md"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s\n(-update writes it)", got, want)
	}
}

func TestCaveatsComeFirst(t *testing.T) {
	page, err := Markdown(sample())
	if err != nil {
		t.Fatal(err)
	}
	caveats, table := bytes.Index(page, []byte("do not say")), bytes.Index(page, []byte("\n| "))
	if caveats < 0 || table < 0 || table < caveats {
		t.Errorf("caveats at %d, the first table at %d", caveats, table)
	}
}

// What was not measured has no heading, no figure and no zero.
func TestMissingPartsAreLeftOut(t *testing.T) {
	d := Data{Systems: []System{{Name: "parley"}}, Memory: []Memory{{"parley", 10, 20000}}}
	page, err := Markdown(d)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "## ") && !strings.Contains(line, "Memory") && !strings.Contains(line, "do not say") {
			t.Errorf("there is a section %q", line)
		}
		if strings.HasPrefix(line, "| ") && strings.Contains(line, " 0 ") {
			t.Errorf("there is a zero in %q", line)
		}
	}
	figures, err := Figures(d)
	if err != nil || len(figures) != 1 || figures[0].File != fileMemory {
		t.Errorf("got %d figures, %v", len(figures), err)
	}
	if n := bytes.Count(page, []byte("![")); n != 1 {
		t.Errorf("the page shows %d figures, want 1", n)
	}
	if _, err := Markdown(Data{}); err != nil {
		t.Errorf("nothing measured: %v", err)
	}
}

func TestFiguresAreXMLWithEachSeries(t *testing.T) {
	figures, err := Figures(sample())
	if err != nil {
		t.Fatal(err)
	}
	page, err := Markdown(sample())
	if err != nil {
		t.Fatal(err)
	}
	charts := sample().charts()
	if len(figures) != len(figureFiles()) || len(figures) != len(charts) {
		t.Fatalf("%d figures of %d charts, want %d", len(figures), len(charts), len(figureFiles()))
	}
	for i, f := range figures {
		texts := textsOf(t, f)
		for _, s := range charts[i].series {
			if !texts[s.name] {
				t.Errorf("%s does not name the series %q", f.File, s.name)
			}
		}
		for _, label := range []string{charts[i].title, charts[i].x.label, charts[i].y.label} {
			if !texts[label] {
				t.Errorf("%s does not say %q", f.File, label)
			}
		}
		if !bytes.Contains(page, []byte("(benchmarks/"+f.File+")")) {
			t.Errorf("the page does not show %s", f.File)
		}
	}
}

// textsOf returns the texts of a figure, which must be well-formed.
func textsOf(t *testing.T, f Figure) map[string]bool {
	t.Helper()
	texts := map[string]bool{}
	for d := xml.NewDecoder(bytes.NewReader(f.SVG)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%s: %v", f.File, err)
		}
		if chars, ok := token.(xml.CharData); ok {
			texts[string(chars)] = true
		}
	}
}

func TestSameDataGiveTheSameBytes(t *testing.T) {
	a, errA := Figures(sample())
	b, errB := Figures(sample())
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("the figures differ")
	}
}

func TestZeroOnALogarithmicAxisIsRefused(t *testing.T) {
	for name, d := range map[string]Data{
		"throughput": {Throughput: []Throughput{{"parley", 1, 0}}},
		"callers":    {Throughput: []Throughput{{"parley", 0, 1}}},
	} {
		d.Systems = []System{{Name: "parley"}}
		if _, err := Figures(d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Data){
		"NaN":            func(d *Data) { d.Throughput[0].PerSecond = math.NaN() },
		"infinity":       func(d *Data) { d.Ratios[0].Value = math.Inf(1) },
		"NaN, optional":  func(d *Data) { d.Ratios[0].Low = Known(math.NaN()) },
		"NaN in a table": func(d *Data) { d.Fairness[0].Rows[0][1] = Number(math.NaN()) },
		"negative":       func(d *Data) { d.Latency[0].P50 = -1 },
		"negative count": func(d *Data) { d.Latency[0].NotStarted = -1 },
		"stranger":       func(d *Data) { d.Memory[0].System = "other" },
		"twice":          func(d *Data) { d.Cost = append(d.Cost, d.Cost[0]) },
		"two systems":    func(d *Data) { d.Systems = append(d.Systems, d.Systems[0]) },
		"short row":      func(d *Data) { d.Fairness[0].Rows[0] = d.Fairness[0].Rows[0][:2] },
		"unit":           func(d *Data) { d.Fairness[0].Columns[0].Unit = "parsec" },
		"number as text": func(d *Data) { d.Fairness[0].Rows[0][0] = Number(1) },
		"operation":      func(d *Data) { d.Cost[0].Operation = "think" },
		"note":           func(d *Data) { d.Notes["nowhere"] = "x" },
	} {
		d := sample()
		spoil(&d)
		_, md := Markdown(d)
		_, svg := Figures(d)
		if md == nil || svg == nil || Save(d, filepath.Join(t.TempDir(), "data")) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := sample().Validate(); err != nil {
		t.Errorf("the sample: %v", err)
	}
}

func TestSavedDataAreTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.json")
	if err := Save(sample(), path); err != nil {
		t.Fatal(err)
	}
	got, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("got %+v", got)
	}
	if err := os.WriteFile(path, []byte(`{"Speed": 1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("unknown data were read")
	}
}

func TestWriteRemovesFiguresOfEarlierReports(t *testing.T) {
	dir := t.TempDir()
	d := sample()
	if err := Write(d, dir); err != nil {
		t.Fatal(err)
	}
	d.Memory = nil
	if err := Write(d, dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "benchmarks", "*"))
	if err != nil || len(files) != len(figureFiles())-1 {
		t.Errorf("got %v, %v", files, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "benchmarks.md")); err != nil {
		t.Error(err)
	}
}
