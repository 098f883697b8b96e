package parleypeer

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/bench/internal/peer"
)

// Counted is the System parley with clients that count what goes over the network. They are of type *CountedClient.
type Counted struct{ System }

// CountedClient counts what goes over its connection.
type CountedClient struct {
	*client
	sent, received *atomic.Uint64
}

// Traffic is what a client has sent and received since it was opened. Frames are those with messages in them, and bytes are those of TCP, with all that
// gRPC adds.
type Traffic struct {
	FramesSent, FramesReceived uint64
	BytesSent, BytesReceived   uint64
}

// Dial implements peer.System.
func (Counted) Dial(ctx context.Context, address string, o peer.Options) (peer.Client, error) {
	c := &CountedClient{sent: &atomic.Uint64{}, received: &atomic.Uint64{}}
	var err error
	c.client, err = System{}.dial(ctx, address, o, parley.WithDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			return &countedConn{conn, c.sent, c.received}, nil
		})))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Traffic returns the totals so far. It may be called concurrently.
func (c *CountedClient) Traffic() Traffic {
	t := Traffic{BytesSent: c.sent.Load(), BytesReceived: c.received.Load()}
	for _, s := range c.env.Sessions() {
		t.FramesSent += s.FramesSent
		t.FramesReceived += s.FramesReceived
	}
	return t
}

// countedConn counts the bytes of a connection.
type countedConn struct {
	net.Conn
	sent, received *atomic.Uint64
}

// Write implements net.Conn.
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(uint64(n))
	return n, err
}

// Read implements net.Conn.
func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(uint64(n))
	return n, err
}
