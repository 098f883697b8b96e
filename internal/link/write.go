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

// write writes what the session has to say until the stream carries it no more.
func (c *Carrier) write() {
	l := c.link
	for {
		l.mu.Lock()
		l.gather()
		if l.carrier != c {
			l.mu.Unlock()
			return
		}
		frame := l.session.NextFrame(time.Now())
		if frame == nil {
			if l.done() {
				l.flush()
				l.mu.Unlock()
				c.writeEnded()
				return
			}
			c.idle = true
			l.mu.Unlock()
			select {
			case <-c.wake:
			case <-c.over:
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
			<-c.over
			return
		}
	}
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
	select {
	case <-l.flushed:
	default:
		close(l.flushed)
	}
}

// writeEnded ends the stream after the last frame.
func (c *Carrier) writeEnded() {
	if s, ok := c.stream.(grpc.ClientStream); ok {
		// The listener ends the stream when it has read all; then the reader ends the session.
		if err := s.CloseSend(); err == nil {
			<-c.over
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
