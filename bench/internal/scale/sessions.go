package scale

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/bench/internal/rounds"
)

// spareFiles is how many file descriptors are left for everything else.
const spareFiles = 100

// checkFiles reports a limit on file descriptors that is too low for n connections whose both ends are in this process. The runtime has
// raised the limit as far as it may.
func checkFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit on open files: %w", err)
	}
	if need := uint64(2*n + spareFiles); limit.Cur < need {
		return fmt.Errorf("%d sessions and connections need %d open files, where %d are allowed", n, need, limit.Cur)
	}
	return nil
}

// Idle returns what an idle session costs, and a gRPC connection with an open stream, in bytes of both ends, where there are n of each.
func Idle(ctx context.Context, n int) (session, stream float64, err error) {
	i, err := measureIdle(ctx, Config{Sessions: n})
	return i.session.bytes, i.stream.bytes, err
}

// idle is what sessions cost, and gRPC connections with a stream.
type idle struct{ session, stream cost }

// measureIdle measures each alone, after both have been there once. The runtime begins new stacks with what those that it has seen used on the average, so
// otherwise it depends on what is measured first.
func measureIdle(ctx context.Context, c Config) (i idle, err error) {
	if err := checkFiles(2 * c.Sessions); err != nil {
		return idle{}, err
	}
	unseen := c
	unseen.Inspect = nil
	for _, c := range []Config{unseen, c} {
		f, session, err := openedFleet(ctx, c)
		if err = errors.Join(err, f.close(ctx)); err != nil {
			return idle{}, fmt.Errorf("opening %d sessions: %w", c.Sessions, err)
		}
		s, stream, err := openedStock(ctx, c)
		if err = errors.Join(err, s.close()); err != nil {
			return idle{}, fmt.Errorf("opening %d gRPC connections: %w", c.Sessions, err)
		}
		i = idle{session, stream}
	}
	return i, nil
}

// sessions measures idle sessions beside idle gRPC connections with a stream each, and asks that are spread over them.
func sessions(ctx context.Context, c Config, r *Result) (err error) {
	i, err := measureIdle(ctx, c)
	if err != nil {
		return err
	}
	r.tell("session/parley", i.session.bytes, "B")
	r.tell("session/grpc-stream", i.stream.bytes, "B")
	r.atMost("session/more", i.session.bytes-i.stream.bytes, "B", sessionBytes)
	r.tell("session/parley/goroutines", i.session.goroutines, "goroutines")
	r.tell("session/grpc-stream/goroutines", i.stream.goroutines, "goroutines")
	r.atMost("session/more/goroutines", i.session.goroutines-i.stream.goroutines, "goroutines", sessionRoutines)

	c.Inspect = nil
	fleet, _, err := openedFleet(ctx, c)
	defer func() { err = errors.Join(err, fleet.close(ctx)) }()
	if err != nil {
		return fmt.Errorf("opening %d sessions: %w", c.Sessions, err)
	}
	stock, _, err := openedStock(ctx, c)
	defer func() { err = errors.Join(err, stock.close()) }()
	if err != nil {
		return fmt.Errorf("opening %d gRPC connections: %w", c.Sessions, err)
	}
	if err := spreadOverSessions(ctx, c, r, asks(fleet.targets), stock.calls); err != nil {
		return err
	}
	if c.Sessions == 1 {
		return nil
	}
	return allocations(ctx, c, r, "sessions", fleet.targets[:min(c.Sessions, 100)], burst, fleet.told)
}

// spreadOverSessions measures asks that are spread over more and more sessions, and gRPC's unary calls over as many connections.
func spreadOverSessions(ctx context.Context, c Config, r *Result, asks, calls []ask) error {
	took, stockTook := map[int][]float64{}, map[int][]float64{}
	for range c.Rounds {
		for _, n := range powers(c.Sessions) {
			ns, err := askAll(ctx, c.Callers, c.Asks, asks[:n])
			if err != nil {
				return fmt.Errorf("asking over %d sessions: %w", n, err)
			}
			took[n] = append(took[n], ns)
			if ns, err = askAll(ctx, c.Callers, c.Asks, calls[:n]); err != nil {
				return fmt.Errorf("calling over %d gRPC connections: %w", n, err)
			}
			stockTook[n] = append(stockTook[n], ns)
		}
	}
	for _, n := range powers(c.Sessions) {
		r.tell(fmt.Sprintf("asks/sessions-%d", n), rounds.Median(took[n]), "ns")
		r.tell(fmt.Sprintf("asks/grpc-unary-%d", n), rounds.Median(stockTook[n]), "ns")
		r.compare(fmt.Sprintf("asks/sessions-%d/of-grpc-unary", n), stockTook[n], took[n], true, unary)
	}
	return nil
}

// fleet is one server Env and many clients, each of which has a session with it.
type fleet struct {
	server  *parley.Env
	clients []*parley.Env
	targets []target // of each client
	told    *tally
}

// openedFleet opens a fleet, and returns what a session costs, with the Env that has dialled it. What it returns is to be closed, also if
// it fails.
func openedFleet(ctx context.Context, c Config) (f *fleet, session cost, err error) {
	f = &fleet{told: &tally{}, clients: make([]*parley.Env, 0, c.Sessions), targets: make([]target, 0, c.Sessions)}
	if f.server, err = parley.Listen("127.0.0.1:0", parley.WithPeerSessions(0)); err != nil {
		return f, cost{}, err
	}
	if err := host(ctx, f.server, 1, &echo{told: f.told}); err != nil {
		return f, cost{}, err
	}
	before, err := settled(ctx)
	if err != nil {
		return f, cost{}, err
	}
	for range c.Sessions {
		if err := f.dial(ctx); err != nil {
			return f, cost{}, err
		}
	}
	after, err := settled(ctx)
	if err != nil {
		return f, cost{}, err
	}
	c.inspect("sessions")
	return f, after.each(before, c.Sessions), nil
}

// dial adds a client, whose session has carried an ask.
func (f *fleet) dial(ctx context.Context) error {
	client, err := parley.New()
	if err != nil {
		return err
	}
	f.clients = append(f.clients, client)
	t, err := targetOf(client, f.server, 0)
	if err != nil {
		return err
	}
	f.targets = append(f.targets, t)
	return askOnce(ctx, t.ask)
}

func (f *fleet) close(ctx context.Context) error {
	err := shutdown(ctx, f.clients...)
	if f.server != nil {
		err = errors.Join(err, f.server.Shutdown(ctx))
	}
	return err
}
