package rawtcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// errOver is what ends a goroutine when another has failed.
var errOver = errors.New("the connection is over")

// pipe is a TCP connection within this process, with both of its ends.
type pipe struct {
	client, server net.Conn
	over           chan struct{} // closed when the connection is
	once           sync.Once
}

// overTCP calls do with a connection, which ends with do or with ctx.
func overTCP(ctx context.Context, do func(*pipe) error) error {
	p, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer p.close()
	defer context.AfterFunc(ctx, p.close)()
	if err := do(p); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// connect makes a connection over loopback.
func connect(ctx context.Context) (*pipe, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	// The kernel completes the connection before it is accepted.
	client, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	server, err := l.Accept()
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &pipe{client: client, server: server, over: make(chan struct{})}, nil
}

// close ends whatever reads or writes.
func (p *pipe) close() {
	p.once.Do(func() {
		close(p.over)
		p.client.Close()
		p.server.Close()
	})
}

// both runs two functions at the same time, and returns when both have ended. If one fails, the connection ends, and the other with it.
func (p *pipe) both(a, b func() error) error {
	watched := func(f func() error) error {
		err := f()
		if err != nil {
			p.close()
		}
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- watched(b) }()
	return errors.Join(watched(a), <-failed)
}
