package main

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/rawtcp"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// observed is how many operations of each kind Parley does while its batches are counted.
const observed = 200_000

// runFloor measures the floors, in each round beside the benchmark of Parley that does the same work. For each it prints at the end the medians of elapsed time
// and of processor time, in nanoseconds a message, and how often they go into those of Parley:
//
//	floor ask64/tcp 402 8.31
//	floor-cpu ask64/tcp 511 8.70
func runFloor(ctx context.Context, s settings, out io.Writer) error {
	if err := setTime(s.time); err != nil {
		return err
	}
	messages := workload.NewMessages(small)
	shapes, err := rawtcp.Observe(ctx, observed, messages)
	if err != nil {
		return err
	}
	for _, b := range []struct {
		name  string
		shape rawtcp.Shape
	}{{"ask64", shapes.Ask64}, {"askpipe", shapes.AskPipe}, {"send", shapes.Send}} {
		fmt.Fprintf(out, "batch %s messages=%d out=%d back=%d\n", b.name, b.shape.Messages, b.shape.Out, b.shape.Back)
	}
	all := results{}
	keep := func(b benchmark, r result) {
		all[b.name] = append(all[b.name], r)
		printResult(out, b, r)
	}
	floors := rawtcp.Floors(shapes, messages)
	for range s.rounds {
		for i, f := range floors {
			if i == 0 || floors[i-1].Of() != f.Of() {
				b, err := benchmarkNamed(f.Of())
				if err != nil {
					return err
				}
				r, err := b.measure(ctx)
				if err != nil {
					return err
				}
				keep(b, r)
			}
			var failed error
			r := testing.Benchmark(func(tb *testing.B) { failed = iterateFloor(ctx, tb, f) })
			if failed != nil {
				return failed
			}
			keep(benchmark{name: f.Name()}, r)
		}
	}
	for _, f := range floors {
		printFloor(out, "floor", f, all, nanoseconds)
		printFloor(out, "floor-cpu", f, all, func(r testing.BenchmarkResult) float64 { return r.Extra[cpuMetric] })
	}
	return nil
}

// iterateFloor is the body of the benchmark of a floor.
func iterateFloor(ctx context.Context, tb *testing.B, f rawtcp.Floor) error {
	tb.ReportAllocs()
	before := peer.ProcessorTime()
	if err := f.Run(ctx, tb.N); err != nil {
		tb.Error(err)
		return err
	}
	tb.ReportMetric(float64((peer.ProcessorTime()-before).Nanoseconds())/float64(tb.N), cpuMetric)
	return nil
}

// printFloor prints the median of a figure of f, and that of its ratios to Parley's.
func printFloor(out io.Writer, title string, f rawtcp.Floor, all results, figure func(testing.BenchmarkResult) float64) {
	var own, ratios []float64
	for i, r := range all[f.Name()] {
		own = append(own, figure(r))
		ratios = append(ratios, figure(all[f.Of()][i])/figure(r))
	}
	fmt.Fprintf(out, "%s %s %.0f %.2f\n", title, f.Name(), median(own), median(ratios))
}

// benchmarkNamed returns one of benchmarks.
func benchmarkNamed(name string) (benchmark, error) {
	for _, b := range benchmarks() {
		if b.name == name {
			return b, nil
		}
	}
	return benchmark{}, fmt.Errorf("no benchmark is called %q", name)
}
