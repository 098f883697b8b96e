package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// result is that of one measurement.
type result = testing.BenchmarkResult

// results are those of each benchmark, by name, one a round.
type results map[string][]result

// cpuMetric is the unit of the processor time in results.
const cpuMetric = "cpu-ns/op"

// closeTimeout is how long what was measured may take to close.
const closeTimeout = time.Minute

// work does n operations over a pair.
type work func(ctx context.Context, p *peer.Pair, n int, messages *workload.Messages) error

// place is where the ends of a pair are.
type place struct {
	tls bool
	two bool // the server is in a process of its own
}

var (
	here      = place{}
	encrypted = place{tls: true}
	apart     = place{two: true}
)

// benchmark is what is measured, under the name that its line of output has, without "Benchmark".
type benchmark struct {
	name   string
	system peer.System
	in     place
	bytes  int // the size of a payload
	work   work
}

// asks has a number of callers ask.
func asks(callers int) work {
	return func(ctx context.Context, p *peer.Pair, n int, messages *workload.Messages) error {
		return p.Ask(ctx, callers, n, messages)
	}
}

// pipelined has one goroutine ask without waiting for each reply.
func pipelined(ctx context.Context, p *peer.Pair, n int, messages *workload.Messages) error {
	return p.Pipeline(ctx, n, messages)
}

// sends has one goroutine send one way.
func sends(ctx context.Context, p *peer.Pair, n int, messages *workload.Messages) error {
	return p.Send(ctx, n, messages)
}

// measurement is a benchmark with what it is measured on. That is opened for one measurement, so that whatever else is measured does not lie in the
// same heap: how often the garbage collector runs depends on it.
type measurement struct {
	benchmark
	pair     *peer.Pair
	messages *workload.Messages
}

// open opens both ends.
func (b benchmark) open(ctx context.Context) (*measurement, error) {
	o := peer.Options{TLS: b.in.tls}
	if b.in.tls {
		var err error
		if o.Certificate, err = peer.NewCertificate(); err != nil {
			return nil, err
		}
	}
	opener := peer.Open
	if b.in.two {
		opener = peer.OpenRemote
	}
	pair, err := opener(ctx, b.system, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return &measurement{b, pair, workload.NewMessages(b.bytes)}, nil
}

// close reports what was lost or left over, also when ctx has ended.
func (m *measurement) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := m.pair.Close(ctx); err != nil {
		return fmt.Errorf("%s: closing: %w", m.name, err)
	}
	return nil
}

// do does n operations.
func (m *measurement) do(ctx context.Context, n int) error {
	return m.work(ctx, m.pair, n, m.messages)
}

// measure runs b as a standard benchmark, and adds the processor time of an operation: of both ends together, in one process or in two, and unlike the
// elapsed time hardly influenced by other programs on the machine.
func (b benchmark) measure(ctx context.Context) (result, error) {
	m, err := b.open(ctx)
	if err != nil {
		return result{}, err
	}
	var r result
	// What is opened at the first call, such as a connection for each caller, is not part of it.
	failed := m.do(ctx, 1)
	if failed == nil {
		r = testing.Benchmark(func(tb *testing.B) { failed = m.iterate(ctx, tb) })
	}
	if failed != nil {
		failed = fmt.Errorf("%s: %w", b.name, failed)
	}
	return r, errors.Join(failed, m.close(ctx))
}

// iterate is the body of the benchmark.
func (m *measurement) iterate(ctx context.Context, tb *testing.B) error {
	tb.ReportAllocs()
	if err := m.timed(ctx, tb); err != nil {
		tb.Error(err)
		return err
	}
	return nil
}

// timed does the operations, and leaves out what it takes to ask for the processor time.
func (m *measurement) timed(ctx context.Context, tb *testing.B) error {
	before, err := m.pair.ProcessorTime(ctx)
	if err != nil {
		return err
	}
	tb.ResetTimer()
	err = m.do(ctx, tb.N)
	tb.StopTimer()
	if err != nil {
		return err
	}
	after, err := m.pair.ProcessorTime(ctx)
	if err != nil {
		return err
	}
	tb.ReportMetric(float64((after-before).Nanoseconds())/float64(tb.N), cpuMetric)
	return nil
}
