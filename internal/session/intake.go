package session

import (
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// Intake is the room in which a session takes a frame over: what is parsed of it, and the events that it makes of it. It is not the session's own, because
// most sessions are idle, and half a kilobyte is much for thousands of those. One goroutine at a time may use it, for one session after the other. The zero
// Intake is ready for use.
type Intake struct {
	now    time.Time // when the frame at hand was read
	head   wire.Head
	env    wire.Envelope // the one at hand
	events []Event
}
