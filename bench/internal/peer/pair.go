package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// Pair is a server and one client of it. Its methods are called one at a time.
type Pair struct {
	name   string
	server drain
	client Client
}

// Pipeliner is a Client of which one goroutine can have many asks open.
type Pipeliner interface {
	// Pipeline makes n asks from one goroutine, which waits for the oldest only when workload.Outstanding are open, and checks the replies.
	Pipeline(ctx context.Context, n int, messages *workload.Messages) error
}

// Open opens both ends in this process.
func Open(ctx context.Context, system System, o Options) (*Pair, error) {
	server, err := serve(ctx, system, o)
	if err != nil {
		return nil, err
	}
	return dial(ctx, system, o, server)
}

// OpenRemote opens the client in this process, and the server in a child of it, which must be prepared for that, as
// Start says.
func OpenRemote(ctx context.Context, system System, o Options) (*Pair, error) {
	server, err := Start(ctx, system.Name(), o)
	if err != nil {
		return nil, err
	}
	return dial(ctx, system, o, server)
}

func dial(ctx context.Context, system System, o Options, server drain) (*Pair, error) {
	client, err := system.Dial(ctx, server.Address(), o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dialling %s: %w", system.Name(), err), server.Close(ctx))
	}
	return &Pair{system.Name(), server, client}, nil
}

// Client returns the client, which the Pair closes.
func (p *Pair) Client() Client { return p.client }

// Ask makes n asks from a number of callers.
func (p *Pair) Ask(ctx context.Context, callers, n int, messages *workload.Messages) error {
	return workload.RunCallers(ctx, callers, n, messages, func(k int) (workload.Call, error) { return p.client.Caller(ctx, k) })
}

// Pipeline makes n asks as Pipeliner says. It fails if the client is none.
func (p *Pair) Pipeline(ctx context.Context, n int, messages *workload.Messages) error {
	c, ok := p.client.(Pipeliner)
	if !ok {
		return fmt.Errorf("%s does not pipeline", p.name)
	}
	ctx, cancel := context.WithTimeout(ctx, workload.CallTimeout)
	defer cancel()
	return c.Pipeline(ctx, n, messages)
}

// Send sends n one-way messages from one goroutine, n > 0, and returns when the server has received the last.
func (p *Pair) Send(ctx context.Context, n int, messages *workload.Messages) error {
	ctx, cancel := context.WithTimeout(ctx, workload.CallTimeout)
	defer cancel()
	if err := p.server.Expect(ctx, n, messages); err != nil {
		return err
	}
	for i := range n {
		if err := p.client.Send(ctx, messages.Request(i)); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return errors.Join(p.client.Flush(ctx), p.server.Wait(ctx))
}

// ProcessorTime returns what both ends have used so far, in one process or in two, or 0 where the system does not say.
func (p *Pair) ProcessorTime(ctx context.Context) (time.Duration, error) {
	server, err := p.server.ProcessorTime(ctx)
	return ProcessorTime() + server, err
}

// Close ends both ends, and reports whatever was lost or left over.
func (p *Pair) Close(ctx context.Context) error {
	return errors.Join(check(ctx, p.client), p.server.Check(ctx), p.client.Close(ctx), p.server.Close(ctx))
}
