// Package smallmap has a map that is small while little is in it.
//
// A Go map makes room for eight entries when the first one comes, and has a header of its own. Where there are thousands of maps, most of them with one
// entry or none, that is more than all else they are for.
package smallmap

import "iter"

// few is how many entries are kept without a Go map: as many as that looks at one after the other, too.
const few = 8

// Map is a map that takes 32 bytes and what its entries take, as long as there are eight of them or fewer, and what a Go map takes from then on. The zero Map
// is empty. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	list []entry[K, V] // while there is no index
	all  map[K]V       // nil while there are few
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// Len returns how many entries there are.
func (m *Map[K, V]) Len() int {
	if m.all != nil {
		return len(m.all)
	}
	return len(m.list)
}

// Get returns the value of k, or the zero V if there is none.
func (m *Map[K, V]) Get(k K) V {
	if m.all != nil {
		return m.all[k]
	}
	if i := m.find(k); i >= 0 {
		return m.list[i].value
	}
	var none V
	return none
}

// find returns where k is in the list, or -1.
func (m *Map[K, V]) find(k K) int {
	for i := range m.list {
		if m.list[i].key == k {
			return i
		}
	}
	return -1
}

// Set makes v the value of k.
func (m *Map[K, V]) Set(k K, v V) {
	if m.all != nil {
		m.all[k] = v
		return
	}
	if i := m.find(k); i >= 0 {
		m.list[i].value = v
		return
	}
	if len(m.list) < few {
		m.list = append(m.list, entry[K, V]{k, v})
		return
	}
	m.all = make(map[K]V, len(m.list)+1)
	for _, e := range m.list {
		m.all[e.key] = e.value
	}
	m.all[k], m.list = v, nil
}

// Delete removes k, if it is there.
func (m *Map[K, V]) Delete(k K) {
	if m.all != nil {
		delete(m.all, k)
		if len(m.all) == 0 {
			m.all = nil
		}
		return
	}
	i := m.find(k)
	if i < 0 {
		return
	}
	last := len(m.list) - 1
	m.list[i] = m.list[last]
	m.list[last] = entry[K, V]{}
	m.list = m.list[:last]
	if last == 0 {
		m.list = nil
	}
}

// All returns all entries, in any order. Nothing may be set or deleted while they are gone through.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, e := range m.list {
			if !yield(e.key, e.value) {
				return
			}
		}
		for k, v := range m.all {
			if !yield(k, v) {
				return
			}
		}
	}
}
