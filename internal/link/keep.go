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

// Keep gives a session that this side has dialled another stream whenever it has lost one, and before it loses one with its connection
// where that can be foreseen, until it ends; then it waits like Wait. first is the connection of the first stream.
func (l *Link) Keep(first Conn, connect Connect) {
	conn, backoff, before := first, NewBackoff(), uint64(0)
	var others replicas
	for l.awaitNeed(conn) {
		life := l.lifetime()
		if now := l.progress(); now != before {
			backoff, before = NewBackoff(), now
		} else if backoff.Pause(life, nil) != nil { // whatever ends streams as soon as they begin is not to be hurried
			break
		}
		conn = l.reattach(life, conn, connect, backoff, &others)
	}
	conn.Close()
	l.Wait()
}

// awaitNeed waits until the session needs another stream than that on conn, and reports false if it ends.
func (l *Link) awaitNeed(conn Conn) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.mu.Lock()
	l.need = cancel
	if l.needs || !l.Live() {
		cancel()
	}
	l.mu.Unlock()
	if !leavesReady(ctx, conn.ClientConnInterface) {
		<-ctx.Done()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.need, l.needs = nil, false
	return l.Live()
}

// needStream tells Keep that the session needs another stream, because it has lost its own, or is going to. The caller holds mu.
func (l *Link) needStream() {
	l.needs = true
	if l.need != nil {
		l.need()
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

// reattach tries to attach until it succeeds or the session, and with it life, ends. It returns the new connection, and closes the old one: after the attach
// if the stream on it still works, since it carries the session until then.
func (l *Link) reattach(life context.Context, old Conn, connect Connect, backoff *Backoff, others *replicas) Conn {
	defer old.Close()
	denied := 0
	at := "" // the peer's own address
	for {
		conn, err := connect(at)
		var refusal *parleyv1.Refusal
		if err == nil {
			if refusal, err = l.tryAttach(life, conn); err == nil {
				others.found()
				return conn
			}
			conn.Close()
		}
		wait := func() bool { return backoff.Pause(life, nil) == nil }
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
			if !l.Attached() && others.gone(conn.Address, l.addresses(), refusal.GetEnvId()) {
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
			return Conn{Close: func() {}}
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
