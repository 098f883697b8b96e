package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/parley-rpc/parley/bench/internal/floors"
)

const (
	// guardRounds is how often everything is measured at first.
	guardRounds = 7
	// retryRounds is how often that is measured again which has missed its bound.
	retryRounds = 11
	// guardTime is the least duration of one measurement.
	guardTime = 250 * time.Millisecond
)

// guard holds what is measured against bounds that are wide enough for a noisy machine: a figure across its bound has changed for the
// worse, by something in this tree.
type guard struct {
	bounds  floors.Bounds
	measure func(ctx context.Context, list []benchmark, rounds int) (results, error)
	out     io.Writer
}

// runGuard measures and checks the bounds of a file.
func runGuard(ctx context.Context, path string, out io.Writer) error {
	bounds, err := readBounds(path)
	if err != nil {
		return err
	}
	if err := setTime(guardTime); err != nil {
		return err
	}
	g := guard{bounds, func(ctx context.Context, list []benchmark, n int) (results, error) {
		return rounds(ctx, list, n, func(b benchmark, _ int, r result) { printResult(out, b, r) })
	}, out}
	return g.run(ctx)
}

// readBounds reads the bounds of all that is guarded, and of nothing else.
func readBounds(path string) (floors.Bounds, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading bounds: %w", err)
	}
	bounds, err := floors.Parse(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var keys []floors.Key
	for _, v := range guarded() {
		keys = append(keys, v.key())
	}
	if err := bounds.Match(keys); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return bounds, nil
}

// guardedBenchmarks returns those of Parley and of gRPC in one process: the others take long, and their ratios add nothing.
func guardedBenchmarks() []benchmark {
	return slices.DeleteFunc(benchmarks(), func(b benchmark) bool {
		name := b.system.Name()
		return b.in.two || !strings.HasPrefix(name, "parley") && !strings.HasPrefix(name, "grpc-")
	})
}

// guarded returns the figures of those benchmarks.
func guarded() []figure {
	list := guardedBenchmarks()
	return slices.DeleteFunc(figures(), func(f figure) bool {
		return slices.ContainsFunc(f.benchmarks(), func(name string) bool {
			return !slices.ContainsFunc(list, func(b benchmark) bool { return b.name == name })
		})
	})
}

// run measures everything, and once more what has missed its bound: a machine that was busy with something else is no reason to fail.
func (g guard) run(ctx context.Context) error {
	missed, _, err := g.check(ctx, guarded(), guardRounds)
	if err != nil || len(missed) == 0 {
		return err
	}
	fmt.Fprintf(g.out, "guard: %d of %d figures missed, and are measured again in %d rounds\n", len(missed), len(g.bounds), retryRounds)
	missed, failed, err := g.check(ctx, missed, retryRounds)
	if err != nil || len(missed) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s", failed, advice(missed))
}

// check measures what the figures are of, and returns those that have missed their bounds, with an error that says by how much.
func (g guard) check(ctx context.Context, all []figure, rounds int) (missed []figure, failed, err error) {
	list := slices.DeleteFunc(guardedBenchmarks(), func(b benchmark) bool {
		return !slices.ContainsFunc(all, func(f figure) bool { return slices.Contains(f.benchmarks(), b.name) })
	})
	measured, err := g.measure(ctx, list, rounds)
	if err != nil {
		return nil, nil, err
	}
	var wrong []error
	for _, f := range all {
		k := f.key()
		v, ok := f.value(measured)
		if !ok {
			v = math.NaN()
		}
		verdict := "ok"
		if err := g.bounds.Check(k, v); err != nil {
			verdict = "MISSED"
			missed = append(missed, f)
			wrong = append(wrong, err)
		}
		fmt.Fprintf(g.out, "guard: %-6s %s %s, bound %s\n", verdict, k, k.Kind.Format(v), k.Kind.Format(g.bounds[k]))
	}
	return missed, errors.Join(wrong...), nil
}

// advice says what to do about figures that have missed their bounds twice.
func advice(missed []figure) string {
	var names []string
	for _, f := range missed {
		for _, name := range f.benchmarks() {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return fmt.Sprintf("This was measured twice. Compare with the commit before, and find what costs more:\n"+
		"\tgo -C bench run . -only '^(%s)$' -cpuprofile cpu.prof -memprofile mem.prof\n"+
		"If the change is worth its cost, move the bound in bench/floors.txt, and say why in the commit.", strings.Join(names, "|"))
}
