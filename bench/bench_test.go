package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

func open(tb testing.TB) *suite {
	s, err := openSuite(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The context of the test has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func benchmarkGroup(b *testing.B, group string) {
	s := open(b)
	for _, bench := range s.benchmarks {
		if name, ok := strings.CutPrefix(bench.name, group+"/"); ok {
			b.Run(name, func(b *testing.B) { _ = bench.iterate(b.Context(), b) })
		}
	}
}

func BenchmarkAsk1(b *testing.B)    { benchmarkGroup(b, "Ask1") }
func BenchmarkAsk64(b *testing.B)   { benchmarkGroup(b, "Ask64") }
func BenchmarkStub64(b *testing.B)  { benchmarkGroup(b, "Stub64") }
func BenchmarkAsk512(b *testing.B)  { benchmarkGroup(b, "Ask512") }
func BenchmarkAskPipe(b *testing.B) { benchmarkGroup(b, "AskPipe") }
func BenchmarkSend(b *testing.B)    { benchmarkGroup(b, "Send") }

// Every benchmark checks its own replies and counts, here for numbers of operations that do not divide by the callers,
// below and above the number of asks outstanding.
func TestWorkloadsLoseNothing(t *testing.T) {
	s := open(t)
	for _, b := range s.benchmarks {
		t.Run(b.name, func(t *testing.T) {
			for _, n := range []int{1, 3, outstanding + 1, 10_007} {
				if err := b.run(t.Context(), n); err != nil {
					t.Fatalf("%d operations: %v", n, err)
				}
			}
		})
	}
}

func TestSinkReportsWhatIsWrong(t *testing.T) {
	for name, messages := range map[string][]int{
		"order":     {1, 0, 2},
		"duplicate": {0, 1, 1},
		"too few":   {0, 1},
		"too many":  {0, 1, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var s sink
			s.expect(3)
			for _, i := range messages {
				s.receive(sendRequests[i])
			}
			if err := s.check(); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	result := func(ns int) testing.BenchmarkResult { return testing.BenchmarkResult{N: 10, T: time.Duration(10 * ns)} }
	all := results{
		"a": {result(100), result(50), result(10)},
		"b": {result(200), result(200), result(80)}, // ratios 2, 4, 8
	}
	r := ratio{name: "x", of: "a", over: "b", goal: 5}
	v, ok := r.value(all)
	if !ok || r.line(v) != "ratio x 4.00 goal 5" {
		t.Errorf("got %q, %v", r.line(v), ok)
	}
	if _, ok := (ratio{of: "a", over: "c"}).value(all); ok {
		t.Error("a ratio over a benchmark that was not run has a value")
	}
}

func TestEveryRatioComparesBenchmarksThatExist(t *testing.T) {
	names := map[string]bool{}
	for _, b := range open(t).benchmarks {
		names[b.name] = true
	}
	for _, r := range ratios {
		if !names[r.of] || !names[r.over] {
			t.Errorf("ratio %s: no benchmark %q or %q", r.name, r.of, r.over)
		}
	}
}
