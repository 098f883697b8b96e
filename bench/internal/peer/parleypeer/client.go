package parleypeer

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// System is Parley. Its clients differ in what their callers call; the zero System asks by the generated Ref. The server is the same for all.
type System struct{ way way }

// way is what a caller calls.
type way string

// The Systems beside the zero one.
var (
	// Stub calls by the stock stub of gRPC, over a Conn.
	Stub = System{"stub"}
	// Conc asks an endpoint whose handlers run concurrently.
	Conc = System{"conc"}
)

// Name implements peer.System.
func (s System) Name() string {
	if s.way == "" {
		return "parley"
	}
	return "parley-" + string(s.way)
}

// client is an Env without a listener.
type client struct {
	env         *parley.Env
	echo, drain sayhiv1parley.SayHiRef
	call        workload.Call
}

// Dial implements peer.System.
func (s System) Dial(ctx context.Context, address string, o peer.Options) (peer.Client, error) {
	c, err := s.dial(ctx, address, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dial connects a client whose Env has options of its own.
func (s System) dial(ctx context.Context, address string, o peer.Options, opts ...parley.Option) (*client, error) {
	if o.TLS {
		opts = append(opts, parley.WithDialOptions(grpc.WithTransportCredentials(credentials.NewTLS(o.Certificate.ClientConfig()))))
	}
	env, err := parley.New(opts...)
	if err != nil {
		return nil, err
	}
	c := &client{env: env}
	if err := c.look(ctx, address, s.way); err != nil {
		return nil, errors.Join(err, env.Shutdown(ctx))
	}
	return c, nil
}

// look looks the endpoints up.
func (c *client) look(ctx context.Context, address string, w way) error {
	echo := echoName
	if w == Conc.way {
		echo = concName
	}
	var err error
	if c.echo, err = sayhiv1parley.LookupSayHi(ctx, c.env, fmt.Sprintf("parley://%s@%s", echo, address)); err != nil {
		return err
	}
	if c.drain, err = sayhiv1parley.LookupSayHi(ctx, c.env, fmt.Sprintf("parley://%s@%s", drainName, address)); err != nil {
		return err
	}
	if w != Stub.way {
		c.call = func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return c.echo.Hi.AskSync(ctx, r)
		}
		return nil
	}
	conn, err := c.env.Conn(c.echo.Ref())
	if err != nil {
		return err
	}
	stub := sayhiv1.NewSayHiClient(conn)
	c.call = func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return stub.Hi(ctx, r) }
	return nil
}

// Caller implements peer.Client.
func (c *client) Caller(context.Context, int) (workload.Call, error) { return c.call, nil }

// Pipeline implements peer.Pipeliner.
func (c *client) Pipeline(ctx context.Context, n int, messages *workload.Messages) error {
	var futures [workload.Outstanding]*endpoint.Future[sayhiv1.HiReply]
	for i := range n + workload.Outstanding {
		slot := &futures[i%workload.Outstanding]
		if *slot != nil {
			r, err := (*slot).Wait(ctx)
			if err == nil {
				err = messages.CheckReply(i-workload.Outstanding, r)
			}
			if err != nil {
				return err
			}
			*slot = nil
		}
		if i < n {
			*slot = c.echo.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: messages.Payload(i)})
		}
	}
	return nil
}

// Send implements peer.Client.
func (c *client) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	return c.drain.Hi.Send(ctx, r)
}

// Flush implements peer.Client. What is sent is on its way.
func (c *client) Flush(context.Context) error { return nil }

// Check implements peer.Checker.
func (c *client) Check(context.Context) error { return checkCounters(c.env) }

// Close implements peer.Client.
func (c *client) Close(ctx context.Context) error { return c.env.Shutdown(ctx) }
