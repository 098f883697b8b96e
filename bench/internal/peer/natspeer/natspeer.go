// Package natspeer measures NATS: a server, embedded in the server's process, with a responder that is connected to it over loopback TCP, and
// clients that are, too. A message therefore crosses loopback twice on its way, as it does at users of NATS.
//
// Core NATS drops what a subscriber is too slow for: the client beyond the subscription's pending limits, which are lifted here, and
// the server beyond what it may hold for a connection, here 256 MiB instead of 64 MB. The sender is paced by package pacing: now and
// then it asks the subscriber for an answer, so that not more than 128 MiB, or a million messages of 64 bytes, are underway.
// Smaller windows make it slower: those of 24 MiB, by a tenth.
//
// Payloads have up to 8 MiB less the few bytes of their encoding, which is the most that NATS's server accepts without a warning.
//
// Nothing is left running after Close of both ends.
package natspeer

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

const (
	echoSubject  = "sayhi.echo"
	drainSubject = "sayhi.drain"
	// windowBytes is what is published between two answers.
	windowBytes = 64 << 20
	// startTimeout is how long the server may take to listen, if the context has no earlier deadline.
	startTimeout = 30 * time.Second
	// flushTimeout is how long a flush may take, if the context has no deadline, which NATS's client insists on.
	flushTimeout = time.Minute
)

// System is NATS. Its methods may be called concurrently.
type System struct{}

// Name returns "nats".
func (System) Name() string { return "nats" }

// Serve starts a server and its responder.
func (System) Serve(ctx context.Context, o peer.Options, sink *workload.Sink) (peer.Server, error) {
	options := &natsserver.Options{
		Host:       "127.0.0.1",
		Port:       natsserver.RANDOM_PORT,
		MaxPayload: natsserver.MAX_PAYLOAD_MAX_SIZE,
		MaxPending: 4 * windowBytes,
		NoLog:      true,
		NoSigs:     true,
	}
	if o.TLS {
		options.TLS, options.TLSConfig = true, o.Certificate.ServerConfig()
		options.TLSTimeout = startTimeout.Seconds()
	}
	broker, err := natsserver.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("make a server: %w", err)
	}
	s := &server{broker: broker, sink: sink, failed: make(chan error, 1)}
	broker.Start()
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// Dial returns a client, which is connected.
func (System) Dial(ctx context.Context, address string, o peer.Options) (peer.Client, error) {
	conn, err := connect(ctx, address, o)
	if err != nil {
		return nil, err
	}
	c, err := newClient(conn)
	if err != nil {
		return nil, errors.Join(err, conn.close(ctx))
	}
	return c, nil
}

// server is NATS's server with the responder.
type server struct {
	broker    *natsserver.Server
	responder *connection // nil until it is connected
	sink      *workload.Sink
	failed    chan error // gets the first error of a handler
}

// start connects the responder.
func (s *server) start(ctx context.Context, o peer.Options) error {
	if !s.broker.ReadyForConnections(within(ctx, startTimeout)) {
		return errors.New("the server does not listen")
	}
	var err error
	if s.responder, err = connect(ctx, s.Address(), o); err != nil {
		return err
	}
	for subject, handle := range map[string]func(*nats.Msg) error{echoSubject: s.echo, drainSubject: s.drain} {
		subscription, err := s.responder.Subscribe(subject, func(m *nats.Msg) { s.report(handle(m)) })
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		if err := subscription.SetPendingLimits(-1, -1); err != nil {
			return fmt.Errorf("lift the limits of %s: %w", subject, err)
		}
	}
	return flush(ctx, s.responder.Conn)
}

// echo answers with what it is told.
func (s *server) echo(m *nats.Msg) error {
	r := &sayhiv1.HiRequest{}
	if err := proto.Unmarshal(m.Data, r); err != nil {
		return err
	}
	data, err := proto.Marshal(workload.Echo(r))
	if err != nil {
		return err
	}
	return m.Respond(data)
}

// drain receives one-way messages, and answers marks: they want an answer.
func (s *server) drain(m *nats.Msg) error {
	if m.Reply != "" {
		return m.Respond(nil)
	}
	r := &sayhiv1.HiRequest{}
	if err := proto.Unmarshal(m.Data, r); err != nil {
		return err
	}
	s.sink.Receive(r)
	return nil
}

// report keeps a handler's error for Close, unless there is one already.
func (s *server) report(err error) {
	if err == nil {
		return
	}
	select {
	case s.failed <- err:
	default:
	}
}

func (s *server) Address() string { return s.broker.Addr().String() }

// Close ends the responder and the server, and reports what handlers failed at.
func (s *server) Close(ctx context.Context) error {
	var failed error
	if s.responder != nil {
		failed = s.responder.close(ctx)
	}
	s.broker.Shutdown()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.broker.WaitForShutdown()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return errors.Join(failed, fmt.Errorf("wait for the server to end: %w", ctx.Err()))
	}
	select {
	case err := <-s.failed:
		return errors.Join(failed, fmt.Errorf("handler: %w", err))
	default:
		return failed
	}
}

// within returns how long is left of ctx, but not more than most.
func within(ctx context.Context, most time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(most, time.Until(deadline))
	}
	return most
}
