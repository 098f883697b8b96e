// Package rounds puts together what interleaved rounds have measured.
package rounds

import (
	"cmp"
	"slices"
)

// Median returns the middle of values, or the lower one of the two in the middle, and zero of none. It leaves values as they are.
func Median[T cmp.Ordered](values []T) T {
	if len(values) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
