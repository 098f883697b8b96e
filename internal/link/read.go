package link

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// read takes frames over until the stream ends. It never waits for anything but the network.
func (l *Link) read(first *wire.Buffer) {
	if first != nil && !l.receive(first, l.session.ReceiveFirst) {
		return
	}
	var f wire.Frame
	for {
		if err := l.stream.RecvMsg(&f); err != nil {
			l.readEnded(err)
			return
		}
		if !l.receive(f.Take(), l.session.Receive) {
			return
		}
	}
}

// receive takes one frame over, by the session's method take. It reports false if the session has ended.
func (l *Link) receive(frame *wire.Buffer, take func(time.Time, []byte) ([]session.Event, *session.Violation)) bool {
	l.mu.Lock()
	events, violation := take(time.Now(), frame.Bytes)
	l.changed()
	l.mu.Unlock()
	if l.dispatch(frame, events) {
		frame.Release()
	}
	if violation != nil {
		e := &endpoint.Error{Reason: endpoint.ReasonSessionEnded, Text: violation.Error(), Peer: l.peer.String(), Cause: violation}
		l.finish(e, status.Error(violation.Code, violation.Error()), true)
	}
	return l.Live()
}

// dispatch acts on what a frame means, in order. It reports whether nobody uses the frame any more who has not retained it: those
// who wait for a reply may keep it.
func (l *Link) dispatch(frame *wire.Buffer, events []session.Event) (unused bool) {
	unused = true
	run := 0 // the first event that has not been handed on
	flush := func(end int) {
		if run < end {
			l.handler.Deliver(l, frame, events[run:end])
		}
		run = end + 1
	}
	for i := range events {
		ev := &events[i]
		switch ev.Kind {
		case wire.KindReply:
			flush(i)
			unused = false
			ev.Ask.Done.Complete(response(ev))
		case wire.KindCancel:
			flush(i)
			l.cancel(ev.ID)
		case wire.KindBye:
			flush(i)
			e := endpoint.ErrorFromStatus(ev.Status)
			if e.Reason == endpoint.ReasonHandler {
				e.Reason = endpoint.ReasonSessionEnded
			}
			l.finish(e, nil, false)
		}
	}
	flush(len(events))
	return unused
}

func (l *Link) cancel(id uint64) {
	l.running.Lock()
	r := l.running.calls[id]
	l.running.Unlock()
	if r != nil {
		r.CancelCall(nil)
		return
	}
	l.mu.Lock()
	l.session.CountLateCancel()
	l.mu.Unlock()
}

// readEnded is told how the stream ended.
func (l *Link) readEnded(err error) {
	if errors.Is(err, io.EOF) {
		if !l.dialled {
			// The dialler sends no more; it gets its answers first.
			l.mu.Lock()
			l.session.HalfClosed()
			l.halfway = true
			l.idle = true
			l.changed()
			l.mu.Unlock()
			return
		}
		l.finish(ended("the peer ended the stream", nil), nil, false)
		return
	}
	st := status.Convert(err)
	text := "the stream broke: " + st.Message()
	if st.Code() == codes.Canceled && l.stream.Context().Err() != nil {
		text = "the stream was cancelled"
	}
	l.finish(ended(text, err), status.Error(codes.Unavailable, text), true)
}

func ended(text string, cause error) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonSessionEnded, Text: text, Cause: cause}
}
