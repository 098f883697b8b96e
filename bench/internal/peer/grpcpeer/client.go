package grpcpeer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// Unary is gRPC with a unary call for each request, and for each message that is sent one way.
type Unary struct{}

// Name implements peer.System.
func (Unary) Name() string { return "grpc-unary" }

// Serve implements peer.System.
func (Unary) Serve(_ context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	return serve(o, sink)
}

// Dial implements peer.System. Nothing is connected before the first call.
func (Unary) Dial(_ context.Context, address string, o peer.Options) (peer.Client, error) {
	conn, err := dial(address, o)
	if err != nil {
		return nil, err
	}
	return &unaryClient{conn, sayhiv1.NewSayHiClient(conn)}, nil
}

// Stream is gRPC with raw bidirectional streams: one for each caller, on which it waits for the reply before the next request, and one for all messages that are
// sent one way until they are flushed.
type Stream struct{}

// Name implements peer.System.
func (Stream) Name() string { return "grpc-stream" }

// Serve implements peer.System.
func (Stream) Serve(_ context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	return serve(o, sink)
}

// Dial implements peer.System. Nothing is connected before the first stream.
func (Stream) Dial(_ context.Context, address string, o peer.Options) (peer.Client, error) {
	conn, err := dial(address, o)
	if err != nil {
		return nil, err
	}
	return &streamClient{conn: conn, callers: map[int]*pingPong{}}, nil
}

func dial(address string, o peer.Options) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if o.TLS {
		creds = credentials.NewTLS(o.Certificate.ClientConfig())
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(creds))
}

// unaryClient makes unary calls.
type unaryClient struct {
	conn *grpc.ClientConn
	stub sayhiv1.SayHiClient
}

// Caller implements peer.Client.
func (c *unaryClient) Caller(context.Context, int) (workload.Call, error) {
	return func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return c.stub.Hi(ctx, r) }, nil
}

// Send implements peer.Client. It waits for the reply, as there is no other way to keep the order.
func (c *unaryClient) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	return c.conn.Invoke(ctx, "/"+drainService+"/Hi", r, &sayhiv1.HiReply{})
}

// Flush implements peer.Client.
func (c *unaryClient) Flush(context.Context) error { return nil }

// Close implements peer.Client.
func (c *unaryClient) Close(context.Context) error { return c.conn.Close() }

// streamClient opens raw streams.
type streamClient struct {
	conn    *grpc.ClientConn
	callers map[int]*pingPong
	sending grpc.ClientStream // nil unless there is something to flush
}

// Caller implements peer.Client.
func (c *streamClient) Caller(ctx context.Context, k int) (workload.Call, error) {
	p, ok := c.callers[k]
	if !ok {
		var err error
		if p, err = newPingPong(ctx, c.conn); err != nil {
			return nil, err
		}
		c.callers[k] = p
	}
	return p.call, nil
}

// Send implements peer.Client.
func (c *streamClient) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	if c.sending == nil {
		var err error
		if c.sending, err = openStream(ctx, c.conn, drainStream); err != nil {
			return err
		}
	}
	return c.sending.SendMsg(r)
}

// Flush implements peer.Client. It returns when the server has had all of the stream.
func (c *streamClient) Flush(context.Context) error {
	if c.sending == nil {
		return nil
	}
	s := c.sending
	c.sending = nil
	return finish(s)
}

// Close implements peer.Client.
func (c *streamClient) Close(ctx context.Context) error {
	var failed []error
	for k, p := range c.callers {
		if err := p.close(ctx); err != nil {
			failed = append(failed, fmt.Errorf("caller %d: %w", k, err))
		}
	}
	return errors.Join(errors.Join(failed...), c.conn.Close())
}
