package natspeer

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/pacing"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// connection is a connection to NATS's server.
type connection struct {
	*nats.Conn
	closed chan struct{} // closed when it is
}

func connect(ctx context.Context, address string, o peer.Options) (*connection, error) {
	c := &connection{closed: make(chan struct{})}
	options := []nats.Option{
		nats.NoReconnect(), // a connection that is lost fails the run
		nats.Timeout(within(ctx, startTimeout)),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}
	if o.TLS {
		options = append(options, nats.Secure(o.Certificate.ClientConfig()))
	}
	var err error
	if c.Conn, err = nats.Connect("nats://"+address, options...); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

// close closes the connection, whatever goes on in it, and waits until NATS's client says that it is.
func (c *connection) close(ctx context.Context) error {
	c.Close()
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the connection to end: %w", ctx.Err())
	}
}

// client has one connection for everything.
type client struct {
	conn  *connection
	acks  *nats.Subscription // to the answers to marks
	pacer *pacing.Pacer
}

func newClient(conn *connection) (*client, error) {
	acks, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	c := &client{conn: conn, acks: acks}
	c.pacer = pacing.New(windowBytes, c.mark)
	return c, nil
}

// Caller returns the same for all callers.
func (c *client) Caller(context.Context, int) (workload.Call, error) { return c.ask, nil }

func (c *client) ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	data, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	m, err := c.conn.RequestWithContext(ctx, echoSubject, data)
	if err != nil {
		return nil, err
	}
	reply := &sayhiv1.HiReply{}
	if err := proto.Unmarshal(m.Data, reply); err != nil {
		return nil, err
	}
	return reply, nil
}

// Send publishes r. NATS's client buffers it.
func (c *client) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	data, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	if err := c.conn.Publish(drainSubject, data); err != nil {
		return err
	}
	return c.pacer.Sent(ctx, len(data))
}

// mark asks the subscriber for an answer behind what was sent.
func (c *client) mark(context.Context) (func(context.Context) error, error) {
	if err := c.conn.PublishRequest(drainSubject, c.acks.Subject, nil); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := c.acks.NextMsgWithContext(ctx)
		return err
	}, nil
}

// Flush returns when NATS's server has got all that was sent.
func (c *client) Flush(ctx context.Context) error {
	if err := c.pacer.Flush(ctx); err != nil {
		return err
	}
	return flush(ctx, c.conn.Conn)
}

// Close closes the connection, whatever goes on in it.
func (c *client) Close(ctx context.Context) error { return c.conn.close(ctx) }

func flush(ctx context.Context, conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}
