package link

import (
	"errors"
	"io"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/internal/wire"
)

// wakeWriter has written what the session has to say, if it has anything and nobody is writing. The caller holds mu.
func (l *Link) wakeWriter() {
	c := l.carrier
	if c == nil || c.sending || !l.session.HasFrame() && !l.done() {
		return
	}
	c.sending = true
	if !c.tellWriter(true) {
		l.goes(c.write)
	}
}

// write writes what the session has to say until that is all, or until the stream carries it no more. It has the right to write, and keeps it
// where nothing can be written on the stream any more.
func (c *Carrier) write() {
	l := c.link
	var wake chan bool // made when it is needed first
	for {
		l.mu.Lock()
		l.gather()
		if l.carrier != c {
			l.mu.Unlock()
			return
		}
		now := time.Now()
		frame := l.session.NextFrame(now)
		if frame == nil {
			if l.done() {
				l.flush()
				l.mu.Unlock()
				c.writeEnded()
				return
			}
			busy := c.rest(now)
			if busy {
				if wake == nil {
					wake = make(chan bool, 1)
				}
				c.resting = wake
			}
			l.mu.Unlock()
			if !busy || !<-wake {
				return
			}
			continue
		}
		l.changed() // the timer may have to watch for its acknowledgement
		l.mu.Unlock()
		err := c.stream.SendMsg(wire.NewFrame(frame.Bytes)) // a new one each time: gRPC's tracing looks at old ones
		frame.Release()                                     // gRPC has copied it
		if err != nil {
			c.writeFailed(err)
			return
		}
	}
}

const (
	// linger is for how long a writer without work waits for more. A start costs a microsecond or two, so it hardly matters that a session that
	// writes less often needs one each time.
	linger = 50 * time.Millisecond
	// fewRests is how often in a row, each within linger, there may be nothing more to write before a session counts as busy. One that is idle but for
	// the heartbeats of both sides writes a ping and a pong.
	fewRests = 2
)

// rest gives up the right to write, because there is nothing to be written. It reports whether the session is busy, so that the writer is to wait
// for more, until somebody tells it what becomes of it. The caller holds the link's mu.
func (c *Carrier) rest(now time.Time) (busy bool) {
	if now.Sub(c.rested) < linger {
		c.rests++
	} else {
		c.rests = 0
	}
	c.sending, c.rested = false, now
	if c.rests < fewRests {
		return false
	}
	c.link.watch(now.Add(linger))
	return true
}

// tellWriter tells a writer that waits whether it is to go on, with the right to write, or to end. It reports false if none waits. The caller holds
// the link's mu.
func (c *Carrier) tellWriter(goOn bool) bool {
	if c.resting == nil {
		return false
	}
	c.resting <- goOn // it has room: who waits is told once
	c.resting = nil
	return true
}

// dismiss ends a writer that has waited for long, and has the others looked after. The caller holds the link's mu.
func (c *Carrier) dismiss(now time.Time) {
	if c.resting == nil {
		return
	}
	if end := c.rested.Add(linger); now.Before(end) {
		c.link.watch(end)
		return
	}
	c.tellWriter(false)
}

// mostGathering is for how long a batch may be kept open while more comes to it.
const mostGathering = 100 * time.Microsecond

// gather lets those who are ready to post do so, as long as that makes more of the batch. SendMsg only enqueues, so nothing would ever come
// together in a batch while one is being sent; a lone ask loses nothing by one yield. The caller holds mu, which is given up meanwhile.
func (l *Link) gather() {
	var began time.Time
	for !l.session.HasBatch() {
		before := l.session.Queued()
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
		switch {
		case l.session.Queued() <= before:
			return
		case began.IsZero():
			began = time.Now()
		case time.Since(began) > mostGathering:
			return
		}
	}
}

// writeFailed is told why a frame could not be written. Where the stream has ended, the reader learns the real reason, if it still reads;
// everything else, such as an interceptor's objection, nobody else hears of.
func (c *Carrier) writeFailed(err error) {
	l := c.link
	l.mu.Lock()
	halfway := l.halfway
	l.mu.Unlock()
	if !halfway && (errors.Is(err, io.EOF) || c.stream.Context().Err() != nil) {
		return
	}
	text := "the stream broke: " + err.Error()
	if code := status.Code(err); code == codes.Internal || code == codes.ResourceExhausted {
		c.refused(ended(text, err), status.Error(codes.Unavailable, text))
	} else {
		c.lost(ended(text, err), status.Error(codes.Unavailable, text))
	}
}

// done reports whether everything is written, and taken over where the session outlives its streams, and nothing more is to
// come. The caller holds mu.
func (l *Link) done() bool {
	if l.leaving != nil {
		return true
	}
	kept, _ := l.session.Unacknowledged()
	return l.closing && kept == 0 || l.halfway && l.session.OpenAsks() == 0
}

// flush says that everything has been written. The caller holds mu.
func (l *Link) flush() {
	if !l.allOut && l.flushed != nil {
		close(l.flushed)
	}
	l.allOut = true
}

// writeEnded ends the stream after the last frame.
func (c *Carrier) writeEnded() {
	if s, ok := c.stream.(grpc.ClientStream); ok {
		// The listener ends the stream when it has read all; then the reader ends the session.
		if err := s.CloseSend(); err == nil {
			return
		}
	}
	l := c.link
	l.mu.Lock()
	e := l.leaving
	l.mu.Unlock()
	if e == nil {
		e = ended("closed", nil)
	}
	l.finish(e, nil, false)
}
