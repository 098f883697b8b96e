package smallmap_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/smallmap"
)

func Example() {
	var sessions smallmap.Map[string, int]
	sessions.Set("here", 1)
	fmt.Println(sessions.Get("here"), sessions.Get("there"), sessions.Len())
	// Output: 1 0 1
}

// TestLikeAMap does the same to a Map and a Go map, few entries and many.
func TestLikeAMap(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		keys := 1 + r.IntN(24)
		var m smallmap.Map[string, int]
		want := map[string]int{}
		for range 200 {
			k := fmt.Sprint(r.IntN(keys))
			switch r.IntN(3) {
			case 0:
				m.Delete(k)
				delete(want, k)
			default:
				v := 1 + r.IntN(1000)
				m.Set(k, v)
				want[k] = v
			}
			if got := maps.Collect(m.All()); !maps.Equal(got, want) || m.Len() != len(want) {
				t.Fatalf("%v (%d), want %v", got, m.Len(), want)
			}
			for i := range keys {
				if k := fmt.Sprint(i); m.Get(k) != want[k] {
					t.Fatalf("%q is %d, want %d", k, m.Get(k), want[k])
				}
			}
			for range m.All() { // may be left early
				break
			}
		}
	}
}

// TestSmall: a Map takes one object while it has an entry, and none while it has none.
func TestSmall(t *testing.T) {
	var m smallmap.Map[string, *int]
	if n := testing.AllocsPerRun(100, func() {
		m.Set("k", nil)
		m.Delete("k")
	}); n != 1 {
		t.Errorf("an entry takes %v objects, want 1", n)
	}
	for _, entries := range []int{1, 100} {
		for i := range entries {
			m.Set(fmt.Sprint(i), nil)
		}
		for i := range entries {
			m.Delete(fmt.Sprint(i))
		}
		if !reflect.ValueOf(m).IsZero() {
			t.Errorf("a Map that had %d entries keeps something", entries)
		}
	}
}
