// Package load measures latency under a given load: operations are due by a schedule that does not wait for the system under test
// (an open loop), and the latency of each is counted from when it was due.
//
// A caller that waits for a reply before its next call leaves out, while the system stalls, all the calls that it would have made: the
// tail of what it measures is too good ("coordinated omission"). Here those calls are due nevertheless, and their latency contains the
// time for which nobody could start them.
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"
)

// Call does the i-th operation of a schedule, which begins at 0 and includes those of the warm-up. It is called concurrently. It must
// return soon after its context has ended.
type Call func(ctx context.Context, i int) error

// Config is a load.
type Config struct {
	// Rate is how many operations are due in a second. It must be above 0.
	Rate float64
	// Duration is the time in which the operations that are measured are due. It must be above 0.
	Duration time.Duration
	// Warmup is a time before Duration, in which operations are due and made but not measured. The default is none.
	Warmup time.Duration
	// Workers is the most operations that are outstanding at a time. What is due meanwhile waits. The default is 1024.
	Workers int
	// Grace is the time after the last operation was due in which those still waiting are started and those outstanding may end.
	// The default is 1 s.
	Grace time.Duration
	// Tick is the least time between two wakes of the pacer, each of which starts all that is due. It bounds what pacing adds to the
	// latency of a system that is idle, on average half of it, and what pacing costs: while nothing else keeps the process awake, a wake
	// takes some 80 µs of processor time. The default is 500 µs.
	Tick time.Duration
	// Poisson makes the operations due at random, independent of each other, as of many users; else they are due in equal intervals.
	Poisson bool
	// Seed is that of the random schedule. The same seed gives the same schedule.
	Seed uint64
}

// withDefaults returns c with its defaults, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	switch {
	case !(c.Rate > 0) || math.IsInf(c.Rate, 0):
		return c, fmt.Errorf("load: want a rate above 0, got %g", c.Rate)
	case c.Duration <= 0:
		return c, fmt.Errorf("load: want a duration above 0, got %v", c.Duration)
	case c.Warmup < 0 || c.Workers < 0 || c.Grace < 0 || c.Tick < 0:
		return c, fmt.Errorf("load: want warm-up, workers, grace and tick not below 0: %+v", c)
	}
	if c.Workers == 0 {
		c.Workers = 1024
	}
	if c.Grace == 0 {
		c.Grace = time.Second
	}
	if c.Tick == 0 {
		c.Tick = 500 * time.Microsecond
	}
	return c, nil
}

// Result is what was measured. It leaves out the warm-up.
type Result struct {
	// Due is how many operations were due: those that succeeded, and the three numbers below.
	Due int
	// Failed is how many returned an error of their own, the first of which is Err. Where there are any, the latencies say little.
	Failed int
	Err    error
	// NotStarted is how many were never started, because as many as allowed were outstanding until the end of the grace.
	NotStarted int
	// Unfinished is how many were outstanding at the end of the grace, and failed when their context was cancelled.
	Unfinished int
	// Offered is the rate of the schedule, Due in Duration; it differs from that of the Config by chance and rounding.
	Offered float64
	// Achieved is the rate of the operations that succeeded within Duration, whenever they had been due. If it is below Offered, the
	// system could not follow, and its latency is that of a queue that grows.
	Achieved float64
	// Latency has the time in nanoseconds from when each operation was due until it ended, also for those that failed. Where it did not
	// end, it is the time until the end of the grace: less than the truth. Its count is Due.
	Latency *hdrhistogram.Histogram
	// Start has the part of it, in nanoseconds, that had passed when the operation was started: what the bound of outstanding operations
	// and the pacer's own lateness contribute.
	Start *hdrhistogram.Histogram
}

// errGrace is why calls are cancelled at the end of the grace.
var errGrace = errors.New("load: the operation was outstanding at the end of the grace")

// Run makes calls as c says, and returns when all of them have returned: at the end of the schedule, or at the latest at that of the
// grace. It fails if ctx ends before, or c is invalid.
func Run(ctx context.Context, c Config, call Call) (*Result, error) {
	wait, release, err := newWaiter()
	if err != nil {
		return nil, err
	}
	r, err := run(ctx, c, wait, call)
	return r, errors.Join(err, release())
}

// waiter waits until a time. It returns early if the context ends.
type waiter func(ctx context.Context, until time.Time)

func run(ctx context.Context, c Config, wait waiter, call Call) (*Result, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPool(running, c, call)
	p.pace(wait)

	idle := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		p.workers.Wait()
		close(idle)
	})
	grace := time.NewTimer(c.Grace)
	defer grace.Stop()
	select {
	case <-idle:
	case <-grace.C:
	case <-ctx.Done():
	}
	p.end()
	cancel(errGrace)
	<-idle
	if ctx.Err() != nil {
		return nil, fmt.Errorf("load: stopped before the end: %w", context.Cause(ctx))
	}
	return p.result(), nil
}
