package main

import (
	"fmt"
	"slices"

	"github.com/parley-rpc/parley/bench/internal/floors"
)

// ratio compares the throughput of two benchmarks. More than 1 means that the first is the faster one.
type ratio struct {
	name     string
	of, over string  // names of benchmarks
	goal     float64 // 0 if the ratio is for information
}

// key implements figure.
func (r ratio) key() floors.Key { return floors.Key{Kind: floors.Ratio, Name: r.name} }

// benchmarks implements figure.
func (r ratio) benchmarks() []string { return []string{r.of, r.over} }

// value returns the median of the ratios of each round, and whether both benchmarks were run.
func (r ratio) value(of results) (float64, bool) {
	each := r.each(of)
	if len(each) == 0 {
		return 0, false
	}
	return median(each), true
}

// each returns the ratios of each round, or none if not both benchmarks were run.
func (r ratio) each(of results) []float64 {
	a, b := of[r.of], of[r.over]
	if len(a) != len(b) {
		return nil
	}
	each := make([]float64, len(a))
	for i := range a {
		each[i] = nanoseconds(b[i]) / nanoseconds(a[i])
	}
	return each
}

// line returns the line that is printed for a ratio.
func (r ratio) line(value float64) string {
	if r.goal == 0 {
		return fmt.Sprintf("%s %.2f", r.key(), value)
	}
	return fmt.Sprintf("%s %.2f %g", r.key(), value, r.goal)
}

// check returns an error if the goal is missed.
func (r ratio) check(value float64) error {
	if value >= r.goal {
		return nil
	}
	return fmt.Errorf("%s is %.2f, below its goal %g", r.key(), value, r.goal)
}

// nanoseconds returns the time of one operation, with its fraction.
func nanoseconds(r result) float64 { return float64(r.T.Nanoseconds()) / float64(r.N) }

// median returns the middle of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}
