package main

import (
	"fmt"

	"github.com/parley-rpc/parley/bench/internal/floors"
)

// budget limits how often a benchmark allocates.
type budget struct {
	name  string
	of    string  // name of a benchmark
	users float64 // allocations of one operation that are the user's own, and do not count
	goal  float64 // allocations of one operation beside those; 0 if the budget is for information
}

// key implements figure.
func (b budget) key() floors.Key { return floors.Key{Kind: floors.Allocs, Name: b.name} }

// benchmarks implements figure.
func (b budget) benchmarks() []string { return []string{b.of} }

// value returns the median of the allocations of one operation, without the user's own, and whether the benchmark was run.
func (b budget) value(of results) (float64, bool) {
	return medianOf(of[b.of], func(r result) float64 { return float64(r.MemAllocs)/float64(r.N) - b.users })
}

// line returns the line that is printed for a budget.
func (b budget) line(value float64) string {
	if b.goal == 0 {
		return fmt.Sprintf("%s %.2f", b.key(), value)
	}
	return fmt.Sprintf("%s %.2f %g", b.key(), value, b.goal)
}

// check returns an error if the goal is missed.
func (b budget) check(value float64) error {
	if b.goal == 0 || value <= b.goal {
		return nil
	}
	return fmt.Errorf("%s are %.2f, above their goal %g", b.key(), value, b.goal)
}

// footprint is how many bytes a benchmark allocates. It has no goal.
type footprint struct {
	name string
	of   string // name of a benchmark
}

// key implements figure.
func (f footprint) key() floors.Key { return floors.Key{Kind: floors.Bytes, Name: f.name} }

// benchmarks implements figure.
func (f footprint) benchmarks() []string { return []string{f.of} }

// value returns the median of the bytes of one operation, those of the user among them, and whether the benchmark was run.
func (f footprint) value(of results) (float64, bool) {
	return medianOf(of[f.of], func(r result) float64 { return float64(r.MemBytes) / float64(r.N) })
}

// line returns the line that is printed for a footprint.
func (f footprint) line(value float64) string { return fmt.Sprintf("%s %.0f", f.key(), value) }

// check returns nil.
func (f footprint) check(float64) error { return nil }

// medianOf returns the median of what is found in each result, and whether there are any.
func medianOf(of []result, find func(result) float64) (float64, bool) {
	if len(of) == 0 {
		return 0, false
	}
	each := make([]float64, len(of))
	for i, r := range of {
		each[i] = find(r)
	}
	return median(each), true
}
