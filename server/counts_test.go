package server

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestBounded: the text of an error is cut between runes, and whatever it is, it comes out as UTF-8 that is not too long.
func TestBounded(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"short", "short", "short"},
		{"exact", strings.Repeat("x", maxErrorText), strings.Repeat("x", maxErrorText)},
		{"long", strings.Repeat("x", 2*maxErrorText), strings.Repeat("x", maxErrorText)},
		{"cut rune", strings.Repeat("x", maxErrorText-1) + "ä", strings.Repeat("x", maxErrorText-1)},
		{"cut long rune", strings.Repeat("x", maxErrorText-3) + "😀", strings.Repeat("x", maxErrorText-3)},
		{"invalid", "a\xff\xfeb", "a?b"},
		{"all invalid", strings.Repeat("\x80", 2*maxErrorText), "?"},
		{"every other", strings.Repeat("\xffx", maxErrorText), strings.Repeat("?x", maxErrorText/2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := bounded(c.text)
			if got != c.want || !utf8.ValidString(got) || len(got) > maxErrorText {
				t.Errorf("%d bytes, %q, want %q", len(got), got, c.want)
			}
		})
	}
}

// TestCountRun: each message of a run is counted once, at its method, in whatever order they come.
func TestCountRun(t *testing.T) {
	a, b := &offered{tally: new(tally)}, &offered{tally: new(tally)}
	var run []*call
	for _, m := range []*offered{a, a, b, a, b, b, b} {
		run = append(run, &call{method: m})
	}
	countRun(run)
	countRun(nil)
	if a.calls.Load() != 3 || b.calls.Load() != 4 {
		t.Errorf("%d and %d are counted, want 3 and 4", a.calls.Load(), b.calls.Load())
	}
}

// BenchmarkCountRun is what counting costs a message, in runs as long as those of a frame of small messages, and alone.
func BenchmarkCountRun(b *testing.B) {
	m := &offered{tally: new(tally)}
	for _, n := range []int{1, 500} {
		run := make([]*call, n)
		for i := range run {
			run[i] = &call{method: m}
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				countRun(run)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/message")
		})
	}
}
