package main

// ledger checks the numbers of a flow and method, which count from 1, where they arrive.
type ledger struct {
	tally
	highest uint64
	missing map[uint64]struct{} // numbers below the highest that have not come
}

// take takes a number. It reports whether the message is a new one, in its place.
func (l *ledger) take(number uint64) bool {
	if number > l.highest {
		for n := l.highest + 1; n < number; n++ {
			if l.missing == nil {
				l.missing = make(map[uint64]struct{})
			}
			l.missing[n] = struct{}{}
		}
		l.highest = number
		l.Delivered++
		return true
	}
	if _, ok := l.missing[number]; ok {
		delete(l.missing, number)
		l.Delivered++
		l.Reordered++
		return false
	}
	l.Duplicated++
	return false
}

// inbox checks what arrives of a flow: each method by itself, and both together, because they share a session and an
// endpoint, and are promised to stay in order.
type inbox struct {
	puts, checks ledger
	position     uint64 // the highest so far
}

// take takes a message of the method that l is for.
func (b *inbox) take(l *ledger, number, position uint64) {
	inPlace := l.take(number)
	if position > b.position {
		b.position = position
	} else if inPlace {
		l.Reordered++
	}
}

// received returns the counts.
func (b *inbox) received() received {
	return received{Puts: b.puts.tally, Checks: b.checks.tally}
}
