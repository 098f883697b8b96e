// Package protoactorpeer measures github.com/asynkron/protoactor-go: two actor systems, each with a remote at a port of its own, as they
// send in one direction over a connection of the sender's, and answer over one of the receiver's. The remotes are on gRPC.
//
// Messages are encoded by protoactor's protobuf serializer, which finds their types in the registry of google.golang.org/protobuf. Importing
// their Go package has registered them.
//
// The queues of protoactor have no bound. Therefore the sender is paced by package pacing: now and then it requests an answer of the
// actor that receives, so that not more than 16 MiB, or 131,072 messages of 64 bytes, are underway. Sends are as fast as without. The limit of what gRPC receives, 4 MiB by default, is lifted, as protoactor makes batches of up to 1000
// messages whatever their size, and closes the connection over one that is too big.
//
// Starting a remote silences gRPC's own log in the whole process. It and stopping one are data races inside protoactor, so that two of its
// systems in one process do not get past the race detector.
//
// Nothing is left running after Close of both ends, in whatever order.
package protoactorpeer

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/pacing"
	_ "github.com/parley-rpc/parley/bench/internal/peer/protonames" // both have a message actor.PID
	"github.com/parley-rpc/parley/bench/internal/workload"
)

const (
	// echoName and drainName name the server's actors.
	echoName  = "echo"
	drainName = "drain"
	// windowBytes is what is sent between two answers.
	windowBytes = 8 << 20
)

// System is protoactor. Its methods may be called concurrently.
type System struct{}

// Name returns "protoactor".
func (System) Name() string { return "protoactor" }

// Serve starts an actor system with an actor that answers and one that receives.
func (System) Serve(ctx context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	n, err := startNode(o)
	if err != nil {
		return nil, err
	}
	for name, receive := range map[string]actor.ReceiveFunc{
		echoName:  echo,
		drainName: func(c actor.Context) { drain(c, sink) },
	} {
		if _, err := n.system.Root.SpawnNamed(actor.PropsFromFunc(receive), name); err != nil {
			_ = n.stop(ctx)
			return nil, fmt.Errorf("spawn the actor %s: %w", name, err)
		}
	}
	return &server{node: n}, nil
}

// Dial starts an actor system, which connects at the first message.
func (System) Dial(_ context.Context, address string, o peer.Options) (peer.Client, error) {
	n, err := startNode(o)
	if err != nil {
		return nil, err
	}
	c := &client{
		node:  n,
		echo:  actor.NewPID(address, echoName),
		drain: actor.NewPID(address, drainName),
	}
	c.pacer = pacing.New(windowBytes, c.mark)
	return c, nil
}

// echo is the actor that answers with what it is told.
func echo(c actor.Context) {
	if r, ok := c.Message().(*sayhiv1.HiRequest); ok {
		c.Respond(workload.Echo(r))
	}
}

// drain is the actor that receives one-way messages, and answers marks.
func drain(c actor.Context, sink *workload.Sink) {
	switch r := c.Message().(type) {
	case *sayhiv1.HiRequest:
		sink.Receive(r)
	case *emptypb.Empty:
		c.Respond(r)
	}
}

// node is an actor system with its remote.
type node struct {
	system *actor.ActorSystem
	remote *remote.Remote
}

// startNode starts an actor system that listens.
func startNode(o peer.Options) (*node, error) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(errorLog))
	server := []grpc.ServerOption{grpc.MaxRecvMsgSize(math.MaxInt32)}
	dial := insecure.NewCredentials()
	if o.TLS {
		server = append(server, grpc.Creds(credentials.NewTLS(o.Certificate.ServerConfig())))
		dial = credentials.NewTLS(o.Certificate.ClientConfig())
	}
	r := remote.NewRemote(system, remote.Configure("127.0.0.1", 0,
		remote.WithServerOptions(server...),
		remote.WithDialOptions(grpc.WithTransportCredentials(dial)),
	))
	if err := attempt(r.Start); err != nil {
		return nil, fmt.Errorf("start the remote: %w", err)
	}
	return &node{system: system, remote: r}, nil
}

// attempt runs f, and returns its panic as an error: protoactor panics where its own actors do not answer within three seconds, for one.
func attempt(f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("protoactor panicked: %v", v)
		}
	}()
	f()
	return nil
}

// stop ends the remote and the actor system.
func (n *node) stop(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() {
		err := n.shutdown()
		n.system.Shutdown()
		stopped <- err
	}()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the remote to stop: %w", ctx.Err())
	}
}

// shutdown ends the remote. While it tells the ends of its connections, protoactor panics if one of them has just gone by itself; the rest is
// ended without being told then.
func (n *node) shutdown() error {
	err := attempt(func() { n.remote.Shutdown(true) })
	if err == nil || !strings.HasSuffix(err.Error(), "send on closed channel") {
		return err
	}
	return attempt(func() { n.remote.Shutdown(false) })
}

// server is the node with the actors.
type server struct {
	node *node
}

func (s *server) Address() string { return s.node.system.Address() }

// Close stops the remote.
func (s *server) Close(ctx context.Context) error { return s.node.stop(ctx) }
