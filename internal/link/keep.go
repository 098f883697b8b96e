package link

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

const (
	// attachTimeout bounds one attempt to attach.
	attachTimeout = 10 * time.Second
	// mostDenied is how many attaches in a row may be denied: one may have been overtaken by an earlier one that was late.
	mostDenied = 3
)

// Connect returns a connection to the Env of the session, and what closes it when the stream on it is over.
type Connect func() (cc grpc.ClientConnInterface, closeConn func(), err *endpoint.Error)

// Keep gives a session that this side has dialled another stream whenever it has lost one, until it ends; then it waits like Wait.
// closeFirst closes the connection of the first stream.
func (l *Link) Keep(closeFirst func(), connect Connect) {
	closeConn := closeFirst
	defer func() { closeConn() }()
	for {
		select {
		case <-l.over:
			l.Wait()
			return
		case <-l.detached:
		}
		closeConn()
		closeConn = l.reattach(connect)
	}
}

// reattach tries to attach until it succeeds or the session ends. It returns what closes the connection.
func (l *Link) reattach(connect Connect) (closeConn func()) {
	backoff := NewBackoff()
	denied := 0
	for {
		cc, closeConn, err := connect()
		if err == nil {
			var refusal *parleyv1.Refusal
			if refusal, err = l.tryAttach(cc); err == nil {
				return closeConn
			}
			switch refusal.GetReason() {
			case parleyv1.Refusal_REASON_DENIED:
				denied++
			case parleyv1.Refusal_REASON_EXPIRED, parleyv1.Refusal_REASON_UNKNOWN, parleyv1.Refusal_REASON_REVISION:
				denied = mostDenied
			default:
				denied = 0 // a wrong Env is that of another replica behind one address: the next attempt may find the right one
			}
		}
		closeConn()
		if denied == mostDenied {
			l.finish(ended("the peer has refused to go on with the session: "+err.Text, err), nil, false)
		}
		if backoff.Pause(l.life, nil) != nil {
			return func() {}
		}
	}
}

func (l *Link) tryAttach(cc grpc.ClientConnInterface) (*parleyv1.Refusal, *endpoint.Error) {
	ctx, cancel := context.WithTimeout(l.life, attachTimeout)
	defer cancel()
	return l.attach(ctx, cc)
}
