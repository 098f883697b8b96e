package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// closeTimeout is how long the server of a child may take to end.
const closeTimeout = 30 * time.Second

// ChildName returns the name of the System that this process is to serve, and whether it is a child of Start at all; args are
// those of the command line, without the program.
func ChildName(args []string) (name string, ok bool) {
	if len(args) != 2 || args[0] != serveFlag {
		return "", false
	}
	return args[1], true
}

// Child serves the one of the systems that has that name. It is what a process does that Start has started, with its standard input and output. It ends
// when in does.
func Child(ctx context.Context, name string, systems []System, in io.Reader, out io.Writer) error {
	i := slices.IndexFunc(systems, func(s System) bool { return s.Name() == name })
	if i < 0 {
		return fmt.Errorf("no system is called %q", name)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &child{system: systems[i]}
	orders, done := make(chan order), make(chan error, 1)
	go func() { done <- c.obey(ctx, orders, json.NewEncoder(out)) }()
	err := read(ctx, in, orders)
	// An end of the input in the midst of a wait ends that, too.
	cancel()
	return errors.Join(err, <-done)
}

// read hands over orders until the input ends.
func read(ctx context.Context, in io.Reader, orders chan<- order) error {
	defer close(orders)
	decoder := json.NewDecoder(in)
	for {
		var o order
		if err := decoder.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// child is what a child process serves.
type child struct {
	system   System
	server   *local // nil until opened
	messages *workload.Messages
}

// obey does what it is told, one order after the other, and closes the server after the last.
func (c *child) obey(ctx context.Context, orders <-chan order, answers *json.Encoder) error {
	var failed error // to write: there is nobody any more who could be told
	for o := range orders {
		a, err := c.do(ctx, o)
		if err != nil {
			a.Failed = err.Error()
		}
		if failed == nil {
			failed = answers.Encode(a)
		}
	}
	if c.server == nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(failed, c.server.Close(ctx))
}

func (c *child) do(ctx context.Context, o order) (answer, error) {
	if o.Op == opOpen {
		return c.open(ctx, o.Options)
	}
	if o.Op == opUsage {
		return answer{Used: ProcessorTime()}, nil
	}
	if c.server == nil {
		return answer{}, errors.New("nothing is served yet")
	}
	switch o.Op {
	case opExpect:
		if c.messages == nil || c.messages.Bytes() != o.Bytes {
			c.messages = workload.NewMessages(o.Bytes)
		}
		return answer{}, c.server.Expect(ctx, o.N, c.messages)
	case opWait:
		return answer{}, c.server.Wait(ctx)
	case opCheck:
		return answer{}, c.server.Check(ctx)
	}
	return answer{}, fmt.Errorf("unknown order %q", o.Op)
}

func (c *child) open(ctx context.Context, o Options) (answer, error) {
	if c.server != nil {
		return answer{}, errors.New("already serving")
	}
	var err error
	if c.server, err = serve(ctx, c.system, o); err != nil {
		return answer{}, err
	}
	return answer{Address: c.server.Address()}, nil
}
