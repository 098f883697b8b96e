// Package hollywoodpeer measures github.com/anthdm/hollywood: two engines, each with a remote at a port of its own, as they send
// in one direction over a connection of the sender's, and answer over one of the receiver's.
//
// Messages are encoded by hollywood's protobuf serializer, which finds their types in the registry of google.golang.org/protobuf. Importing
// their Go package has registered them.
//
// The queues of hollywood have no bound. Therefore the sender is paced by package pacing: now and then it requests an answer of the
// actor that receives, so that not more than 16 MiB, or 131,072 messages of 64 bytes, are underway. Sends are as fast as without. The limit of a batch's bytes, 4 MiB by default, is lifted, as hollywood makes batches of thousands of
// messages whatever their size, and cuts the connection over one that is too big.
//
// Hollywood has no call that ends the connections that an engine has opened. They end, with their goroutines, when the engine
// at their other end stops. So nothing is left running after Close of both ends, in whatever order; until then, Close of one leaves the connection
// to the other. It logs an error at the end of every connection that it serves.
package hollywoodpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"syscall"

	"github.com/anthdm/hollywood/actor"
	"github.com/anthdm/hollywood/remote"
	"google.golang.org/protobuf/types/known/emptypb"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/pacing"
	_ "github.com/parley-rpc/parley/bench/internal/peer/protonames" // both have a message actor.PID
	"github.com/parley-rpc/parley/bench/internal/workload"
)

const (
	// kind, echoID and drainID name the server's actors.
	kind    = "sayhi"
	echoID  = "echo"
	drainID = "drain"
	// windowBytes is what is sent between two answers.
	windowBytes = 8 << 20
	// ports is how many ports are tried, as one that was free a moment ago need not be now.
	ports = 10
)

// System is hollywood. Its methods may be called concurrently.
type System struct{}

// Name returns "hollywood".
func (System) Name() string { return "hollywood" }

// Serve starts an engine with an actor that answers and one that receives.
func (System) Serve(_ context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	e, err := startEngine(o)
	if err != nil {
		return nil, err
	}
	e.SpawnFunc(echo, kind, actor.WithID(echoID))
	e.SpawnFunc(func(c *actor.Context) { drain(c, sink) }, kind, actor.WithID(drainID))
	return &server{engine: e}, nil
}

// Dial starts an engine, which connects at the first message.
func (System) Dial(_ context.Context, address string, o peer.Options) (peer.Client, error) {
	e, err := startEngine(o)
	if err != nil {
		return nil, err
	}
	c := &client{
		engine: e,
		echo:   actor.NewPID(address, kind+"/"+echoID),
		drain:  actor.NewPID(address, kind+"/"+drainID),
	}
	c.pacer = pacing.New(windowBytes, c.mark)
	return c, nil
}

// echo is the actor that answers with what it is told.
func echo(c *actor.Context) {
	if r, ok := c.Message().(*sayhiv1.HiRequest); ok {
		c.Respond(workload.Echo(r))
	}
}

// drain is the actor that receives one-way messages, and answers marks.
func drain(c *actor.Context, sink *workload.Sink) {
	switch r := c.Message().(type) {
	case *sayhiv1.HiRequest:
		sink.Receive(r)
	case *emptypb.Empty:
		c.Respond(r)
	}
}

// engine is an engine with its remote.
type engine struct {
	*actor.Engine
	remote *remote.Remote
}

// startEngine starts an engine that listens. A remote has to be told its port, as others reply to it there.
func startEngine(o peer.Options) (*engine, error) {
	config := remote.NewConfig().WithBufferSize(math.MaxInt32)
	if o.TLS {
		config = config.WithTLS(bothEnds(o.Certificate))
	}
	var failed error
	for range ports {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		r := remote.New(address, config)
		e, err := actor.NewEngine(actor.NewEngineConfig().WithRemote(r))
		if err == nil {
			return &engine{Engine: e, remote: r}, nil
		}
		failed = fmt.Errorf("start an engine at %s: %w", address, err)
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, failed
}

// bothEnds returns a configuration for listening and for dialling, as a remote has one for both.
func bothEnds(c *peer.Certificate) *tls.Config {
	config := c.ServerConfig()
	config.RootCAs = c.ClientConfig().RootCAs
	config.ServerName = c.ClientConfig().ServerName
	return config
}

// freeAddress returns an address of 127.0.0.1 at which nobody listens.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("free the port that was found: %w", err)
	}
	return listener.Addr().String(), nil
}

// stop ends the remote, and waits until it serves no connection.
func (e *engine) stop(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.remote.Stop().Wait()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the remote to stop: %w", ctx.Err())
	}
}

// server is the engine with the actors.
type server struct {
	engine *engine
}

func (s *server) Address() string { return s.engine.Address() }

// Close stops the actors and the remote.
func (s *server) Close(ctx context.Context) error {
	for _, id := range []string{echoID, drainID} {
		stopped := s.engine.Stop(actor.NewPID(s.engine.Address(), kind+"/"+id))
		select {
		case <-stopped.Done():
		case <-ctx.Done():
			return fmt.Errorf("wait for the actor %s to stop: %w", id, ctx.Err())
		}
	}
	return s.engine.stop(ctx)
}
