package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// closeTimeout is how long what was measured may take to close.
const closeTimeout = time.Minute

// work does n operations over a pair.
type work func(ctx context.Context, p *peer.Pair, n int, messages *workload.Messages) error

// benchmark is what is measured, under the name that its line of output has, without "Benchmark".
type benchmark struct {
	name   string
	system peer.System
	tls    bool
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

// open opens both ends in this process.
func (b benchmark) open(ctx context.Context) (*measurement, error) {
	o := peer.Options{TLS: b.tls}
	if b.tls {
		var err error
		if o.Certificate, err = peer.NewCertificate(); err != nil {
			return nil, err
		}
	}
	pair, err := peer.Open(ctx, b.system, o)
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

// measure runs b as a standard benchmark, and adds the processor time of an operation: of both ends together, and unlike the
// elapsed time hardly influenced by other programs on the machine.
func (b benchmark) measure(ctx context.Context) (testing.BenchmarkResult, error) {
	m, err := b.open(ctx)
	if err != nil {
		return testing.BenchmarkResult{}, err
	}
	var failed error
	r := testing.Benchmark(func(tb *testing.B) { failed = m.iterate(ctx, tb) })
	if failed != nil {
		failed = fmt.Errorf("%s: %w", b.name, failed)
	}
	return r, errors.Join(failed, m.close(ctx))
}

// iterate is the body of the benchmark.
func (m *measurement) iterate(ctx context.Context, tb *testing.B) error {
	tb.ReportAllocs()
	before := processorTime()
	if err := m.do(ctx, tb.N); err != nil {
		tb.Error(err)
		return err
	}
	tb.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(tb.N), "cpu-ns/op")
	return nil
}

// processorTime returns what this process has used so far, or 0 where the system does not say.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
