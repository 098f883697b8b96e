package link

import (
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/internal/wire"
)

// write writes what the session has to say until the session ends.
func (l *Link) write() {
	var f wire.Frame
	for {
		l.mu.Lock()
		if !l.session.HasBatch() {
			// SendMsg only enqueues, so nothing would ever come together in a batch while one is being sent. To yield once
			// lets those who are ready to send do so; a lone ask loses nothing by it.
			l.mu.Unlock()
			runtime.Gosched()
			l.mu.Lock()
		}
		frame := l.session.NextFrame(time.Now())
		if frame == nil {
			if l.done() {
				l.mu.Unlock()
				l.ended()
				return
			}
			l.idle = true
			l.mu.Unlock()
			select {
			case <-l.wake:
			case <-l.over:
				return
			}
			continue
		}
		l.mu.Unlock()
		f.SetBytes(frame.Bytes)
		err := l.stream.SendMsg(&f)
		frame.Release() // gRPC has copied it
		if err != nil {
			// The reader learns the real reason; but where it has ended already, after a half-close, nobody else does.
			l.mu.Lock()
			halfway := l.halfway
			l.mu.Unlock()
			if halfway {
				l.finish(ended("the stream broke: "+err.Error(), err), status.Error(codes.Unavailable, "the stream broke"), true)
			}
			<-l.over
			return
		}
	}
}

// done reports whether everything is written and nothing more is to come. The caller holds mu.
func (l *Link) done() bool {
	return l.closing || l.halfway && l.session.OpenAsks() == 0
}

// ended ends the stream after the last frame.
func (l *Link) ended() {
	close(l.flushed)
	if s, ok := l.stream.(grpc.ClientStream); ok {
		// The listener ends the stream when it has read all; then the reader ends the session.
		if err := s.CloseSend(); err == nil {
			<-l.over
			return
		}
	}
	l.finish(ended("closed", nil), nil, false)
}
