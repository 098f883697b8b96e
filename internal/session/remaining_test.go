package session

import (
	"math"
	"testing"
)

// TestLess: a time that is over is the shortest there is, and 0 is for ever, whatever a peer says.
func TestLess(t *testing.T) {
	for _, test := range []struct{ remaining, later, want uint64 }{
		{0, 0, 0}, {0, math.MaxUint64, 0}, {5, 0, 5}, {5, 2, 3}, {5, 4, 1}, {5, 5, 1}, {5, 6, 1}, {5, math.MaxUint64, 1},
		{math.MaxUint64, 1, math.MaxUint64 - 1}, {math.MaxUint64, math.MaxUint64, 1},
	} {
		if got := less(test.remaining, test.later); got != test.want {
			t.Errorf("less(%d, %d) = %d, want %d", test.remaining, test.later, got, test.want)
		}
	}
}
