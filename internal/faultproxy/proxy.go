// Package faultproxy is a TCP proxy for tests that breaks connections in the ways in which networks break them, on command. It knows
// nothing of what it carries, does nothing by itself, and takes its randomness from the caller.
//
// It can strike at the worst moment: right behind bytes that it has just been given, of which a random part is passed on (Config.Carries), and
// nothing at all in the other direction after that. Whoever sent them can neither know what has arrived nor have got an acknowledgement.
package faultproxy

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// dialTimeout bounds a connection to a target.
const dialTimeout = 5 * time.Second

// Config is what a Proxy is made of.
type Config struct {
	// Rand chooses the connection that a fault strikes, the side that is closed first, and the byte behind which it strikes. The
	// Proxy guards it; nobody else may use it. With the same seed the same choices are made, but what they hit is up to the scheduler.
	Rand *rand.Rand
	// Carries reports whether bytes have traffic that their receiver is going to acknowledge, and are thus worth breaking a
	// connection at. Nil means that all have. It is called concurrently.
	Carries func(chunk []byte) bool
}

// Proxy passes the connections that it accepts to its targets, one after the other. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener
	carries  func([]byte) bool
	life     context.Context // of connections to targets that are being opened
	end      context.CancelFunc
	running  sync.WaitGroup // of all goroutines

	random struct {
		sync.Mutex
		*rand.Rand
	}

	mu      sync.Mutex
	targets []string
	next    int     // of targets
	conns   []*conn // in the order in which they were opened
	closed  bool
	counts  Counts
}

// Listen returns a Proxy that listens at address, HOST:PORT, where the port may be 0. Until SetTargets has been called it closes
// what it accepts. Close ends it.
func Listen(address string, c Config) (*Proxy, error) {
	if c.Rand == nil {
		return nil, ErrNoRand
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, carries: c.Carries}
	if p.carries == nil {
		p.carries = func([]byte) bool { return true }
	}
	p.random.Rand = c.Rand
	p.life, p.end = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Address returns where the Proxy listens, HOST:PORT.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// SetTargets sets where connections go that are accepted from now on: to each address in its turn.
func (p *Proxy) SetTargets(addresses ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets, p.next = slices.Clone(addresses), 0
}

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Counts returns what has been done so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Close closes the listener and all connections, and waits for everything that the Proxy has started. Faults that are under way end
// with ErrGone.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	conns := slices.Clone(p.conns)
	p.mu.Unlock()
	p.end()
	err := p.listener.Close()
	for _, c := range conns {
		c.close()
	}
	p.running.Wait()
	return err
}

// accept accepts connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		accepted, err := p.listener.Accept()
		if err != nil {
			if p.life.Err() != nil {
				return
			}
			// Such as too many open files. There is no cause to stop, and none to spin.
			if !wait(retryPause, p.life.Done()) {
				return
			}
			continue
		}
		p.running.Go(func() { p.serve(accepted.(*net.TCPConn)) })
	}
}

// retryPause is how long to wait after a connection could not be accepted.
const retryPause = 10 * time.Millisecond

// serve connects a connection to the next target, and copies until it is over.
func (p *Proxy) serve(accepted *net.TCPConn) {
	target, ok := p.target()
	if !ok {
		_ = accepted.Close()
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	dialled, err := dialer.DialContext(p.life, "tcp", target)
	if err != nil {
		_ = accepted.Close() // as a balancer does that has no way to its backend
		return
	}
	c := newConn(p, accepted, dialled.(*net.TCPConn))
	if !p.add(c) {
		c.close()
		return
	}
	defer p.remove(c)
	c.run()
}

// target returns the target whose turn it is.
func (p *Proxy) target() (address string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.targets) == 0 {
		return "", false
	}
	address = p.targets[p.next%len(p.targets)]
	p.next++
	return address, true
}

// add lists c, unless the Proxy has been closed.
func (p *Proxy) add(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns = append(p.conns, c)
	return true
}

func (p *Proxy) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
}

// intN returns a random number from 0 to n-1.
func (p *Proxy) intN(n int) int {
	p.random.Lock()
	defer p.random.Unlock()
	return p.random.IntN(n)
}

// wait waits for d, and reports false if ended was closed before.
func wait(d time.Duration, ended <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	}
}
