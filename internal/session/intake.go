package session

import (
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// Intake is the room in which a session takes a frame over: what is parsed of it, and the events that it makes of it. It is not the session's own, because
// most sessions are idle, and half a kilobyte is much for thousands of those. One goroutine at a time may use it, for one session after the other. The zero
// Intake is ready for use, and so is one after Reset.
type Intake struct {
	now    time.Time // when the frame at hand was read
	head   wire.Head
	env    wire.Envelope // the one at hand
	events []Event       // zero up to its capacity, but for those that there are
}

// mostRoom is for how many events there is room in an Intake that is used again, at most. A batch, of the smallest messages, has some 2,500; the largest frame of
// cancels a hundred times as many.
const mostRoom = 4096

// Reset forgets the frame, and the events, of which nothing may be used any more.
func (in *Intake) Reset() {
	if cap(in.events) > mostRoom {
		*in = Intake{}
		return
	}
	clear(in.events)
	*in = Intake{events: in.events[:0]}
}
