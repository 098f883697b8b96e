package main

import (
	"context"
	"fmt"
	"math"
	"sync"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/load"
	"github.com/parley-rpc/parley/bench/internal/report"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

const (
	// loadCallers is the most calls that are outstanding under a load. It is the most callers of the throughput, too.
	loadCallers = 512
	// leastLoad is the first load of a curve, in calls a second. Each of the next is twice as high.
	leastLoad = 1000
	// mostLoad is the last load of a curve, as a share of the system's throughput.
	mostLoad = 0.8
	// follows is the share of a load that a system achieves when it can follow; less than the whole, as those at the end are late.
	follows = 0.95
)

// loaded are the systems whose latency is measured.
var loaded = []string{parley.Name(), "grpc-unary", "drpc", "protoactor", "nats"}

// reportLatency offers each system a higher and higher load, until it cannot follow.
func reportLatency(ctx context.Context, e effort, p *progress, d *report.Data) error {
	d.Notes[report.SectionLatency] = fmt.Sprintf("Requests and replies have %d bytes, and are due at random. At most %d are outstanding. A curve ends at %g %% of what the system "+
		"achieved with callers that wait, or before the first load that it could not follow.", small, loadCallers, 100*mostLoad)
	curves := map[string][]float64{}
	p.total = 0
	for _, name := range loaded {
		curves[name] = loads(mostLoad * capacity(name, d.Throughput))
		p.total += len(curves[name]) * e.rounds
	}
	for i := 0; ; i++ {
		at := map[string]float64{}
		for _, name := range loaded {
			if i < len(curves[name]) {
				at[name] = curves[name][i]
			}
		}
		if len(at) == 0 {
			return nil
		}
		all, err := measureLoads(ctx, at, e, p)
		if err != nil {
			return err
		}
		for _, name := range loaded {
			if at[name] == 0 {
				continue
			}
			l := medianLatency(name, all[name])
			if !couldFollow(l) {
				p.total -= (len(curves[name]) - i - 1) * e.rounds
				delete(curves, name)
				continue
			}
			d.Latency = append(d.Latency, l)
		}
	}
}

// capacity returns the most that a system has achieved with any number of callers.
func capacity(system string, of []report.Throughput) float64 {
	most := 0.0
	for _, v := range of {
		if v.System == system {
			most = max(most, v.PerSecond)
		}
	}
	return most
}

// loads returns those of a curve that ends at most calls a second, which is rounded to two digits.
func loads(most float64) []float64 {
	if most < leastLoad {
		return nil
	}
	var list []float64
	// The last but one is not just below the last.
	for rate := float64(leastLoad); rate < most/1.25; rate *= 2 {
		list = append(list, rate)
	}
	unit := math.Pow10(int(math.Log10(most)) - 1)
	return append(list, math.Floor(most/unit)*unit)
}

// couldFollow reports whether a system kept up with its load.
func couldFollow(l report.Latency) bool {
	return l.Failed == 0 && l.NotStarted == 0 && l.Unfinished == 0 && l.Achieved >= follows*l.Offered
}

// measureLoads offers each system its load, round by round.
func measureLoads(ctx context.Context, at map[string]float64, e effort, p *progress) (map[string][]*load.Result, error) {
	all := map[string][]*load.Result{}
	for round := range e.rounds {
		for _, s := range measured() {
			rate, ok := at[s.Name()]
			if !ok {
				continue
			}
			// The schedule is the same for all systems.
			c := load.Config{Rate: rate, Duration: e.offered, Warmup: e.warmup, Workers: loadCallers, Poisson: true, Seed: uint64(round)}
			r, err := measureLoad(ctx, benchmark{name: s.Name(), system: s, bytes: small}, c)
			if err != nil {
				return nil, fmt.Errorf("%s at %g/s: %w", s.Name(), rate, err)
			}
			all[s.Name()] = append(all[s.Name()], r)
			p.step(fmt.Sprintf("%s, %g calls a second, round %d of %d%s", s.Name(), rate, round+1, e.rounds, trouble(r)))
		}
	}
	return all, nil
}

// trouble tells of calls that did not succeed, if there are any.
func trouble(r *load.Result) string {
	if r.Failed+r.NotStarted+r.Unfinished == 0 {
		return ""
	}
	return fmt.Sprintf(": of %d calls %d failed (%v), %d were not started, %d did not end", r.Due, r.Failed, r.Err, r.NotStarted, r.Unfinished)
}

// measureLoad offers a load to a system that is opened for that.
func measureLoad(ctx context.Context, b benchmark, c load.Config) (*load.Result, error) {
	m, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	r, failed := m.load(ctx, c)
	closed := m.close(ctx)
	if failed != nil {
		return nil, failed
	}
	if r.Unfinished+r.Failed > 0 {
		return r, nil // What was given up in the middle is missed at the end.
	}
	return r, closed
}

func (m *measurement) load(ctx context.Context, c load.Config) (*load.Result, error) {
	free := &idle{}
	for k := range c.Workers {
		call, err := m.pair.Client().Caller(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("caller %d: %w", k, err)
		}
		free.put(call)
	}
	return load.Run(ctx, c, func(ctx context.Context, i int) error {
		call := free.take()
		defer free.put(call)
		r, err := call(ctx, &sayhiv1.HiRequest{Msg: m.messages.Payload(i)})
		if err != nil {
			return err
		}
		return m.messages.CheckReply(i, r)
	})
}

// idle are the callers that have no call outstanding. As many as there are take one at a time, so that there is always one. The last to
// return is the first to be taken: a load that is low keeps few connections busy.
type idle struct {
	mu    sync.Mutex
	calls []workload.Call
}

func (f *idle) put(c workload.Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}

func (f *idle) take() workload.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.calls) - 1
	c := f.calls[last]
	f.calls = f.calls[:last]
	return c
}

// medianLatency returns the medians of the rounds, and the sums of what went wrong.
func medianLatency(system string, of []*load.Result) report.Latency {
	l := report.Latency{System: system}
	for _, r := range of {
		l.Failed += r.Failed
		l.NotStarted += r.NotStarted
		l.Unfinished += r.Unfinished
	}
	middle := func(find func(*load.Result) float64) float64 {
		var each []float64
		for _, r := range of {
			each = append(each, find(r))
		}
		return median(each)
	}
	at := func(percent float64) float64 {
		return middle(func(r *load.Result) float64 { return float64(r.Latency.ValueAtQuantile(percent)) })
	}
	l.Offered = middle(func(r *load.Result) float64 { return r.Offered })
	l.Achieved = middle(func(r *load.Result) float64 { return r.Achieved })
	l.P50, l.P90, l.P99, l.P999, l.Max = at(50), at(90), at(99), at(99.9), at(100)
	return l
}
