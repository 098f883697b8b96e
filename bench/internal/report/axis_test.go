package report

import (
	"slices"
	"testing"
)

func TestSpanHoldsItsValues(t *testing.T) {
	for _, c := range []struct{ low, high, from, to float64 }{
		{1, 512, 1, 1000},
		{12_345, 412_345, 10_000, 500_000},
		{3, 3, 2, 5},
		{10, 10, 5, 20},
		{0.3, 0.4, 0.2, 0.5},
	} {
		if from, to := span(c.low, c.high); from != c.from || to != c.to {
			t.Errorf("%g to %g: got %g to %g, want %g to %g", c.low, c.high, from, to, c.from, c.to)
		}
	}
}

func TestTicksAreLabelledAtDecades(t *testing.T) {
	labels := func(from, to float64) []string {
		var l []string
		for _, tick := range (axis{tick: tickCount}).ticks(from, to) {
			if tick.Label != "" {
				l = append(l, tick.Label)
			}
		}
		return l
	}
	if got := labels(1, 1e6); !slices.Equal(got, []string{"1", "10", "100", "1k", "10k", "100k", "1M"}) {
		t.Errorf("got %q", got)
	}
	if got := labels(2000, 50_000); !slices.Equal(got, []string{"2k", "5k", "10k", "20k", "50k"}) {
		t.Errorf("got %q", got)
	}
}
