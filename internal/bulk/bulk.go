// Package bulk keeps large messages from taking all processors of a program.
//
// To encode or decode 64 MiB takes tens of milliseconds. The Go scheduler lets a goroutine have a processor for ten or twenty of them, and if each
// processor has such a goroutine, everything else waits for as long: messages of a few bytes, and those who read and write the sessions that these
// travel in. So at most half of the processors work on large messages at a time, and the others wait for their turn.
package bulk

import (
	"context"
	"runtime"
)

// Large is from how many bytes on a message waits for its turn. To encode or decode a smaller one takes less than a millisecond.
const Large = 1 << 20

// turns has an element for each turn that is taken.
type turns chan struct{}

// all are the turns of this program: half of the processors that it has when it starts, and at least one. Nobody can observe them but by the time that
// something takes.
var all = make(turns, max(1, runtime.GOMAXPROCS(0)/2))

// Turns returns how many may work at a time.
func Turns() int { return cap(all) }

// Begin waits for a turn to encode or decode that many bytes, if they are a large message. The caller calls end once, as soon as that is done, and in
// between nothing that may wait. If ctx ends first, Begin returns as well, and whoever goes on all the same does so without a turn. It may be
// called concurrently.
func Begin(ctx context.Context, bytes int) (end func()) {
	if bytes < Large {
		return nothing
	}
	return all.begin(ctx)
}

func (t turns) begin(ctx context.Context) (end func()) {
	select {
	case t <- struct{}{}:
	case <-ctx.Done():
		return nothing
	}
	// What is ready to run on this processor may find no other one for as long as the work takes.
	runtime.Gosched()
	return t.end
}

func (t turns) end() { <-t }

func nothing() {}
