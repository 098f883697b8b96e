package main

import "testing"

// TestLedger: numbers that are missing, come again or come late are counted as such, each once.
func TestLedger(t *testing.T) {
	for _, test := range []struct {
		name    string
		numbers []uint64
		want    tally
	}{
		{"nothing", nil, tally{}},
		{"in order", []uint64{1, 2, 3}, tally{Delivered: 3}},
		{"first lost", []uint64{2, 3}, tally{Delivered: 2}},
		{"one lost", []uint64{1, 3}, tally{Delivered: 2}},
		{"the last twice", []uint64{1, 2, 2}, tally{Delivered: 2, Duplicated: 1}},
		{"the first twice", []uint64{1, 2, 1}, tally{Delivered: 2, Duplicated: 1}},
		{"a run again", []uint64{1, 2, 3, 2, 3, 4}, tally{Delivered: 4, Duplicated: 2}},
		{"swapped", []uint64{2, 1, 3}, tally{Delivered: 3, Reordered: 1}},
		{"late, and again", []uint64{1, 3, 2, 2}, tally{Delivered: 3, Reordered: 1, Duplicated: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l ledger
			for _, n := range test.numbers {
				l.take(n)
			}
			if l.tally != test.want {
				t.Errorf("%v makes %+v, want %+v", test.numbers, l.tally, test.want)
			}
		})
	}
}

// TestInbox: methods that overtake each other are found, though each is in order.
func TestInbox(t *testing.T) {
	var b inbox
	b.take(&b.puts, 1, 1)
	b.take(&b.puts, 2, 3)
	b.take(&b.checks, 1, 2)
	b.take(&b.checks, 2, 4)
	want := received{Puts: tally{Delivered: 2}, Checks: tally{Delivered: 2, Reordered: 1}}
	if got := b.received(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.take(&b.puts, 2, 3)
	want.Puts.Duplicated = 1 // and nothing else: it counts once
	if got := b.received(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
