// Package idtable keeps what is found by an id that a counter has given out.
package idtable

import (
	"maps"
	"slices"
)

const (
	// fewest and most are how many slots a ring has.
	fewest = 4
	most   = 4096
	// keeps is how many slots an empty table keeps, at most.
	keeps = 1024
)

// Table is a map whose keys are ids of a counter, and are not 0. Most of them live shortly: a ring has the newest, at less than half of the price of a
// Go map; those whose slot a newer one wants are in a map. The zero Table is empty. It is not safe for concurrent use.
type Table[V any] struct {
	ring []slot[V] // by the last bits of the id
	old  map[uint64]V
	n    int
}

type slot[V any] struct {
	id    uint64 // 0: free
	value V
}

// Len returns how many values there are.
func (t *Table[V]) Len() int { return t.n }

func (t *Table[V]) slot(id uint64) *slot[V] { return &t.ring[id&uint64(len(t.ring)-1)] }

// Put puts a value in, in place of the one with that id if there is one.
func (t *Table[V]) Put(id uint64, v V) {
	if t.ring == nil {
		t.ring = make([]slot[V], fewest)
	}
	s := t.slot(id)
	switch {
	case s.id == 0:
		if len(t.old) == 0 || !t.replaceOld(id, v) {
			s.id, s.value = id, v
			t.n++
		}
	case s.id == id:
		s.value = v
	case t.n > len(t.ring)/2 && len(t.ring) < most:
		t.grow()
		t.Put(id, v)
	case !t.replaceOld(id, v):
		t.retire(s)
		s.id, s.value = id, v
		t.n++
	}
}

// replaceOld replaces the value of an id that is in the map, and reports whether it is.
func (t *Table[V]) replaceOld(id uint64, v V) bool {
	_, has := t.old[id]
	if has {
		t.old[id] = v
	}
	return has
}

// retire moves the value of a slot into the map.
func (t *Table[V]) retire(s *slot[V]) {
	if t.old == nil {
		t.old = make(map[uint64]V)
	}
	t.old[s.id] = s.value
}

func (t *Table[V]) grow() {
	before := t.ring
	t.ring = make([]slot[V], 2*len(before))
	for _, s := range before {
		if s.id != 0 {
			*t.slot(s.id) = s
		}
	}
}

// Get returns the value with that id, or the zero value.
func (t *Table[V]) Get(id uint64) (v V) {
	if t.ring == nil {
		return v
	}
	if s := t.slot(id); s.id == id {
		return s.value
	}
	return t.old[id]
}

// Delete takes the value with that id out, if there is one.
func (t *Table[V]) Delete(id uint64) {
	if t.n == 0 {
		return
	}
	if s := t.slot(id); s.id == id {
		*s = slot[V]{}
		t.n--
	} else if _, has := t.old[id]; has {
		delete(t.old, id)
		t.n--
	}
	if t.n == 0 && len(t.ring) > keeps {
		t.ring, t.old = nil, nil
	}
}

// IDs returns all ids, in order.
func (t *Table[V]) IDs() []uint64 {
	ids := slices.Collect(maps.Keys(t.old))
	for i := range t.ring {
		if t.ring[i].id != 0 {
			ids = append(ids, t.ring[i].id)
		}
	}
	slices.Sort(ids)
	return ids
}
