package link

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// readFrames takes frames over until the stream ends. It waits for nothing but the network, and for its processor when it has yielded it.
func (c *Carrier) readFrames(first *wire.Buffer) {
	if first != nil && !c.receive(first, c.link.session.ReceiveFirst) {
		return
	}
	for {
		var f wire.Frame // a new one each time: gRPC's tracing looks at old ones
		if err := c.stream.RecvMsg(&f); err != nil {
			c.readEnded(err)
			return
		}
		c.link.heard.Store(true)
		if !c.receive(f.Take(), c.link.session.Receive) {
			return
		}
	}
}

// intakes keeps those that nobody uses. It is no state that anybody can observe.
var intakes = sync.Pool{New: func() any { return new(session.Intake) }}

// receive takes one frame over, by the session's method take. It reports false if the stream carries the session no more.
func (c *Carrier) receive(frame *wire.Buffer, take func(*session.Intake, time.Time, []byte) ([]session.Event, *session.Violation)) bool {
	l := c.link
	room := intakes.Get().(*session.Intake)
	l.mu.Lock()
	if l.carrier != c { // what was read on a stream that is over comes again on the next one
		l.session.CountLateFrame()
		l.mu.Unlock()
		intakes.Put(room)
		return false
	}
	l.telling.Add(1) // what is taken over is handed on before the end is told
	events, violation := take(room, time.Now(), frame.Bytes)
	if l.session.TakeDrain() {
		l.needStream()
	}
	l.changed()
	l.mu.Unlock()
	unused, bye := l.dispatch(frame, events)
	l.telling.Done()
	if bye != nil {
		l.leave(bye)
	}
	if unused {
		frame.Release()
	}
	many := len(events) >= manyEvents
	room.Reset()
	intakes.Put(room)
	if violation != nil {
		e := &endpoint.Error{Reason: endpoint.ReasonSessionEnded, Text: violation.Error(), Peer: l.peer.String(), Cause: violation}
		streamErr := status.Error(violation.Code, violation.Error())
		if violation.Stream {
			c.lost(e, streamErr)
		} else {
			l.finish(e, streamErr, true)
		}
	}
	if many {
		c.yielder.Yield()
	}
	return c.carries()
}

// manyEvents is from how many events of one frame on the reader lets those begin whom it has given them to, before it reads what comes next. After fewer it
// costs more than it gains.
const manyEvents = 80

// carries reports whether the stream carries the session.
func (c *Carrier) carries() bool {
	select {
	case <-c.over:
		return false
	default:
		return true
	}
}

// dispatch acts on what a frame means, in order. It reports whether nobody uses the frame any more who has not retained it: futures
// may keep it; and why the peer has said bye.
func (l *Link) dispatch(frame *wire.Buffer, events []session.Event) (unused bool, bye *endpoint.Error) {
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
		case wire.KindReply, wire.KindReceipt, wire.KindEnd:
			flush(i)
			r := response(ev)
			switch {
			case r.Payload == nil:
			case ev.Memory != nil && ev.Ask.Shares:
				r.Shared = ev.Memory
			case ev.Memory != nil: // it is who has asked whose it is
			case ev.Ask.Shares:
				frame.Retain(1)
				r.Shared = frame
			case isPart(r.Payload, frame):
				r.Payload = copyReply(ev.Ask, r.Payload)
			default:
				unused = false
			}
			ev.Ask.Done.Complete(r)
		case wire.KindCancel:
			flush(i)
			l.cancel(ev.ID)
		case wire.KindHeaders, wire.KindMessage, wire.KindHalfClose:
			if ev.To == nil { // it does not open a call
				flush(i)
				l.stream(ev, frame)
			}
		case wire.KindBye:
			flush(i)
			bye = endpoint.ErrorFromStatus(ev.Status)
			if bye.Reason == endpoint.ReasonHandler {
				bye.Reason = endpoint.ReasonSessionEnded
			}
		}
	}
	flush(len(events))
	return unused, bye
}

// isPart reports whether a payload is a small part of its frame, which it would keep alive as a whole until somebody looks at it.
func isPart(payload []byte, frame *wire.Buffer) bool {
	const part = 4
	return len(payload)*part < len(frame.Bytes)
}

// mostRoom is how much room an ask may keep for replies, as it is used again.
const mostRoom = 1 << 10

// copyReply returns a copy of the reply to a, in the room of a if it is a small one.
func copyReply(a *session.Ask, reply []byte) []byte {
	if len(reply) > mostRoom {
		return bytes.Clone(reply)
	}
	if cap(a.Room) < len(reply) {
		a.Room = make([]byte, 0, len(reply))
	}
	a.Room = append(a.Room[:0], reply...)
	return a.Room
}

func (l *Link) cancel(id uint64) {
	l.mu.Lock()
	r := l.running.Get(id)
	if r == nil {
		l.session.CountLateCancel()
	}
	l.mu.Unlock()
	if r != nil {
		r.CancelCall(nil)
	}
}

// readEnded is told how the stream ended.
func (c *Carrier) readEnded(err error) {
	l := c.link
	if errors.Is(err, io.EOF) {
		if l.dialled {
			c.lost(ended("the peer ended the stream", nil), nil)
			return
		}
		c.halfClosed()
		return
	}
	st := status.Convert(err)
	text := "the stream broke: " + st.Message()
	if st.Code() == codes.Canceled && c.stream.Context().Err() != nil {
		text = "the stream was cancelled"
	}
	if st.Code() == codes.Internal || st.Code() == codes.ResourceExhausted {
		c.refused(ended(text, err), status.Error(codes.Unavailable, text))
	} else {
		c.lost(ended(text, err), status.Error(codes.Unavailable, text))
	}
}

// halfClosed is told that the dialler sends no more: it gets its answers first, unless it is going to attach again.
func (c *Carrier) halfClosed() {
	l := c.link
	l.mu.Lock()
	if l.carrier != c {
		l.mu.Unlock()
		return
	}
	if l.session.Resumable() && !l.closing && l.leaving == nil {
		l.mu.Unlock()
		c.lost(ended("the peer ended the stream", nil), nil)
		return
	}
	why := ended("the peer sends no more", nil)
	if e := l.session.Over(); e != nil {
		why = e
	} else if l.leaving != nil {
		why = l.leaving
	}
	events, asks := l.session.HalfClosed(why)
	l.halfway = true
	l.changed()
	l.mu.Unlock()
	for _, u := range asks {
		u.Ask.Done.Complete(endpoint.Response{Err: why.At(u.Phase, u.Execution)})
	}
	for i := range events {
		l.stream(&events[i], nil)
	}
}

func ended(text string, cause error) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonSessionEnded, Text: text, Cause: cause}
}
