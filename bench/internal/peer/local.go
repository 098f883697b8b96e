package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// Checker is a Client or Server that can say whether anything was lost or left over, while both are open and nothing is under way.
type Checker interface {
	// Check reports what was lost or left.
	Check(ctx context.Context) error
}

// drain is a server with the sink of what it is sent one way, in this process or in another one.
type drain interface {
	Server
	Checker
	// Expect begins a run of n messages, n > 0.
	Expect(ctx context.Context, n int, messages *workload.Messages) error
	// Wait returns when all of that has been received, and reports what was wrong.
	Wait(ctx context.Context) error
	// ProcessorTime returns what the server's process has used so far, unless that is this process.
	ProcessorTime(ctx context.Context) (time.Duration, error)
}

// local is a server of this process.
type local struct {
	Server
	sink *workload.Sink
}

func serve(ctx context.Context, system System, o Options) (*local, error) {
	sink := &workload.Sink{}
	server, err := system.Serve(ctx, o, sink)
	if err != nil {
		return nil, fmt.Errorf("serving %s: %w", system.Name(), err)
	}
	return &local{server, sink}, nil
}

func (l *local) Expect(_ context.Context, n int, messages *workload.Messages) error {
	l.sink.Expect(n, messages)
	return nil
}

func (l *local) Wait(ctx context.Context) error { return l.sink.Wait(ctx) }

func (l *local) Check(ctx context.Context) error {
	return errors.Join(l.sink.Check(), check(ctx, l.Server))
}

// ProcessorTime returns 0: what this process has used is counted already.
func (l *local) ProcessorTime(context.Context) (time.Duration, error) { return 0, nil }

// check reports what was lost or left at a client or server that can say so.
func check(ctx context.Context, of any) error {
	if c, ok := of.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}
