package faultproxy

import (
	"errors"
	"fmt"
	"time"
)

// Kind is a way in which a network fails.
type Kind int

// The kinds. All but Stall and Slow break the connection.
const (
	// Cut closes both sides.
	Cut Kind = iota
	// Reset closes both sides with an RST, so that what is in the buffers of the kernel is lost, too.
	Reset
	// HalfOpen closes one side only. The other one is kept: it is read from, so that its peer sees a connection that works, and
	// nothing ever comes.
	HalfOpen
	// CloseAfter passes a number of bytes more, in both directions together, and then closes both sides: in the midst of a frame, as a rule.
	CloseAfter
	// StallCut stops copying in both directions for a while, and then closes both sides.
	StallCut
	// Stall stops copying in both directions for a while, and then goes on.
	Stall
	// Slow copies at a low rate for a while, and then goes on.
	Slow

	kinds int = iota
)

var kindNames = [kinds]string{"cut", "reset", "half-open", "close-after", "stall-cut", "stall", "slow"}

// String returns the name of the kind, which ParseKind takes back.
func (k Kind) String() string {
	if k < 0 || int(k) >= kinds {
		return fmt.Sprintf("fault %d", int(k))
	}
	return kindNames[k]
}

// Breaks reports whether the connection does not survive a fault of the kind.
func (k Kind) Breaks() bool { return k != Stall && k != Slow }

// Kinds returns all kinds.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// ParseKind returns the kind of that name.
func ParseKind(name string) (Kind, error) {
	for i, known := range kindNames {
		if name == known {
			return Kind(i), nil
		}
	}
	return 0, fmt.Errorf("faultproxy: there is no fault %.100q; there are %q", name, kindNames)
}

// Fault is what Strike does to a connection.
type Fault struct {
	Kind Kind
	// Patience is how long the fault waits for traffic to strike at (Config.Carries), or CloseAfter for its bytes. After that it strikes all the same.
	Patience time.Duration
	// For is how long a stall lasts, a slow phase, or the side that HalfOpen keeps.
	For time.Duration
	// Bytes is how many CloseAfter passes, and how many Slow passes in a second. Less than 1 counts as 1.
	Bytes int
}

// Errors of Strike and Listen, which errors.Is finds.
var (
	// ErrNoConnection: there is none that no other fault has been given to.
	ErrNoConnection = errors.New("faultproxy: no connection to strike")
	// ErrGone: the connection ended by itself before the fault had struck.
	ErrGone = errors.New("faultproxy: the connection ended before the fault did")
	// ErrNoRand: Config.Rand is nil.
	ErrNoRand = errors.New("faultproxy: Config.Rand is missing")
)

// Counts says what a proxy has done to connections.
type Counts struct {
	// ByKind is how many faults of each kind have struck; of Stall, StallCut and Slow, how many have passed.
	ByKind [kinds]uint64
	// Breaks is how many of them broke the connection.
	Breaks uint64
	// Unacknowledged is how many of the breaks struck when one of the peers had sent traffic, and had been passed not one byte
	// since, so that it cannot have got an acknowledgement of it.
	Unacknowledged uint64
}

// Add returns the sum of c and d.
func (c Counts) Add(d Counts) Counts {
	for i, n := range d.ByKind {
		c.ByKind[i] += n
	}
	c.Breaks += d.Breaks
	c.Unacknowledged += d.Unacknowledged
	return c
}

// String returns the counts in one line.
func (c Counts) String() string {
	s := fmt.Sprintf("breaks=%d unacknowledged=%d", c.Breaks, c.Unacknowledged)
	for i, n := range c.ByKind {
		s += fmt.Sprintf(" %s=%d", Kind(i), n)
	}
	return s
}
