package load

import (
	"math"
	"slices"
	"testing"
	"time"
)

func dues(c Config, n int) []time.Duration {
	s := newSchedule(c)
	d := make([]time.Duration, n)
	for i := range d {
		d[i] = s.peek().due
		s.next()
	}
	return d
}

func TestConstantScheduleDoesNotDrift(t *testing.T) {
	d := dues(Config{Rate: 3000}, 3_000_001)
	for _, i := range []int{0, 3000, 3_000_000} {
		if want := time.Duration(i/3000) * time.Second; d[i] != want {
			t.Errorf("operation %d is due after %v, want %v", i, d[i], want)
		}
	}
}

func TestPoissonSchedule(t *testing.T) {
	const n = 100_000
	c := Config{Rate: 1000, Poisson: true, Seed: 1}
	a, b := dues(c, n), dues(c, n)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave two schedules")
	}
	c.Seed = 2
	if slices.Equal(a, dues(c, n)) {
		t.Error("two seeds gave the same schedule")
	}
	if !slices.IsSorted(a) {
		t.Error("not in order")
	}
	// The gaps of a Poisson process have a standard deviation like their mean.
	mean, squares := a[n-1].Seconds()/n, 0.0
	for i := 1; i < n; i++ {
		g := (a[i] - a[i-1]).Seconds()
		squares += (g - mean) * (g - mean)
	}
	deviation := math.Sqrt(squares / n)
	if math.Abs(mean-0.001) > 0.00002 || math.Abs(deviation-0.001) > 0.00002 {
		t.Errorf("gaps of %g s, with a deviation of %g, want 0.001 for both", mean, deviation)
	}
}
