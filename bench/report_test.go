package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/parley-rpc/parley/bench/internal/fairness"
	"github.com/parley-rpc/parley/bench/internal/load"
	"github.com/parley-rpc/parley/bench/internal/peer/protoactorpeer"
	"github.com/parley-rpc/parley/bench/internal/report"
	"github.com/parley-rpc/parley/bench/internal/scale"
	"github.com/parley-rpc/parley/bench/internal/workload"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// leastEffort measures everything, and nothing well.
var leastEffort = effort{
	command: "go test", rounds: 1, compared: time.Nanosecond, swept: time.Nanosecond,
	offered: 10 * time.Millisecond, warmup: time.Millisecond,
	fairness: fairness.Config{Rounds: 1, Phase: 50 * time.Millisecond, Rate: 200, AskBytes: 1 << 10, BulkBytes: 1 << 20, Patience: time.Second},
	scale: scale.Config{
		Endpoints: 20, Sessions: 3, Many: 100, ManyTime: time.Minute, ManyBytes: 1 << 30, Callers: 4, Asks: 40, Messages: 130, Rounds: 1,
	},
	sessions: []int{1, 3},
}

func newProgress(out *bytes.Buffer) *progress {
	return &progress{out: out, now: func() time.Time { return time.Unix(1, 0) }}
}

// All parts have results, and can be shown, of whatever machine.
func TestReportOfEverything(t *testing.T) {
	if protoactorpeer.Races || testing.Short() {
		t.Skip("see protoactorpeer.Races; it may also panic on a goroutine of its own")
	}
	keepTime(t)
	var out bytes.Buffer
	d, err := measureReport(t.Context(), leastEffort, parts(), newProgress(&out))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := errors.Join(report.Save(d, report.DataFile(dir)), report.Write(d, dir)); err != nil {
		t.Fatal(err)
	}
	if len(d.Ratios) != len(ratios()) || len(d.Throughput) != 6*len(described) || len(d.Cost) != 5*(1+len(described)) || len(d.Other) != 3 ||
		len(d.Fairness) != 1 || len(d.Scale) != 1 || len(d.Fanout) != 6 {
		t.Errorf("got %d ratios, %d throughputs, %d costs, %d tables, %d of fairness, %d of scale, %d of fanout",
			len(d.Ratios), len(d.Throughput), len(d.Cost), len(d.Other), len(d.Fairness), len(d.Scale), len(d.Fanout))
	}
	if want := fmt.Sprintf("report: 0s: comparison 1/%d: Ask1/parley, round 1 of 1\n", len(benchmarks())); !strings.Contains(out.String(), want) {
		t.Errorf("got the progress %s", out.String())
	}

	// It can be drawn again without measuring.
	page := filepath.Join(dir, "benchmarks.md")
	first, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(page); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context(), []string{"-report", dir, "-redraw"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(page); err != nil || !bytes.Equal(first, again) {
		t.Errorf("drawn again it is another page, %v", err)
	}
}

func TestRedrawingNeedsData(t *testing.T) {
	if err := start(t.Context(), []string{"-report", t.TempDir(), "-redraw"}, &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestReportSaysWhichPartFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := measureReport(t.Context(), leastEffort, []part{
		{"whole", func(context.Context, effort, *progress, *report.Data) error { return nil }},
		{"half", func(context.Context, effort, *progress, *report.Data) error { return broken }},
	}, newProgress(&bytes.Buffer{}))
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "half") {
		t.Errorf("got %v", err)
	}
}

func TestReportedSystemsCanBeMeasured(t *testing.T) {
	if len(measured()) != len(described) {
		t.Errorf("%d systems are measured of %d described", len(measured()), len(described))
	}
	for _, b := range benchmarks() {
		if !slices.ContainsFunc(described, func(s report.System) bool { return s.Name == b.reportedName() }) {
			t.Errorf("%s is of a system that is not described", b.name)
		}
	}
	for _, name := range loaded {
		if !slices.ContainsFunc(described, func(s report.System) bool { return s.Name == name }) {
			t.Errorf("the latency of %s is measured, which is not described", name)
		}
	}
}

func TestReportedRatiosHaveTheSpreadOfTheirRounds(t *testing.T) {
	at := func(ns int) result { return result{N: 1, T: time.Duration(ns)} }
	got := reportedRatios(results{
		"Ask64/parley":     {at(100), at(100), at(100)},
		"Ask64/grpc-unary": {at(700), at(300), at(500)},
	})
	if len(got) != 1 || got[0].Name != "ask64/grpc-unary" || got[0].Value != 5 || *got[0].Low != 3 || *got[0].High != 7 || got[0].Goal == 0 {
		t.Errorf("got %+v", got)
	}
}

func TestLoadsAreLogarithmicUntilTheLast(t *testing.T) {
	for most, want := range map[float64][]float64{
		999:    nil,
		1000:   {1000},
		1100:   {1100},
		4567:   {1000, 2000, 4500},
		8100:   {1000, 2000, 4000, 8100},
		36_999: {1000, 2000, 4000, 8000, 16000, 36000},
	} {
		if got := loads(most); !slices.Equal(got, want) {
			t.Errorf("%g: got %v, want %v", most, got, want)
		}
	}
}

func TestLatencyIsTheMedianOfTheRounds(t *testing.T) {
	round := func(achieved float64, ns int64, unfinished int) *load.Result {
		h := hdrhistogram.New(1, int64(time.Hour), 3)
		if err := h.RecordValue(ns); err != nil {
			t.Fatal(err)
		}
		return &load.Result{Offered: 1000, Achieved: achieved, Latency: h, Unfinished: unfinished}
	}
	l := medianLatency("x", []*load.Result{round(990, 100, 0), round(100, 900, 0), round(1010, 200, 0)})
	if l.System != "x" || l.Offered != 1000 || l.Achieved != 990 || l.P50 != 200 || l.P999 != 200 || l.Max != 200 || !couldFollow(l) {
		t.Errorf("got %+v", l)
	}
	if l := medianLatency("x", []*load.Result{round(1000, 1, 0), round(1000, 1, 1)}); l.Unfinished != 1 || couldFollow(l) {
		t.Errorf("got %+v", l)
	}
	if couldFollow(medianLatency("x", []*load.Result{round(900, 1, 0)})) {
		t.Error("a system could follow that achieved 900 of 1000")
	}
}

func TestIdleHandsOutTheLastThatReturned(t *testing.T) {
	f := &idle{}
	taken := 0
	for k := range 3 {
		f.put(numbered(&taken, k))
	}
	f.take()
	call := f.take()
	f.put(call)
	if _, _ = f.take()(t.Context(), nil); taken != 1 {
		t.Errorf("got caller %d, want 1", taken)
	}
}

// numbered is a caller that says which it is.
func numbered(called *int, k int) workload.Call {
	return func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		*called = k
		return nil, nil
	}
}
