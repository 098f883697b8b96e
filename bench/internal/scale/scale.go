// Package scale measures what Parley costs as endpoints and sessions grow in number: memory and goroutines of idle ones, throughput and
// allocations of messages that are spread over many. Beside sessions it measures stock gRPC connections.
//
// Both ends are in one process, over loopback TCP, so what a session or a connection costs is that of both ends together.
package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Config says how much is measured.
type Config struct {
	// Endpoints is how many endpoints one Env has. Throughput is measured at 1 of them, at each power of ten up to that, and at that.
	Endpoints int
	// Sessions is how many Envs dial one server, and how many gRPC connections there are beside them. Two file descriptors are needed for each. Throughput is
	// measured as with endpoints.
	Sessions int
	// Many is how many endpoints are started, told one message and stopped in one Env.
	Many int
	// ManyTime bounds each of these three, and ManyBytes the memory of all endpoints. What is over is given up, and the result says so.
	ManyTime  time.Duration
	ManyBytes int64
	// Callers is how many goroutines ask at a time where throughput is measured.
	Callers int
	// Asks is how many asks one measurement of throughput makes.
	Asks int
	// Messages is how many asks, or sends, are made where their allocations are counted.
	Messages int
	// Rounds is how often throughput and allocations are measured, all numbers of targets in turn. The medians count.
	Rounds int
	// Inspect, if it is not nil, is called with the name of what lives, idle, while its memory is measured; for profiles.
	Inspect func(what string)
}

// Short returns the Config of a short run, of less than a minute.
func Short() Config {
	return Config{
		Endpoints: 10_000, Sessions: 1000, Many: 100_000, ManyTime: 20 * time.Second, ManyBytes: 1 << 30,
		Callers: 64, Asks: 20_000, Messages: 10_000, Rounds: 3,
	}
}

// Full returns the Config of a run with a million endpoints, of a few minutes.
func Full() Config {
	c := Short()
	c.Many, c.ManyTime, c.ManyBytes = 1_000_000, time.Minute, 8<<30
	c.Asks, c.Messages, c.Rounds = 40_000, 20_000, 5
	return c
}

// The goals.
const (
	endpointBytes   = 1 << 10  // of an idle endpoint
	sessionBytes    = 16 << 10 // of an idle session, beside a gRPC connection with one stream
	sessionRoutines = 4        // the same in goroutines
	spread          = 0.8      // throughput of asks of all endpoints, by that of one
	unary           = 1        // throughput of asks over some sessions, by that of gRPC's unary calls over as many connections
	growth          = 0.5      // allocations that a message may have more where there are many targets
)

func (c Config) check() error {
	least := min(c.Endpoints, c.Sessions, c.Many, c.Callers, c.Asks, c.Messages, c.Rounds, int(min(c.ManyTime, math.MaxInt32)), int(min(c.ManyBytes, math.MaxInt32)))
	if least < 1 {
		return fmt.Errorf("scale: want everything above 0: %+v", c)
	}
	return nil
}

// inspect calls Inspect.
func (c Config) inspect(what string) {
	if c.Inspect != nil {
		c.Inspect(what)
	}
}

// Run measures everything, and ends by itself. It fails if a message is lost or a reply is wrong; a goal that is missed is a result.
// Nothing else should run in the process meanwhile.
func Run(ctx context.Context, c Config) (Result, error) {
	if err := c.check(); err != nil {
		return Result{}, err
	}
	var r Result
	for _, part := range []func(context.Context, Config, *Result) error{idleEndpoints, manyEndpoints, spreadOverEndpoints, sessions} {
		if err := part(ctx, c, &r); err != nil {
			return Result{}, fmt.Errorf("scale: %w", err)
		}
	}
	return r, nil
}

// Print runs everything and writes the lines of the result to w.
func Print(ctx context.Context, c Config, w io.Writer) error {
	r, err := Run(ctx, c)
	for _, l := range r.Lines {
		if _, e := fmt.Fprintln(w, l); e != nil {
			return errors.Join(err, e)
		}
	}
	return err
}

// powers returns 1, 10 … and most, which is the last.
func powers(most int) []int {
	var all []int
	for n := 1; n < most; n *= 10 {
		all = append(all, n)
	}
	return append(all, most)
}
