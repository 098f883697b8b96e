package link

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
	"github.com/parley-rpc/parley/internal/yield"
)

// Carrier is one stream that carries a session for now. A session that does not outlive its streams has only one.
type Carrier struct {
	link    *Link
	stream  Stream
	release func() // ends the stream; of the dialling side, nil on the other
	first   bool   // the session began with this stream

	over  chan struct{} // closed when the stream carries the session no more
	err   error         // what the listening side ends the stream with; set before over is closed
	aging *time.Timer   // runs drain; nil if the stream does not age; guarded by the link's mu

	yielder yield.Yielder // the reader's

	// Of writing; guarded by the link's mu.
	sending bool        // somebody has the right to write: to take frames from the session and to send them, without mu
	resting chan<- bool // tells the writer that waits for more whether there is; nil if none waits
	rested  time.Time   // when a writer last had nothing to write
	rests   uint        // how often in a row that was soon after the time before
}

func newCarrier(l *Link, stream Stream, release func()) *Carrier {
	return &Carrier{link: l, stream: stream, release: release, over: make(chan struct{})}
}

// Link returns the link of the session.
func (c *Carrier) Link() *Link { return c.link }

// First reports whether the session began with this stream.
func (c *Carrier) First() bool { return c.first }

// Over is closed when the stream does not carry the session any more. On the listening side it is then to be ended with Err.
func (c *Carrier) Over() <-chan struct{} { return c.over }

// Err waits for the end, and returns the status with which the listening side ends the stream: nil for a good end.
func (c *Carrier) Err() error {
	<-c.over
	return c.err
}

// Broken says that the stream has broken.
func (c *Carrier) Broken(err error) {
	c.lost(ended("the stream broke", err), status.Error(codes.Unavailable, "the stream broke"))
}

// takeOver makes c what carries the session, with first, if not nil, a frame that was read during the opening. The caller holds the link's
// mu, and calls changed after it; the session lives, and nothing carries it.
func (c *Carrier) takeOver(first *wire.Buffer) {
	l := c.link
	c.first = l.other.Load() == nil
	l.carrier = c
	l.other.Store(otherEnd(c.stream.Context()))
	l.unpark()
	if age := l.config.StreamAge; age > 0 && !l.dialled && l.session.Resumable() {
		c.aging = time.AfterFunc(time.Duration(float64(age)*(0.9+0.2*rand.Float64())), c.drain)
	}
	l.read(func() { c.readFrames(first) })
}

// nowhere is the address of who is not known, as in a program that carries streams by other means than grpc-go.
type nowhere struct{}

func (nowhere) Network() string { return "unknown" }
func (nowhere) String() string  { return "unknown" }

// otherEnd returns who is at the other end of a stream. Its address is never nil.
func otherEnd(stream context.Context) *peer.Peer {
	p, ok := peer.FromContext(stream)
	if !ok || p.Addr == nil {
		return &peer.Peer{Addr: nowhere{}}
	}
	return p
}

// retire ends the use of c, which carries the session. The caller holds the link's mu, and calls end after it.
func (c *Carrier) retire(err error) {
	c.link.carrier = nil
	c.err = err
	close(c.over)
	c.tellWriter(false)
	if c.aging != nil {
		c.aging.Stop()
	}
}

// drainGrace is how long a dialler may take to move a session, before its old stream is ended.
const drainGrace = 5 * time.Second

// drain announces the end of the stream, and ends it if the dialler does not move the session.
func (c *Carrier) drain() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.carrier != c {
		return
	}
	l.session.Drain(drainGrace)
	c.aging = time.AfterFunc(drainGrace, func() {
		c.lost(ended("the stream has come of age", nil), status.Error(codes.Unavailable, "parley: the stream has come of age"))
	})
	l.changed()
}

// end ends the stream, on the dialling side; on the other the gRPC handler does that, which waits for Over.
func (c *Carrier) end() {
	if c.release != nil {
		c.release()
	}
}

// lost is told that the stream is of no more use, for the reason e; streamErr is what the listening side ends it with. The session
// waits for another one, if it can.
func (c *Carrier) lost(e *endpoint.Error, streamErr error) { c.lose(e, streamErr, false) }

// refused is lost where the first frame that is not acknowledged may be the reason. If that is so of two streams in a row, the session ends,
// so that poison is not written again for ever (A39).
func (c *Carrier) refused(e *endpoint.Error, streamErr error) { c.lose(e, streamErr, true) }

func (c *Carrier) lose(e *endpoint.Error, streamErr error, suspect bool) {
	l := c.link
	l.mu.Lock()
	if l.carrier != c {
		l.mu.Unlock()
		return
	}
	last := l.poison
	l.poison = 0
	if suspect {
		l.poison = l.session.FirstUnacknowledged()
	}
	poisoned := l.poison != 0 && l.poison == last
	if poisoned || !l.session.Resumable() || l.leaving != nil || l.closedWell(e) {
		l.mu.Unlock()
		l.finish(e, streamErr, true)
		return
	}
	c.retire(streamErr)
	l.session.Detach(time.Now())
	over := l.park()
	l.changed()
	l.needStream()
	// The listener ends the old stream when it has taken the new one, which may be known here before that is.
	moving := l.attaching && status.Code(e.Cause) == codes.Aborted
	if moving {
		l.overtaken = e
	} else {
		l.telling.Add(1)
	}
	l.mu.Unlock()
	c.end()
	if !moving {
		l.tellBroken(e)
	}
	if over {
		l.config.Table.evict()
	}
}

// read has f read a stream until that ends. Frames are handed on in the order of the session, so whoever still reads the stream before, which
// has ended, goes on with this one. The caller holds mu; the session lives.
func (l *Link) read(f func()) {
	if before := l.toRead; before != nil {
		l.toRead = func() { before(); f() }
	} else {
		l.toRead = f
	}
	if !l.reading {
		l.reading = true
		l.goes(l.readAll)
	}
}

// readAll reads one stream after the other, until there is none.
func (l *Link) readAll() {
	for {
		f := l.nextToRead()
		if f == nil {
			return
		}
		f()
	}
}

// nextToRead returns what reads the next stream, or the next ones; nil if there is none, and so no reader any more.
func (l *Link) nextToRead() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.toRead
	l.toRead, l.reading = nil, f != nil
	return f
}
