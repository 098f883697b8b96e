package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

const (
	// reportPeriod is how often a process tells what it knows.
	reportPeriod = 500 * time.Millisecond
	// openTimeout bounds the opening of a process.
	openTimeout = 20 * time.Second
	// drainTimeout bounds the wait for what is outstanding when nothing is sent any more.
	drainTimeout = 30 * time.Second
	// shutdownTimeout bounds the shutdown of an Env with which nothing is outstanding.
	shutdownTimeout = 10 * time.Second
)

// errOrphaned: the driver has gone. A process ends with it, whatever it is doing.
var errOrphaned = errors.New("the driver has gone")

// The roles of processes.
const (
	roleServer = "server"
	roleClient = "client"
)

// memberError is what ended a process.
type memberError struct {
	name string
	err  error
}

func (e *memberError) Error() string { return e.name + ": " + e.err.Error() }

func (e *memberError) Unwrap() error { return e.err }

// member is a client or server process.
type member struct {
	memberConfig
	env      *parley.Env
	receiver *receiver

	life     context.Context // of everything
	end      context.CancelFunc
	started  chan struct{}   // closed when the pumps may begin
	stop     context.Context // of what the pumps send
	stopping context.CancelFunc
	patience context.Context // of what they wait for
	giveUp   context.CancelFunc
	running  sync.WaitGroup // of what lives until life ends

	out struct {
		sync.Mutex
		*json.Encoder
	}

	mu      sync.Mutex
	pumps   []*pump
	pumping sync.WaitGroup
	stopped bool // the pumps have ended
}

// runMember is the main function of a process with a role. It obeys the orders that come by in, until that ends.
func runMember(ctx context.Context, role string, in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	var first order
	if err := orders.Decode(&first); err != nil || first.Do != doOpen || first.Member == nil {
		return &memberError{role, fmt.Errorf("the first order is %+v, %v; this is for the driver to start", first, err)}
	}
	m := newMember(ctx, *first.Member, out)
	err := m.run(role, orders)
	m.end()
	m.running.Wait()
	m.pumping.Wait()
	if err != nil {
		return &memberError{m.Name, err}
	}
	return nil
}

func newMember(ctx context.Context, c memberConfig, out io.Writer) *member {
	m := &member{memberConfig: c, receiver: newReceiver(c.Name), started: make(chan struct{})}
	m.out.Encoder = json.NewEncoder(out)
	m.life, m.end = context.WithCancel(ctx)
	m.stop, m.stopping = context.WithCancel(m.life)
	m.patience, m.giveUp = context.WithCancel(m.life)
	return m
}

// run obeys orders until doEnd.
func (m *member) run(role string, orders *json.Decoder) error {
	m.running.Go(func() {
		if err := m.open(role); err != nil {
			m.tell(event{Failed: err.Error()})
			return
		}
		m.reportUntilEnd()
	})
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return errOrphaned
		} else if err != nil {
			return err
		}
		switch o.Do {
		case doStart:
			close(m.started)
		case doStop:
			m.stopping()
			m.running.Go(m.drain)
		case doFinal:
			last := m.report()
			last.Final = true
			m.tell(event{Report: last})
		case doEnd:
			return m.shutdown()
		default:
			return fmt.Errorf("unknown order %.100q", o.Do)
		}
	}
}

// open makes the member what its role says.
func (m *member) open(role string) error {
	ctx, cancel := context.WithTimeout(m.life, openTimeout)
	defer cancel()
	switch role {
	case roleServer:
		return m.openServer(ctx)
	case roleClient:
		return m.openClient(ctx)
	default:
		return fmt.Errorf("unknown role %.100q", role)
	}
}

// options are those of every Env. Broken connections are no news here, so that only errors are logged.
func (m *member) options() []parley.Option {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return []parley.Option{parley.WithName(m.Name), parley.WithLogger(logger)}
}

// host takes the Env over, with the endpoint that every member has.
func (m *member) host(ctx context.Context, env *parley.Env) (endpoint.Ref, error) {
	m.mu.Lock()
	m.env = env
	m.mu.Unlock()
	ref, err := parleytestv1parley.RegisterNumbered(ctx, env, numberedName, m.receiver)
	return ref.Ref(), err
}

// pump begins a flow to a peer, when the driver says so.
func (m *member) pump(peer string, to parleytestv1parley.NumberedRef) {
	p := newPump(flow(m.Name, peer), to, m.Seed)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pumps = append(m.pumps, p)
	m.pumping.Go(func() {
		select {
		case <-m.started:
			p.run(m.stop, m.patience)
		case <-m.stop.Done():
		}
	})
}

// drain waits for the pumps to end, and ends what they wait for if that takes too long.
func (m *member) drain() {
	tooLong := time.AfterFunc(drainTimeout, m.giveUp)
	defer tooLong.Stop()
	m.pumping.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
}

// reportUntilEnd reports now and then.
func (m *member) reportUntilEnd() {
	ticker := time.NewTicker(reportPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			m.tell(event{Report: m.report()})
		case <-m.life.Done():
			return
		}
	}
}

// report returns what the member knows.
func (m *member) report() *report {
	r := &report{Sent: make(map[string]sent), Problems: make(map[string]problem)}
	m.mu.Lock()
	env, pumps := m.env, m.pumps
	r.Stopped = m.stopped
	m.mu.Unlock()
	for _, p := range pumps {
		p.report(r)
	}
	m.receiver.report(r)
	if env != nil {
		r.Env = readStats(env)
	}
	return r
}

// tell tells the driver. Where that has gone, the end of the orders says so.
func (m *member) tell(e event) {
	m.out.Lock()
	defer m.out.Unlock()
	_ = m.out.Encode(e)
}

// shutdown ends the Env.
func (m *member) shutdown() error {
	m.mu.Lock()
	env := m.env
	m.mu.Unlock()
	if env == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return env.Shutdown(ctx)
}
