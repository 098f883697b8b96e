package drpcpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcstream"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// client has a connection for each caller and one for what is sent.
type client struct {
	address string
	tls     *tls.Config // nil without TLS

	mu      sync.Mutex
	callers map[int]*stub

	// What follows belongs to the goroutine that sends.
	sender *stub        // nil before the first message
	stream *drainStream // nil after Flush: each run is a stream
}

// Caller returns the k-th caller's connection, dialled at the first time. It may be called concurrently.
func (c *client) Caller(ctx context.Context, k int) (workload.Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.callers[k]
	if !ok {
		var err error
		if s, err = c.dial(ctx, drpcconn.Options{}); err != nil {
			return nil, err
		}
		c.callers[k] = s
	}
	return s.hi, nil
}

// Send sends r on the run's stream, whose context is that of its first message: when it ends, the run does.
func (c *client) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	if c.stream == nil {
		if err := c.open(ctx); err != nil {
			return err
		}
	}
	return c.stream.send(r)
}

// Flush ends the run's stream, and returns when the server has received it.
func (c *client) Flush(context.Context) error {
	if c.stream == nil {
		return nil
	}
	s := c.stream
	c.stream = nil
	if err := s.closeAndReceive(); err != nil {
		return fmt.Errorf("end the stream: %w", err)
	}
	return nil
}

// Close closes the connections, whatever goes on in them.
func (c *client) Close(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed []error
	if c.sender != nil {
		failed = append(failed, c.sender.conn.Close())
	}
	for _, s := range c.callers {
		failed = append(failed, s.conn.Close())
	}
	return errors.Join(failed...)
}

// open begins a run's stream.
func (c *client) open(ctx context.Context) (err error) {
	if c.sender == nil {
		o := drpcconn.Options{Manager: drpcmanager.Options{Stream: drpcstream.Options{ManualFlush: true}}}
		if c.sender, err = c.dial(ctx, o); err != nil {
			return err
		}
	}
	if c.stream, err = c.sender.drain(ctx); err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	return nil
}

func (c *client) dial(ctx context.Context, o drpcconn.Options) (*stub, error) {
	var conn net.Conn
	var err error
	if c.tls == nil {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", c.address)
	} else {
		conn, err = (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", c.address)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.address, err)
	}
	return &stub{conn: drpcconn.NewWithOptions(conn, o)}, nil
}
