package main

import (
	"fmt"
	"slices"
	"testing"
)

// ratio compares the throughput of two benchmarks. More than 1 means that the first is the faster one.
type ratio struct {
	name     string
	of, over string  // names of benchmarks
	goal     float64 // 0 if the ratio is for information
}

// results are the results of each benchmark, by name, one a round.
type results map[string][]testing.BenchmarkResult

// value returns the median of the ratios of each round, and whether both benchmarks were run.
func (r ratio) value(of results) (float64, bool) {
	a, b := of[r.of], of[r.over]
	if len(a) == 0 || len(a) != len(b) {
		return 0, false
	}
	pairs := make([]float64, len(a))
	for i := range a {
		pairs[i] = nanoseconds(b[i]) / nanoseconds(a[i])
	}
	return median(pairs), true
}

// line returns the line that is printed for a ratio.
func (r ratio) line(value float64) string {
	if r.goal == 0 {
		return fmt.Sprintf("ratio %s %.2f", r.name, value)
	}
	return fmt.Sprintf("ratio %s %.2f %g", r.name, value, r.goal)
}

// check returns an error if the goal is missed.
func (r ratio) check(value float64) error {
	if value >= r.goal {
		return nil
	}
	return fmt.Errorf("ratio %s is %.2f, below its goal %g", r.name, value, r.goal)
}

// nanoseconds returns the time of one operation, with its fraction.
func nanoseconds(r testing.BenchmarkResult) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

// median returns the middle of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}
