package idtable

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTable: a table does what a map does, whatever stays for long.
func TestTable(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, width := range []uint64{1, 10, 100, 5000} { // of the ids that live at the same time, but for some
		var table Table[int]
		want := map[uint64]int{}
		for last := range uint64(20000) {
			id := last + 1
			if random.IntN(10) == 0 {
				id = 1 + random.Uint64N(id)
			}
			table.Put(id, int(last))
			want[id] = int(last)
			for range 2 {
				id := 1 + random.Uint64N(last+1)
				if random.IntN(50) > 0 && last > width {
					id = last + 1 - random.Uint64N(width)
				}
				table.Delete(id)
				delete(want, id)
			}
			if id := last + 2 - min(width, last+1); random.IntN(100) > 0 {
				table.Delete(id)
				delete(want, id)
			}
			probe := 1 + random.Uint64N(last+2)
			if got := table.Get(probe); got != want[probe] || table.Len() != len(want) {
				t.Fatalf("width %d: Get(%d) = %d of %d, want %d of %d", width, probe, got, table.Len(), want[probe], len(want))
			}
		}
		ids := table.IDs()
		if !slices.Equal(ids, slices.Sorted(maps.Keys(want))) {
			t.Errorf("width %d: the ids are %d, want %d", width, ids, slices.Sorted(maps.Keys(want)))
		}
		for _, id := range ids {
			table.Delete(id)
		}
		if table.Len() != 0 || len(table.IDs()) != 0 || table.Get(1) != 0 || len(table.ring) > most {
			t.Errorf("width %d: %d are left, in a ring of %d", width, table.Len(), len(table.ring))
		}
	}
}

// TestTableOfOne: one id that stays does not make the ring grow, and a table that is empty has no memory.
func TestTableOfOne(t *testing.T) {
	var table Table[int]
	table.Delete(1)
	if table.Get(1) != 0 || table.ring != nil {
		t.Error("an empty table has memory")
	}
	table.Put(1, 1)
	for id := uint64(2); id < 1000; id++ {
		table.Put(id, 2)
		table.Delete(id)
	}
	if len(table.ring) != fewest || table.Get(1) != 1 || table.Len() != 1 {
		t.Errorf("a ring of %d slots, and %d values", len(table.ring), table.Len())
	}
}

// TestTableAfterMany: a table that has had many values at the same time, and has none, keeps little memory; one that has had few keeps its own.
func TestTableAfterMany(t *testing.T) {
	for _, n := range []uint64{keeps, 3 * most} {
		var table Table[int]
		for id := range n {
			table.Put(id+1, 1)
		}
		if len(table.ring) != int(min(n, most)) {
			t.Errorf("%d values are in a ring of %d slots", n, len(table.ring))
		}
		for id := range n {
			table.Delete(id + 1)
		}
		if table.Len() != 0 || len(table.ring) > keeps || (table.ring == nil) != (n > keeps) || table.old != nil {
			t.Errorf("after %d values there are %d, in a ring of %d slots", n, table.Len(), len(table.ring))
		}
	}
}

func BenchmarkTable(b *testing.B) {
	b.Run("table", func(b *testing.B) {
		var table Table[*int]
		id := uint64(0)
		for b.Loop() {
			id++
			table.Put(id, nil)
			table.Get(id - 30)
			if id > 63 {
				table.Delete(id - 63)
			}
		}
	})
	b.Run("map", func(b *testing.B) {
		table := map[uint64]*int{}
		id := uint64(0)
		for b.Loop() {
			id++
			table[id] = nil
			_ = table[id-30]
			delete(table, id-63)
		}
	})
}
