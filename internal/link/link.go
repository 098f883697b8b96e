package link

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/idtable"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Handler gets what a link receives. Its methods are called by the link's goroutines and must not block.
type Handler interface {
	// Begun says that the session has begun, once, before anything else of it.
	Begun(l *Link)
	// Deliver hands over asks, sends, lookups and the headers that open streaming calls, whose streams get their owner by that, in order. The
	// slice is only valid during the call, and so are the payloads of the events, unless frame is retained, which they are a part of.
	Deliver(l *Link, frame *wire.Buffer, events []session.Event)
	// Broken says that the session has lost its stream, for that reason, and waits for another one.
	Broken(l *Link, reason *endpoint.Error)
	// Unacknowledged says which sends the peer had not acknowledged when the session ended, if there are any. It comes before Ended.
	Unacknowledged(l *Link, sends []session.Send, reason *endpoint.Error)
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

// Link is a session and the stream that carries it for now. Its methods may be called concurrently.
type Link struct {
	peer      endpoint.Peer
	dialled   bool
	config    *Config
	handler   Handler
	token     []byte
	principal string // what the carrier of the first stream has authenticated; empty for nothing
	dialledAt string // the address; of the dialling side
	opened    time.Time

	mu        sync.Mutex // guards the next group; never held during I/O or a callback, but for that of Begin
	running   idtable.Table[Running]
	session   *session.Session
	carrier   *Carrier        // nil while there is none
	toRead    func()          // what the reader reads after the stream that it reads; nil for nothing
	epoch     uint64          // of the last stream
	attachAt  []string        // where the peer says that it can be attached to; of the dialling side
	rotations uint64          // how often a stream took over from one that still worked
	poison    uint64          // the first frame that was unacknowledged when the last stream ended because of a frame; 0 if it did not
	attaching bool            // the keeper is opening another stream
	closing   bool            // nothing is accepted; the writer ends the stream when all is written
	halfway   bool            // the dialler has half-closed: end when all is answered
	reading   bool            // there is a reader
	allOut    bool            // the writer has written all, after Close
	leaving   *endpoint.Error // the peer has said bye: why; the writer ends the session when all is written
	timer     *time.Timer
	timerAt   time.Time       // when timer fires; zero if it does not run
	overtaken *endpoint.Error // the last one has ended meanwhile, because the listener has taken the new one
	parked    bool            // the table has been told that there is no stream
	evicted   bool            // chosen to end, because too many have no stream: no other one is taken
	begun     bool            // the handler has been told that the session begins, or is being told
	well      bool            // the peer has taken all that this side has written, by what it did
	cut       bool            // the session has ended before the peer had all; set before over is closed
	crowded   bool            // the table keeps too much since this link has told it how much it keeps
	needs     bool            // the session needs another stream
	need      chan struct{}   // closed to tell the keeper so, or that the session has ended; nil while it does not wait for that
	life      context.Context // ends with the session; nil until the keeper needs it
	endLife   func()          // ends life; nil if that is
	users     int             // goroutines of the link, and the session until its end has been told
	whenGone  func()          // called when there are no users any more; nil for nothing

	place parking // guarded by the table's mu

	heard atomic.Bool               // the peer has sent something since the opening
	other atomic.Pointer[peer.Peer] // who is at the other end of the last carrier's connection

	stalls atomic.Uint64 // how often somebody had to wait in Post, or in SendMessage

	over    chan struct{} // closed when the session has ended
	flushed chan struct{} // closed when the writer has written all, after Close; nil until somebody asks for it; guarded by mu
	ending  sync.Once
	telling sync.WaitGroup // calls of Begun, Broken and dispatch; added to under mu, while the session lives
}

// prepare makes l ready for use by others, before it is in the table.
func (l *Link) prepare() {
	l.opened = time.Now()
	l.users = 1
	l.over = make(chan struct{})
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
}

// start begins to read and write on the session's first stream. first, if not nil, is a frame that was read during the
// opening. It reports false if the session has ended; where that was before it began, the handler is told nothing, and l leaves the table.
func (l *Link) start(c *Carrier, first *wire.Buffer) bool {
	l.mu.Lock()
	if !l.Live() {
		l.mu.Unlock()
		l.config.Table.Remove(l)
		return false
	}
	l.begun = true
	l.telling.Add(1)
	l.mu.Unlock()
	l.tellBegun()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.Live() {
		return false
	}
	l.epoch = 1
	if l.session.Resumable() {
		l.session.Watch(time.Now())
	}
	c.takeOver(first)
	l.changed()
	return true
}

// tellBegun tells the handler that the session begins. The caller has added that to telling. The program's logger may panic there, and its server may recover that:
// nobody would read, write or end the session then.
func (l *Link) tellBegun() {
	told := false
	defer func() {
		l.telling.Done()
		if !told {
			l.finish(ended("there was a panic where it began", nil), nil, false)
		}
	}()
	l.handler.Begun(l)
	told = true
}

// Peer returns the other side.
func (l *Link) Peer() endpoint.Peer { return l.peer }

// Carrier returns who is at the other end of the connection that carries the session, or has carried it last, and what that has
// authenticated. It is not to be changed.
func (l *Link) Carrier() *peer.Peer { return l.other.Load() }

// Over is closed when the session has ended.
func (l *Link) Over() <-chan struct{} { return l.over }

// Flushed is closed when, after Close, everything has been written.
func (l *Link) Flushed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.flushed == nil {
		l.flushed = make(chan struct{})
		if l.allOut {
			close(l.flushed)
		}
	}
	return l.flushed
}

// Live reports whether the session has not ended.
func (l *Link) Live() bool {
	select {
	case <-l.over:
		return false
	default:
		return true
	}
}

// Counters returns the session's counters.
func (l *Link) Counters() session.Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Counters()
}

// Dialled reports whether this side has opened the session.
func (l *Link) Dialled() bool { return l.dialled }

// Rotations returns how often a stream took over from one that still worked.
func (l *Link) Rotations() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rotations
}

// Empty reports whether there is nothing to be written, but for a bye, and nothing that the peer has not acknowledged.
func (l *Link) Empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.emptyLocked()
}

func (l *Link) emptyLocked() bool {
	kept, _ := l.session.Unacknowledged()
	return kept == 0 && l.session.Idle()
}

// Cut reports, when the session is over, whether it has ended before the peer had taken all that was accepted, though the peer has not said bye.
func (l *Link) Cut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// Attached reports whether a stream carries the session at present.
func (l *Link) Attached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carrier != nil
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
	return l.postLater(ctx, p, o.QueueTimeout)
}

// postLater waits for room for p. It is apart from Post, which every caller has on its stack.
func (l *Link) postLater(ctx context.Context, p *session.Posting, queueTimeout time.Duration) *endpoint.Error {
	l.stalled()
	p.Waiter = credit.NewWaiter()
	started := time.Now()
	timeout := time.NewTimer(queueTimeout)
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
	switch {
	case !accepted:
	case !l.parked && (p.Ask == nil || !l.earlier(p.Ask.Expires)):
		l.wakeWriter() // there is no time to be watched, and only what is parked is counted
	default:
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

// Abandon ends the wait of a with err, unless it is over. The phase and the execution of the error are those of the ask.
func (l *Link) Abandon(a *session.Ask, err *endpoint.Error) {
	l.mu.Lock()
	u, pending := l.session.Abandon(a)
	l.changed()
	l.mu.Unlock()
	if pending {
		u.Ask.Done.Complete(endpoint.Response{Err: err.At(u.Phase, u.Execution)})
	}
}

// Begin remembers the handlers of n messages, so that a cancel reaches those of asks. get returns the id, 0 for a send, and
// the handler. It is called under the lock of the link, which it must not use.
func (l *Link) Begin(n int, get func(i int) (id uint64, r Running)) {
	l.mu.Lock()
	for i := range n {
		if id, r := get(i); id != 0 {
			l.running.Put(id, r)
		}
	}
	l.mu.Unlock()
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
	l.mu.Lock()
	l.running.Delete(r.ID)
	l.session.Reply(r)
	if l.parked {
		l.changed()
	} else {
		l.wakeWriter()
	}
	l.mu.Unlock()
}

// Receipt answers a send that wants a receipt; st is nil if the mailbox has taken the message.
func (l *Link) Receipt(id uint64, st *spb.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session.Receipt(id, st)
	l.changed()
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

// tellBroken tells the handler that the stream has broken. The caller has added that to telling.
func (l *Link) tellBroken(e *endpoint.Error) {
	defer l.telling.Done()
	l.handler.Broken(l, e)
}

// changed lets the writer and the timer know of a change. The caller holds mu.
func (l *Link) changed() {
	l.wakeWriter()
	l.keepsMore()
	d := l.session.Deadline()
	if l.crowded {
		d = time.Now()
	}
	l.watch(d)
}

// watch has the timer fire at d, unless it fires earlier; zero is never. The caller holds mu.
func (l *Link) watch(d time.Time) {
	if !l.earlier(d) || !l.Live() {
		return
	}
	l.timerAt = d
	l.timer.Reset(time.Until(d))
}

// earlier reports whether the timer has to fire earlier than it will, because of something at d; zero is never. The caller holds mu.
func (l *Link) earlier(d time.Time) bool {
	return !d.IsZero() && (l.timerAt.IsZero() || d.Before(l.timerAt))
}

// tick is called by the timer.
func (l *Link) tick() {
	l.mu.Lock()
	l.timerAt = time.Time{}
	now := time.Now()
	expired := l.session.Tick(now)
	verdict := l.session.Check(now)
	c := l.carrier
	crowded := l.crowded
	l.crowded = false
	l.changed()
	if c != nil {
		c.dismiss(now)
	}
	l.mu.Unlock()
	if crowded {
		l.config.Table.evict()
	}
	switch {
	case verdict.Expired:
		l.finish(ended("there was no stream for the time-to-live", nil), nil, false)
	case verdict.Dead != "" && c != nil:
		c.lost(ended("the stream is dead: "+verdict.Dead, nil), status.Error(codes.Unavailable, verdict.Dead))
	}
	for _, u := range expired {
		u.Ask.Done.Complete(endpoint.Response{Err: &endpoint.Error{
			Reason: endpoint.ReasonTimeout, Phase: u.Phase, Execution: u.Execution, Setting: "parley.WithAskTimeout",
		}})
	}
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
		if ev.Parts != nil {
			r.Parts = ev.Parts
		}
	}
	return r
}
