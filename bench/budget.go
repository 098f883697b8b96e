package main

import "fmt"

// budget limits how much a benchmark allocates.
type budget struct {
	name  string
	of    string  // name of a benchmark
	users float64 // allocations of one operation that are the user's own, and do not count
	goal  float64 // allocations of one operation beside those
}

// value returns the median of the allocations of one operation, without the user's own, and whether the benchmark was run.
func (b budget) value(of results) (float64, bool) {
	var each []float64
	for _, r := range of[b.of] {
		each = append(each, float64(r.MemAllocs)/float64(r.N)-b.users)
	}
	if len(each) == 0 {
		return 0, false
	}
	return median(each), true
}

// line returns the line that is printed for a budget.
func (b budget) line(value float64) string {
	return fmt.Sprintf("allocs %s %.2f %g", b.name, value, b.goal)
}

// check returns an error if the goal is missed.
func (b budget) check(value float64) error {
	if value <= b.goal {
		return nil
	}
	return fmt.Errorf("allocs %s are %.2f, above their goal %g", b.name, value, b.goal)
}
