// Package drpcpeer measures storj.io/drpc.
//
// A connection of dRPC carries one call at a time. Therefore each caller has a connection of its own, and one-way messages, which are a client
// stream, have another. That stream flushes by hand, as dRPC documents for messages that follow each other closely: it writes when
// its buffer of dRPC's default size is full, and at Flush. TCP slows down a sender that is too fast, so nothing is dropped.
//
// Nothing is left running after Close of both ends.
package drpcpeer

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// System is dRPC. Its methods may be called concurrently.
type System struct{}

// Name returns "drpc".
func (System) Name() string { return "drpc" }

// Serve starts a server.
func (System) Serve(_ context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	mux := drpcmux.New()
	if err := registerSayHi(mux, handler{sink: sink}); err != nil {
		return nil, fmt.Errorf("register the handlers: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	address := listener.Addr().String()
	if o.TLS {
		listener = tls.NewListener(listener, o.Certificate.ServerConfig())
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{address: address, cancel: cancel, served: make(chan struct{})}
	go func() {
		defer close(s.served)
		s.err = drpcserver.New(mux).Serve(ctx, listener)
	}()
	return s, nil
}

// Dial returns a client, which connects when there is something to send or to ask.
func (System) Dial(_ context.Context, address string, o peer.Options) (peer.Client, error) {
	c := &client{address: address, callers: make(map[int]*stub)}
	if o.TLS {
		c.tls = o.Certificate.ClientConfig()
	}
	return c, nil
}

// server is a server of dRPC, whose goroutine Close waits for.
type server struct {
	address string
	cancel  context.CancelFunc
	served  chan struct{} // closed when Serve has returned, and so have all of its handlers
	err     error         // what Serve returned
}

func (s *server) Address() string { return s.address }

// Close cuts the connections and waits for the handlers.
func (s *server) Close(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.served:
	case <-ctx.Done():
		return fmt.Errorf("wait for the server to end: %w", ctx.Err())
	}
	if s.err != nil {
		return fmt.Errorf("serve: %w", s.err)
	}
	return nil
}
