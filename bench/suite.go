package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// workload does n operations.
type workload func(ctx context.Context, n int) error

// benchmark is a workload under the name that its line of output has, without "Benchmark".
type benchmark struct {
	name string
	run  workload
}

// suite is all that is measured, with what it is measured on.
type suite struct {
	parley *parleyPair
	grpc   *grpcPair
	// benchmarks are in the order of a round: what is compared is near each other.
	benchmarks []benchmark
}

func openSuite(ctx context.Context) (*suite, error) {
	p, err := openParley(ctx)
	if err != nil {
		return nil, err
	}
	g, err := openGRPC()
	if err != nil {
		return nil, errors.Join(err, p.shutdown(ctx))
	}
	return &suite{parley: p, grpc: g, benchmarks: []benchmark{
		{"Ask1/parley", p.ask(1)},
		{"Ask1/grpc-unary", g.unary(1)},
		{"Ask1/grpc-stream-pingpong", g.pingPong},
		{"Ask64/parley", p.ask(64)},
		{"Ask64/grpc-unary", g.unary(64)},
		{"Stub64/parley", p.stubCalls(64)},
		{"AskPipe/parley", p.pipeline},
		{"Ask512/parley", p.ask(512)},
		{"Ask512/grpc-unary", g.unary(512)},
		{"Send/parley", p.send},
		{"Send/grpc-stream", g.send},
	}}, nil
}

// close reports what was lost or left over.
func (s *suite) close(ctx context.Context) error {
	return errors.Join(s.parley.close(ctx), s.grpc.close())
}

// measure runs b as a standard benchmark, and adds the processor time of an operation: of both ends together, and unlike the
// elapsed time hardly influenced by other programs on the machine.
func (b benchmark) measure(ctx context.Context) (testing.BenchmarkResult, error) {
	var failed error
	r := testing.Benchmark(func(tb *testing.B) { failed = b.iterate(ctx, tb) })
	if failed != nil {
		return r, fmt.Errorf("%s: %w", b.name, failed)
	}
	return r, nil
}

// iterate is the body of the benchmark.
func (b benchmark) iterate(ctx context.Context, tb *testing.B) error {
	tb.ReportAllocs()
	before := processorTime()
	if err := b.run(ctx, tb.N); err != nil {
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
