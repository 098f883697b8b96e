// Package bulk keeps large messages from taking all processors of a program.
//
// To encode or decode 64 MiB takes tens of milliseconds. The Go scheduler lets a goroutine have a processor for ten or twenty of them, and if each
// processor has such a goroutine, everything else waits for as long: messages of a few bytes, and those who read and write the sessions that these
// travel in. So large messages are worked on by turns, of which there is one for every two processors.
//
// A turn is a courtesy to others. Nobody waits for one longer than Patience, so that there is nothing that a turn could hold up for good: where more large
// messages come than the turns are enough for, all processors work on them.
package bulk

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// Large is from how many bytes on a message waits for its turn. To encode or decode a smaller one takes less than a millisecond, unless it has many small
	// parts.
	Large = 1 << 20
	// Patience is how long a message waits at the most.
	Patience = 100 * time.Millisecond
)

// turns has an element for each turn that is taken.
type turns struct {
	taken chan struct{}
	begun atomic.Uint64
}

func newTurns(n int) *turns { return &turns{taken: make(chan struct{}, n)} }

// all are the turns of this program, by the processors that it has when it starts. Programs cannot observe them but by the time that something takes.
var all = newTurns(max(1, runtime.GOMAXPROCS(0)/2))

// Begin waits for a turn to encode or decode that many bytes, if they are a large message. The caller calls end once, as soon as that is done. It may be
// called concurrently.
func Begin(bytes int) (end func()) {
	if bytes < Large {
		return nothing
	}
	return all.begin()
}

// Begun returns how many large messages have had their turn, or have waited in vain, since the program started. Tests see by it who asks for turns.
func Begun() uint64 { return all.begun.Load() }

func (t *turns) begin() (end func()) {
	defer t.begun.Add(1)
	// What is ready to run on this processor may find no other one for as long as the work takes.
	defer runtime.Gosched()
	select {
	case t.taken <- struct{}{}:
		return t.end
	default:
	}
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case t.taken <- struct{}{}:
		return t.end
	case <-patience.C:
		return nothing
	}
}

func (t *turns) end() { <-t.taken }

func nothing() {}
