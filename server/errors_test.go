package server

import (
	"fmt"
	"testing"
)

// TestTombstonesRememberTheLast names, and no more than those.
func TestTombstonesRememberTheLast(t *testing.T) {
	var s tombstones
	if s.has("") || s.has("0") {
		t.Error("a name is remembered that was not added")
	}
	for i := range 3 * mostTombstones {
		s.add(fmt.Sprint(i))
		for _, j := range []int{i, max(0, i-mostTombstones+1)} {
			if !s.has(fmt.Sprint(j)) {
				t.Fatalf("%d is not remembered after %d", j, i)
			}
		}
		if i >= mostTombstones && s.has(fmt.Sprint(i-mostTombstones)) {
			t.Fatalf("%d is remembered after %d", i-mostTombstones, i)
		}
	}
	if len(s.names) != mostTombstones {
		t.Errorf("%d names are kept, want %d", len(s.names), mostTombstones)
	}
}
