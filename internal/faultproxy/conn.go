package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// side is an end of a connection, as the Proxy sees it. The bytes that come from a side are those of the direction of that name.
type side int

const (
	dialler side = 0
	target  side = 1
)

func (s side) other() side { return 1 - s }

// conn is one connection: that which was accepted, and the one to a target.
type conn struct {
	proxy  *Proxy
	sides  [2]*net.TCPConn
	closed chan struct{} // when both sides have been closed here
	ended  chan struct{} // when nothing is copied any more
	once   sync.Once     // of close
	struck bool          // has been given to a fault; guarded by the Proxy's mu

	mu      sync.Mutex
	trap    *trap         // the fault that waits for traffic; nil if none does
	stalled chan struct{} // closed when copying goes on; nil unless it has stopped
	rate    int           // bytes a second; 0 means no limit
	broken  bool          // nothing is passed any more, and whoever set it closes the sides
	// unacknowledged says of a direction that traffic has come from its side, to which nothing has been passed since.
	unacknowledged [2]bool
}

// trap is a fault that waits for traffic.
type trap struct {
	kind   Kind
	budget int           // bytes that may pass before; of CloseAfter only
	sprung chan struct{} // closed when it has struck, and what is to pass has passed
}

func newConn(p *Proxy, accepted, dialled *net.TCPConn) *conn {
	return &conn{
		proxy: p, sides: [2]*net.TCPConn{accepted, dialled},
		closed: make(chan struct{}), ended: make(chan struct{}),
	}
}

// run copies in both directions until both are over.
func (c *conn) run() {
	defer close(c.ended)
	defer c.close()
	var back sync.WaitGroup
	back.Go(func() { c.copy(target) })
	c.copy(dialler)
	back.Wait()
}

// close closes both sides.
func (c *conn) close() {
	c.once.Do(func() {
		for _, s := range c.sides {
			_ = s.Close() // it fails if a fault has closed that side
		}
		close(c.closed)
	})
}

// reset closes both sides with an RST.
func (c *conn) reset() {
	for _, s := range c.sides {
		_ = s.SetLinger(0) // it fails if the connection is over
	}
	c.close()
}

// chunkSize is the most that is read at a time.
const chunkSize = 32 << 10

// copy copies what comes from a side, until that ends.
func (c *conn) copy(from side) {
	buffer := make([]byte, chunkSize)
	for {
		n, err := c.sides[from].Read(buffer)
		if n > 0 {
			c.pass(from, buffer[:n])
		}
		switch {
		case err == nil:
		case c.isBroken(): // the fault closes the sides, in its own order
			return
		case errors.Is(err, io.EOF):
			_ = c.sides[from.other()].CloseWrite() // the other direction goes on, or is over already
			return
		default:
			c.reset()
			return
		}
	}
}

func (c *conn) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// pass passes on what has come from a side, or what the faults leave of it.
func (c *conn) pass(from side, chunk []byte) {
	for {
		n, sprung, goesOn := c.admit(from, chunk)
		c.write(from.other(), chunk[:n])
		if sprung != nil {
			close(sprung)
		}
		if goesOn == nil {
			return
		}
		chunk = chunk[n:]
		select {
		case <-goesOn:
		case <-c.closed:
			return
		}
	}
}

// admit says how much of a chunk is to be passed. If that springs the trap, sprung is to be closed after it. The rest waits
// for goesOn, or is dropped if that is nil.
func (c *conn) admit(from side, chunk []byte) (n int, sprung, goesOn chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return 0, nil, nil // read all the same: the peer of a side that is kept must not see its buffers fill
	}
	if c.stalled != nil {
		return 0, nil, c.stalled
	}
	n = len(chunk)
	carries := c.proxy.carries(chunk)
	if t := c.trap; t != nil {
		switch {
		case t.kind == CloseAfter:
			n = min(n, t.budget)
			t.budget -= n
			if t.budget == 0 {
				sprung = t.sprung
			}
		case carries:
			n = c.proxy.intN(n + 1)
			sprung = t.sprung
		}
		if sprung != nil {
			c.strikeLocked(t.kind)
		}
	}
	if n > 0 {
		c.unacknowledged[from.other()] = false
	}
	if carries {
		c.unacknowledged[from] = true
	}
	return n, sprung, c.stalled
}

// strikeLocked stops both directions, as the kind of fault has it.
func (c *conn) strikeLocked(k Kind) {
	c.trap = nil
	switch k {
	case Stall, StallCut:
		c.stalled = make(chan struct{})
	default:
		c.broken = true
	}
}

// slowTick is how often something is written at a low rate.
const slowTick = 20 * time.Millisecond

// write writes to a side, at the rate of the moment. That it fails is found by the reader of that side.
func (c *conn) write(to side, chunk []byte) {
	for len(chunk) > 0 {
		n := len(chunk)
		rate := c.limit()
		if rate > 0 {
			n = min(n, max(int(int64(rate)*int64(slowTick)/int64(time.Second)), 1))
		}
		if _, err := c.sides[to].Write(chunk[:n]); err != nil {
			return
		}
		chunk = chunk[n:]
		if rate > 0 && !wait(slowTick, c.closed) {
			return
		}
	}
}

func (c *conn) limit() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rate
}
