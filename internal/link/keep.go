package link

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

const (
	// attachTimeout bounds one attempt to attach.
	attachTimeout = 10 * time.Second
	// mostDenied is how many attaches in a row may be denied: one may have been overtaken by an earlier one that was late.
	mostDenied = 3
)

// Conn is a connection to the Env of a session, and what closes it when the stream on it is over.
type Conn struct {
	grpc.ClientConnInterface
	// Address is what was dialled, HOST:PORT.
	Address string
	Close   func()
}

// Connect makes a Conn to an address, or to that which the session was dialled at if it is empty.
type Connect func(address string) (Conn, *endpoint.Error)

// keeper gives a session that this side has dialled its streams. One goroutine of the link at a time does that.
type keeper struct {
	link     *Link
	conn     Conn // of the stream that the session has, or had last
	connect  Connect
	backoff  *Backoff
	progress uint64 // of the session, when it needed a stream last
	others   replicas
}

// Keep gives a session that this side has dialled another stream whenever it has lost one, and before it loses one with its connection
// where that can be foreseen, until it ends; then it closes the connection. first is that of the first stream. It does not wait for any of that.
func (l *Link) Keep(first Conn, connect Connect) {
	k := &keeper{link: l, conn: first, connect: connect, backoff: NewBackoff()}
	if !l.keepFrom(k.await) {
		first.Close()
	}
}

// keepFrom runs f on a goroutine of the link, unless the session has ended.
func (l *Link) keepFrom(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.Live() {
		return false
	}
	l.goes(f)
	return true
}

// await waits until the session needs another stream than it has, or ends. What comes then has a goroutine of its own, because all that a
// session at rest has of its keeper is this one, whose stack should stay small.
func (k *keeper) await() {
	l := k.link
	needed := make(chan struct{})
	l.mu.Lock()
	l.need = needed
	if l.needs || !l.Live() {
		l.tellKeeper()
	}
	l.mu.Unlock()
	if !leavesReady(until{context.Background(), needed}, k.conn.ClientConnInterface) {
		<-needed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.need, l.needs = nil, false
	l.goes(k.renew)
}

// renew gives the session another stream, unless it ends.
func (k *keeper) renew() {
	l := k.link
	if l.Live() && k.reattach() && l.keepFrom(k.await) {
		return
	}
	k.conn.Close()
}

// needStream tells the keeper that the session needs another stream, because it has lost its own, or is going to. The caller holds mu.
func (l *Link) needStream() {
	l.needs = true
	l.tellKeeper()
}

// tellKeeper has the keeper go on, if it waits. The caller holds mu.
func (l *Link) tellKeeper() {
	if l.need != nil {
		close(l.need)
		l.need = nil
	}
}

// until is a context that ends when a channel is closed. One of package context takes 70 bytes more, of each session at rest.
type until struct {
	context.Context
	over <-chan struct{}
}

// Done implements context.Context.
func (u until) Done() <-chan struct{} { return u.over }

// Err implements context.Context.
func (u until) Err() error {
	select {
	case <-u.over:
		return context.Canceled
	default:
		return nil
	}
}

// lifetime returns a context that ends with the session.
func (l *Link) lifetime() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life == nil {
		l.life, l.endLife = context.WithCancel(context.Background())
		if !l.Live() {
			l.endLife()
		}
	}
	return l.life
}

// leavesReady waits until the connection takes no new streams: the listener has announced its end (GOAWAY), while streams that it
// has go on for a while. It reports false if ctx ends before, or if the connection does not tell.
func leavesReady(ctx context.Context, cc grpc.ClientConnInterface) bool {
	c, ok := cc.(*grpc.ClientConn)
	if !ok {
		return false
	}
	if c.GetState() == connectivity.Ready && !c.WaitForStateChange(ctx, connectivity.Ready) {
		return false
	}
	return ctx.Err() == nil
}

// reattach tries to attach until it succeeds, or reports false because the session, and with it its lifetime, ends. It closes the old connection after
// the attach, since a stream on it that still works carries the session until then.
func (k *keeper) reattach() bool {
	l := k.link
	life := l.lifetime()
	if now := l.progress(); now != k.progress {
		k.backoff, k.progress = NewBackoff(), now
	} else if k.backoff.Pause(life, nil) != nil { // whatever ends streams as soon as they begin is not to be hurried
		return false
	}
	denied := 0
	at := "" // the peer's own address
	for {
		conn, err := k.connect(at)
		var refusal *parleyv1.Refusal
		if err == nil {
			if refusal, err = l.tryAttach(life, conn); err == nil {
				k.others.found()
				k.conn.Close()
				k.conn = conn
				return true
			}
			conn.Close()
		}
		wait := func() bool { return k.backoff.Pause(life, nil) == nil }
		reason := refusal.GetReason()
		if id := refusal.GetEnvId(); id != "" && id != l.peer.EnvID {
			reason = parleyv1.Refusal_REASON_WRONG_ENV // whatever another Env says, it says nothing of this session
		}
		if reason != parleyv1.Refusal_REASON_DENIED {
			denied = 0
		}
		switch reason {
		case parleyv1.Refusal_REASON_WRONG_ENV:
			// A peer whose stream still works is not gone: a load balancer has taken it out already.
			if !l.Attached() && k.others.gone(conn.Address, l.addresses(), refusal.GetEnvId()) {
				l.finish(ended("another Env has the address of the peer, which has ended: "+conn.Address, err), nil, false)
			}
			at = l.otherAddress(conn.Address)
			// The network works, and the next attempt may find the right one.
			wait = func() bool { return pause(life, wrongPause/2+rand.N(wrongPause)) }
		case parleyv1.Refusal_REASON_DENIED:
			if denied++; denied < mostDenied {
				break
			}
			fallthrough
		case parleyv1.Refusal_REASON_EXPIRED, parleyv1.Refusal_REASON_UNKNOWN, parleyv1.Refusal_REASON_REVISION:
			l.finish(ended("the peer has refused to go on with the session: "+err.Text, err), nil, false)
		default:
			at = ""
		}
		if !wait() {
			return false
		}
	}
}

// progress returns a number that is higher if a stream has carried anything since.
func (l *Link) progress() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Progress()
}

func (l *Link) tryAttach(life context.Context, cc grpc.ClientConnInterface) (*parleyv1.Refusal, *endpoint.Error) {
	ctx, cancel := context.WithTimeout(life, attachTimeout)
	defer cancel()
	refusal, err := l.attach(ctx, cc)
	if err == nil {
		return nil, nil
	}
	l.mu.Lock()
	broken := l.overtaken
	l.overtaken = nil
	tell := broken != nil && l.Live()
	if tell {
		l.telling.Add(1)
	}
	l.mu.Unlock()
	if tell {
		l.tellBroken(broken)
	}
	return refusal, err
}
