package link

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Handler gets what a link receives. Its methods are called by the link's goroutines and must not block.
type Handler interface {
	// Begun says that the session has begun, once, before anything else of it.
	Begun(l *Link)
	// Deliver hands over asks, sends and lookups, in order. The slice is only valid during the call, and so are the payloads
	// of the events, unless frame is retained, which they are a part of.
	Deliver(l *Link, frame *wire.Buffer, events []session.Event)
	// Ended says that the session is over, once, and why. broken tells an end that nobody announced.
	Ended(l *Link, reason *endpoint.Error, broken bool)
}

// Running is a handler that runs for an ask of the peer.
type Running interface {
	// CancelCall says that nobody waits for the reply any more. It must not block.
	CancelCall(cause error)
}

// Stream is a gRPC stream of either side.
type Stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// Link is a session and the stream that carries it. Its methods may be called concurrently.
type Link struct {
	peer    endpoint.Peer
	stream  Stream
	dialled bool
	release func() // ends the stream; of the dialling side
	handler Handler
	token   []byte

	mu      sync.Mutex // guards the next group; never held during I/O or a callback
	session *session.Session
	idle    bool // the writer waits
	closing bool // nothing is accepted; the writer ends the stream when all is written
	halfway bool // the dialler has half-closed: end when all is answered
	timer   *time.Timer
	timerAt time.Time // when timer fires; zero if it does not run

	wake    chan struct{} // tells the writer that there is something to do
	over    chan struct{} // closed when the session has ended
	flushed chan struct{} // closed when the writer has written all, after Close
	end     sync.Once
	err     error // the error of the stream's end; set before over is closed; nil for a good one
	wg      sync.WaitGroup

	running struct {
		sync.Mutex
		calls map[uint64]Running
	}
}

// prepare makes l ready for use by others, before it is in the table.
func (l *Link) prepare() {
	l.wake = make(chan struct{}, 1)
	l.over = make(chan struct{})
	l.flushed = make(chan struct{})
	l.running.calls = make(map[uint64]Running)
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
}

// start begins to read and write. first, if not nil, is a frame that was read during the opening.
func (l *Link) start(first *wire.Buffer) {
	l.handler.Begun(l)
	l.wg.Add(2)
	go func() { defer l.wg.Done(); l.read(first) }()
	go func() { defer l.wg.Done(); l.write() }()
}

// Peer returns the other side.
func (l *Link) Peer() endpoint.Peer { return l.peer }

// Token returns the secret of the session. It must not be logged.
func (l *Link) Token() []byte { return l.token }

// Over is closed when the session has ended.
func (l *Link) Over() <-chan struct{} { return l.over }

// Flushed is closed when, after Close, everything has been written.
func (l *Link) Flushed() <-chan struct{} { return l.flushed }

// Live reports whether the session has not ended.
func (l *Link) Live() bool {
	select {
	case <-l.over:
		return false
	default:
		return true
	}
}

// Wait waits until the session has ended and no goroutine of the link is left.
func (l *Link) Wait() { l.wg.Wait() }

// Counters returns the session's counters.
func (l *Link) Counters() session.Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Counters()
}

// Pending returns how many asks of this side, and of the peer, wait for a reply.
func (l *Link) Pending() (own, peers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Pending(), l.session.OpenAsks()
}

// Wait options of Post.
type PostOptions struct {
	// NoWait fails where the message would have to wait.
	NoWait bool
	// QueueTimeout is how long it may wait.
	QueueTimeout time.Duration
}

// Post hands p to the session. It waits for room until ctx ends or for the queue timeout.
func (l *Link) Post(ctx context.Context, p *session.Posting, o PostOptions) *endpoint.Error {
	accepted, err := l.tryPost(p)
	if accepted || err != nil {
		return err
	}
	if o.NoWait {
		return &endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "no room", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted}
	}
	p.Waiter = credit.NewWaiter()
	started := time.Now()
	timeout := time.NewTimer(o.QueueTimeout)
	defer timeout.Stop()
	for {
		accepted, err := l.tryPost(p)
		if accepted || err != nil {
			return err
		}
		select {
		case <-p.Waiter.Turn:
			continue
		case <-ctx.Done():
			err = endpoint.ContextError(ctx)
			err.Phase, err.Execution = endpoint.PhaseQueued, endpoint.NotExecuted
		case <-timeout.C:
			err = &endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "no room came free", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted, Setting: "parley.WithQueueTimeout"}
		}
		l.mu.Lock()
		l.session.Leave(p)
		l.mu.Unlock()
		err.Elapsed = time.Since(started)
		return err
	}
}

func (l *Link) tryPost(p *session.Posting) (bool, *endpoint.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	accepted, err := l.session.Post(p)
	if accepted {
		l.changed()
	}
	return accepted, err
}

// Lookup asks the peer whether an endpoint exists.
func (l *Link) Lookup(a *session.Ask, envID, name, service string) *endpoint.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.session.Lookup(a, envID, name, service)
	l.changed()
	return err
}

// Abandon ends the wait of a with err, unless it is over.
func (l *Link) Abandon(a *session.Ask, err *endpoint.Error) {
	l.mu.Lock()
	was := l.session.Abandon(a)
	l.changed()
	l.mu.Unlock()
	if was {
		a.Done.Complete(endpoint.Response{Err: err})
	}
}

// Begin remembers the handlers of n messages, so that a cancel reaches those of asks. get returns the id, 0 for a send, and
// the handler.
func (l *Link) Begin(n int, get func(i int) (id uint64, r Running)) {
	l.running.Lock()
	for i := range n {
		if id, r := get(i); id != 0 {
			l.running.calls[id] = r
		}
	}
	l.running.Unlock()
	if l.Live() {
		return
	}
	for i := range n { // finish may have looked before
		if id, r := get(i); id != 0 {
			r.CancelCall(nil)
		}
	}
}

// Reply answers an ask or lookup.
func (l *Link) Reply(r *session.Reply) {
	l.running.Lock()
	delete(l.running.calls, r.ID)
	l.running.Unlock()
	l.mu.Lock()
	l.session.Reply(r)
	l.changed()
	l.mu.Unlock()
}

// Take returns the credit of a message, because a handler takes it or it is refused.
func (l *Link) Take(a *session.Account, c session.Cost) {
	due := l.session.Take(a, c)
	if !due && !l.session.Withheld(a) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if due {
		l.session.StateCredit(a)
	} else {
		l.session.StateCreditLater(time.Now(), a)
	}
	l.changed()
}

// changed lets the writer and the timer know of a change. The caller holds mu.
func (l *Link) changed() {
	if l.idle && (l.session.HasFrame() || l.done()) {
		l.idle = false
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	d := l.session.Deadline()
	if d.IsZero() || !l.timerAt.IsZero() && !d.Before(l.timerAt) {
		return
	}
	if !l.Live() {
		return
	}
	l.timerAt = d
	l.timer.Reset(time.Until(d))
}

// tick is called by the timer.
func (l *Link) tick() {
	l.mu.Lock()
	l.timerAt = time.Time{}
	expired := l.session.Tick(time.Now())
	l.changed()
	l.mu.Unlock()
	for _, a := range expired {
		a.Done.Complete(endpoint.Response{Err: &endpoint.Error{
			Reason: endpoint.ReasonTimeout, Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted, Setting: "parley.WithAskTimeout",
		}})
	}
}

// Close ends the session in good order, for the reason e: what is queued is written, then a bye, then the stream ends.
// Pending asks fail at once.
func (l *Link) Close(e *endpoint.Error) {
	l.mu.Lock()
	l.session.Bye(e)
	l.closing = true
	l.changed()
	l.mu.Unlock()
}

// Kill ends the session at once, for the reason e.
func (l *Link) Kill(e *endpoint.Error) { l.finish(e, nil, true) }

// finish ends the session, once.
func (l *Link) finish(e *endpoint.Error, streamErr error, broken bool) {
	l.end.Do(func() {
		if l.isClosing() {
			// The peer may end the stream as soon as it has the bye, before this side is back from writing it.
			streamErr, broken = nil, false
		}
		l.endSession(e, streamErr)
		l.running.Lock()
		calls := l.running.calls
		l.running.calls = make(map[uint64]Running)
		l.running.Unlock()
		for _, r := range calls {
			r.CancelCall(e)
		}
		if l.release != nil {
			l.release()
		}
		l.handler.Ended(l, e, broken)
	})
}

func (l *Link) isClosing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing
}

// discard ends a session that was in the table, but has not begun.
func (l *Link) discard(e *endpoint.Error) {
	l.end.Do(func() { l.endSession(e, nil) })
}

// endSession ends the session and completes what is pending in it.
func (l *Link) endSession(e *endpoint.Error, streamErr error) {
	l.mu.Lock()
	asks, errs := l.session.End(e)
	l.err = streamErr
	close(l.over)
	l.timer.Stop()
	l.mu.Unlock()
	for i, a := range asks {
		a.Done.Complete(endpoint.Response{Err: errs[i]})
	}
}

// Err returns the status with which the listening side ends the stream: nil for a good end.
func (l *Link) Err() error {
	<-l.over
	return l.err
}

// response turns a reply of the peer into what the asker gets.
func response(ev *session.Event) endpoint.Response {
	r := endpoint.Response{Header: wire.MD(ev.Metadata), Trailer: wire.MD(ev.Trailer)}
	switch {
	case ev.Refused != nil:
		r.Err = ev.Refused
	case ev.Status.GetCode() != 0:
		r.Err = endpoint.ErrorFromStatus(ev.Status)
	default:
		r.Payload, r.JSON = ev.Payload, ev.Encoding == wire.JSON
	}
	return r
}

// Broken says that the stream has broken.
func (l *Link) Broken(err error) {
	l.finish(ended("the stream broke", err), status.Error(codes.Unavailable, "the stream broke"), true)
}
