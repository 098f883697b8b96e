package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/floors"
	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/protoactorpeer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// TestMain is also the child in which the server of a benchmark of two processes runs.
func TestMain(m *testing.M) {
	name, ok := peer.ChildName(os.Args[1:])
	if !ok {
		// A child with the race detector would sleep for a second at its end.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	if err := peer.Child(context.Background(), name, systems(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func open(tb testing.TB, b benchmark) *measurement {
	m, err := b.open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The context of the test has ended by now; this one gets a time of its own.
		if err := m.close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return m
}

func benchmarkGroup(b *testing.B, group string) {
	for _, bench := range benchmarks() {
		if name, ok := strings.CutPrefix(bench.name, group+"/"); ok {
			b.Run(name, func(b *testing.B) {
				_ = open(b, bench).iterate(b.Context(), b)
			})
		}
	}
}

func BenchmarkAsk1(b *testing.B)      { benchmarkGroup(b, "Ask1") }
func BenchmarkAsk64(b *testing.B)     { benchmarkGroup(b, "Ask64") }
func BenchmarkConcAsk64(b *testing.B) { benchmarkGroup(b, "ConcAsk64") }
func BenchmarkStub64(b *testing.B)    { benchmarkGroup(b, "Stub64") }
func BenchmarkAskPipe(b *testing.B)   { benchmarkGroup(b, "AskPipe") }
func BenchmarkAsk512(b *testing.B)    { benchmarkGroup(b, "Ask512") }
func BenchmarkTLSAsk64(b *testing.B)  { benchmarkGroup(b, "TLSAsk64") }
func BenchmarkAsk1MiB(b *testing.B)   { benchmarkGroup(b, "Ask1MiB") }
func BenchmarkSend(b *testing.B)      { benchmarkGroup(b, "Send") }
func BenchmarkAsk64x2(b *testing.B)   { benchmarkGroup(b, "Ask64x2") }
func BenchmarkSendx2(b *testing.B)    { benchmarkGroup(b, "Sendx2") }

// Every benchmark checks its own replies and counts, here for numbers of operations that do not divide by the callers,
// below and above the number of asks outstanding.
func TestWorkloadsLoseNothing(t *testing.T) {
	for _, b := range benchmarks() {
		t.Run(b.name, func(t *testing.T) {
			if _, is := b.system.(protoactorpeer.System); is && (protoactorpeer.Races || testing.Short()) {
				t.Skip("see protoactorpeer.Races; it may also panic on a goroutine of its own")
			}
			m := open(t, b)
			most := 5_003
			switch {
			case b.bytes == large:
				most = 19
			case strings.HasPrefix(b.name, "Ask1/"): // one at a time they take long
				most = 1_009
			}
			for _, n := range []int{1, 3, workload.Outstanding + 1, 5_003} {
				if err := m.do(t.Context(), min(n, most)); err != nil {
					t.Fatalf("%d operations: %v", n, err)
				}
			}
		})
	}
}

func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	at := func(ns int) result { return result{N: 10, T: time.Duration(10 * ns)} }
	all := results{
		"a": {at(100), at(50), at(10)},
		"b": {at(200), at(200), at(80)}, // ratios 2, 4, 8
	}
	r := ratio{name: "x", of: "a", over: "b", goal: 5}
	v, ok := r.value(all)
	if !ok || r.line(v) != "ratio x 4.00 5" || r.check(v) == nil || r.check(5) != nil {
		t.Errorf("got %q, %v", r.line(v), ok)
	}
	if _, ok := (ratio{of: "a", over: "c"}).value(all); ok {
		t.Error("a ratio over a benchmark that was not run has a value")
	}
}

func TestBudgetIsOfTheMedianBeyondTheUsersOwn(t *testing.T) {
	with := func(allocations uint64) result {
		return result{N: 10, MemAllocs: allocations}
	}
	b := budget{name: "x", of: "a", users: 2, goal: 1}
	v, ok := b.value(results{"a": {with(31), with(90), with(25)}})
	if !ok || b.line(v) != "allocs x 1.10 1" || b.check(v) == nil || b.check(1) != nil {
		t.Errorf("got %q, %v", b.line(v), ok)
	}
	if _, ok := b.value(results{}); ok {
		t.Error("a budget of a benchmark that was not run has a value")
	}
}

func TestCompareFailsForGoalsThatAreMissed(t *testing.T) {
	all := results{
		"Ask64/parley":     {{N: 1, T: time.Second, MemAllocs: 9, MemBytes: 513}},
		"Ask64/grpc-unary": {{N: 1, T: 9 * time.Second}},
	}
	var out strings.Builder
	if err := condense(all, false, &out); err != nil {
		t.Error(err)
	}
	if want := "ratio ask64/grpc-unary 9.00 10\nallocs ask64 3.00 2\nbytes ask64 513\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	err := condense(all, true, &out)
	for _, missed := range []string{"ratio ask64/grpc-unary", "allocs ask64"} {
		if err == nil || !strings.Contains(err.Error(), missed) {
			t.Errorf("got %v, want it to tell of %s", err, missed)
		}
	}
}

func TestEveryFigureIsOfBenchmarksThatExist(t *testing.T) {
	names := map[string]bool{}
	for _, b := range benchmarks() {
		if names[b.name] {
			t.Errorf("two benchmarks are called %s", b.name)
		}
		names[b.name] = true
	}
	keys := map[floors.Key]bool{}
	for _, f := range figures() {
		if keys[f.key()] {
			t.Errorf("%s is there twice", f.key())
		}
		keys[f.key()] = true
		for _, name := range f.benchmarks() {
			if !names[name] {
				t.Errorf("%s: no benchmark %q", f.key(), name)
			}
		}
	}
}

func TestFlagsThatDoNotGoTogetherAreRefused(t *testing.T) {
	for _, args := range []string{
		"-rounds 0", "-time 0s", "more", "-guard a -report b", "-guard a -rounds 2", "-report a -only b", "-quick", "-redraw",
		"-report a -quick -redraw",
	} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	for _, args := range []string{"", "-check -rounds 2", "-guard a", "-report a", "-report a -quick", "-report a -redraw"} {
		if _, err := parse(strings.Fields(args)); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// keepTime has benchmarks that follow the tests run for as long as the command line says.
func keepTime(t *testing.T) {
	t.Helper()
	before := flag.Lookup("test.benchtime").Value.String()
	t.Cleanup(func() {
		if err := flag.Set("test.benchtime", before); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyWhatMatchesIsMeasured(t *testing.T) {
	keepTime(t)
	s, err := parse([]string{"-only", "^Send/parley$", "-rounds", "2", "-time", "1ns"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := compare(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "BenchmarkSend/parley") != 2 || strings.Count(out.String(), "Benchmark") != 2 {
		t.Errorf("got %s", out.String())
	}
	s.only = regexp.MustCompile("nothing")
	if err := compare(t.Context(), s, &out); err == nil {
		t.Error("no error when nothing matches")
	}
}

func TestFlameGraphOfWhatIsMeasuredIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.svg")
	s, err := parse([]string{"-only", "^Ask64/parley$", "-rounds", "1", "-time", "100ms", "-flame", path})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := compare(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(svg), "Processor time of Ask64/parley") {
		t.Errorf("got %v, %s", err, out.String())
	}
}

func TestFloorsStandBesideWhatParleyTakes(t *testing.T) {
	s, err := parse([]string{"-floor", "-rounds", "1", "-time", "1ns"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := runFloor(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"batch ask64 ", "BenchmarkAsk64/parley", "\nfloor ask64/tcp ", "\nfloor-cpu send/tcp-codec "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
