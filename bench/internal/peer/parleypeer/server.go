// Package parleypeer has Parley as it is measured: two Envs with one session between them, with Parley's defaults.
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

// Names of the endpoints of a server.
const (
	echoName  = "echo"
	concName  = "conc" // an echo whose handlers run concurrently
	drainName = "drain"
)

// concurrency is how many messages the concurrent echo handles at a time: those of all callers.
const concurrency = 512

// echoEndpoint answers with what it is told.
type echoEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
}

func (echoEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return workload.Echo(r), nil
}

// drainEndpoint is the receiver of one-way messages.
type drainEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
	sink  *workload.Sink
	reply *sayhiv1.HiReply // dropped, as there is nobody who asked
}

func (e drainEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	e.sink.Receive(r)
	return e.reply, nil
}

// server is an Env that listens.
type server struct{ env *parley.Env }

// Serve implements peer.System.
func (System) Serve(ctx context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	var opts []parley.Option
	if o.TLS {
		opts = append(opts, parley.WithServerOptions(grpc.Creds(credentials.NewTLS(o.Certificate.ServerConfig()))))
	}
	env, err := parley.Listen("127.0.0.1:0", opts...)
	if err != nil {
		return nil, err
	}
	_, echoFailed := sayhiv1parley.RegisterSayHi(ctx, env, echoName, echoEndpoint{})
	_, concFailed := sayhiv1parley.RegisterSayHi(ctx, env, concName, echoEndpoint{}, endpoint.Concurrent(concurrency))
	_, drainFailed := sayhiv1parley.RegisterSayHi(ctx, env, drainName, drainEndpoint{sink: sink, reply: &sayhiv1.HiReply{}})
	if err := errors.Join(echoFailed, concFailed, drainFailed); err != nil {
		return nil, errors.Join(err, env.Shutdown(ctx))
	}
	return server{env}, nil
}

// Address implements peer.Server.
func (s server) Address() string { return s.env.Address() }

// Check implements peer.Checker.
func (s server) Check(context.Context) error { return checkCounters(s.env) }

// Close implements peer.Server.
func (s server) Close(ctx context.Context) error { return s.env.Shutdown(ctx) }

// checkCounters reports whatever was lost or left at an Env.
func checkCounters(e *parley.Env) error {
	c := e.Counters()
	if c.Sessions != 1 || c.PendingAsks+c.OpenAsks != 0 || c.Dropped+c.LateReplies != 0 {
		return fmt.Errorf("parley: want one session with nothing lost or left: %+v", c)
	}
	return nil
}
