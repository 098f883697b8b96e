package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
)

// peer is one address. Its fields are guarded by the client's mu.
type peer struct {
	client  *Client
	address string
	cc      grpc.ClientConnInterface // the user's, if owned; otherwise made for each attempt
	owned   bool                     // by the user
	link    *link.Link
	attempt *attempt // under way; nil if none is
}

// attempt is one attempt to connect, which all who want the session wait for together.
type attempt struct {
	cancel func()        // ends it; may be called at any time
	done   chan struct{} // closed when link or err is set
	link   *link.Link
	err    *endpoint.Error
}

// live returns the session, or nil if there is none.
func (p *peer) live() *link.Link {
	if p.link == nil || !p.link.Live() {
		return nil
	}
	return p.link
}

// connectLocked begins to connect, unless somebody has; begun says which.
func (p *peer) connectLocked() (a *attempt, begun bool) {
	if p.attempt != nil {
		return p.attempt, false
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), p.client.config.ConnectTimeout, errConnectTimeout)
	p.attempt = &attempt{cancel: cancel, done: make(chan struct{})}
	p.client.config.Go(func() { p.connect(ctx) })
	return p.attempt, true
}

// connect makes one attempt, and has the session kept, if there is one.
func (p *peer) connect(ctx context.Context) {
	c := p.client
	l, conn, err := p.dial(ctx)
	c.mu.Lock()
	a := p.attempt
	p.attempt = nil
	p.link = l
	if err != nil && !p.owned {
		c.peers.Delete(p.address)
	}
	c.mu.Unlock()
	a.cancel()
	a.link, a.err = l, err
	if err != nil {
		conn.Close()
		close(a.done)
		return
	}
	close(a.done)
	l.WhenGone(func() { p.forget(l) })
	c.config.Hold(l)
	l.Keep(conn, p.conn)
}

// forget is called when a session is over.
func (p *peer) forget(l *link.Link) {
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.link == l {
		p.link = nil
		if p.attempt == nil && !p.owned && c.peers.Get(p.address) == p {
			c.peers.Delete(p.address)
		}
	}
}

// conn returns a connection for one stream to address, or to the peer's own if it is empty; that of the user is not closed, and there is no other
// where the user has given one.
func (p *peer) conn(address string) (link.Conn, *endpoint.Error) {
	if p.owned {
		if c, ok := p.cc.(*grpc.ClientConn); ok {
			c.ResetConnectBackoff() // who calls this has waited already
		}
		return link.Conn{ClientConnInterface: p.cc, Address: p.address, Close: func() {}}, nil
	}
	if address == "" {
		address = p.address
	}
	conn, err := grpc.NewClient("dns:///"+address, p.client.config.DialOptions...)
	if err != nil {
		return link.Conn{Close: func() {}}, &endpoint.Error{Reason: endpoint.ReasonUnreachable, Text: err.Error(), Cause: err}
	}
	return link.Conn{ClientConnInterface: conn, Address: address, Close: func() { _ = conn.Close() }}, nil // its only error is that it is closed already
}

var errConnectTimeout = errors.New("the time to connect is over")

// dial opens a session. The second result closes the connection, which is made for this session alone unless it is the
// user's.
func (p *peer) dial(ctx context.Context) (*link.Link, link.Conn, *endpoint.Error) {
	conn, err := p.conn("")
	if err != nil {
		return nil, conn, err
	}
	l, err := link.Dial(ctx, conn, p.client.config.Link)
	switch {
	case err == nil:
	case p.client.over.IsSet():
		err = envStopped()
	case context.Cause(ctx) == errConnectTimeout:
		err = &endpoint.Error{
			Reason: endpoint.ReasonUnreachable, Setting: "parley.WithConnectTimeout",
			Text: fmt.Sprintf("no answer in %s", p.client.config.ConnectTimeout), Cause: errConnectTimeout,
		}
	}
	return l, conn, err
}
