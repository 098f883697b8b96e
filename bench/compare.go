package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/parley-rpc/parley/bench/internal/fairness"
	"github.com/parley-rpc/parley/bench/internal/floors"
	"github.com/parley-rpc/parley/bench/internal/scale"
)

// compare measures and prints. It fails if a benchmark does, or as -check says.
func compare(ctx context.Context, s settings, out io.Writer) error {
	if err := setTime(s.time); err != nil {
		return err
	}
	list := slices.DeleteFunc(benchmarks(), func(b benchmark) bool { return !s.only.MatchString(b.name) })
	if len(list) == 0 {
		return fmt.Errorf("no benchmark matches %q", s.only)
	}
	stop, err := profileCPU(s, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	all, err := rounds(ctx, list, s.rounds, func(b benchmark, _ int, r result) { printResult(out, b, r) })
	if err := errors.Join(err, stop(), profileAllocations(s.memProfile)); err != nil {
		return err
	}
	missed := condense(all, s.check, out)
	if s.some {
		return missed
	}
	return errors.Join(missed, experiment(ctx, s.check, out))
}

// experiment runs the experiments whose figures are no comparison of throughput, and prints their lines.
func experiment(ctx context.Context, check bool, out io.Writer) error {
	var missed []error
	tell := func(line fmt.Stringer, miss bool) {
		fmt.Fprintln(out, line)
		if check && miss {
			missed = append(missed, fmt.Errorf("missed: %s", line))
		}
	}
	fair, err := fairness.Run(ctx, fairness.Short())
	if err != nil {
		return err
	}
	for _, l := range fair.Lines {
		tell(l, l.Missed())
	}
	grown, err := scale.Run(ctx, scale.Short())
	if err != nil {
		return err
	}
	for _, l := range grown.Lines {
		tell(l, l.Missed())
	}
	return errors.Join(missed...)
}

// rounds runs each benchmark of a list once a round, and hands over each result as it is there, with the number of the round from 1.
func rounds(ctx context.Context, list []benchmark, n int, done func(benchmark, int, result)) (results, error) {
	all := results{}
	for round := range n {
		for _, b := range list {
			r, err := b.measure(ctx)
			if err != nil {
				return nil, err
			}
			all[b.name] = append(all[b.name], r)
			done(b, round+1, r)
		}
	}
	return all, nil
}

// printResult prints the line of standard benchmark output.
func printResult(out io.Writer, b benchmark, r result) {
	fmt.Fprintf(out, "%-36s%s\t%s\n", fmt.Sprintf("Benchmark%s-%d", b.name, runtime.GOMAXPROCS(0)), r, r.MemString())
}

// figure is what results are condensed to: a ratio, a budget, or a footprint.
type figure interface {
	key() floors.Key
	benchmarks() []string // names of what it is found from
	value(of results) (v float64, ok bool)
	line(v float64) string
	check(v float64) error // whether the goal is met, if there is one
}

// condense prints what is found from the results.
func condense(all results, check bool, out io.Writer) error {
	var missed []error
	for _, f := range figures() {
		v, ok := f.value(all)
		if !ok {
			continue
		}
		fmt.Fprintln(out, f.line(v))
		if check {
			missed = append(missed, f.check(v))
		}
	}
	return errors.Join(missed...)
}
