package smallmap

import (
	"fmt"
	"testing"
)

// TestBecomesAMap: what is no longer small is a Go map, and what is deleted is not kept.
func TestBecomesAMap(t *testing.T) {
	var m Map[string, *int]
	for i := range 8 {
		m.Set(fmt.Sprint(i), new(int))
	}
	if m.all != nil {
		t.Errorf("%d entries are a Go map", m.Len())
	}
	m.Delete("0")
	if last := m.list[:8][7]; last != (entry[string, *int]{}) {
		t.Errorf("%v is kept", last)
	}
	m.Set("0", nil)
	m.Set("more", nil)
	if m.all == nil || m.list != nil {
		t.Errorf("%d entries are a list", m.Len())
	}
}
