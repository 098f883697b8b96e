// Command bench measures Parley beside stock gRPC and others: in one process, on the same work, over loopback TCP, with the defaults
// of each. It prints a line of standard benchmark output for each measurement, and at the end a line for each ratio of throughput, and for each budget of
// allocations beyond the user's own, with the goal if there is one:
//
//	ratio ask64/grpc-unary 5.66 10
//	allocs send 0.98 1
//
// Single measurements swing by a quarter on a busy machine. Therefore they are interleaved, round by round, and a ratio is the median of
// those of the rounds. The benchmarks also run as usual, by "go test -bench .".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/peer"
)

// settings are the command line.
type settings struct {
	rounds     int
	time       time.Duration
	only       *regexp.Regexp
	cpuProfile string
	memProfile string
	check      bool
}

func main() {
	err := start(context.Background(), os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start does what the command line says.
func start(ctx context.Context, args []string) error {
	if name, ok := peer.ChildName(args); ok {
		return peer.Child(ctx, name, systems(), os.Stdin, os.Stdout)
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	return run(ctx, s, os.Stdout)
}

func parse(args []string) (settings, error) {
	s := settings{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "number of rounds")
	f.DurationVar(&s.time, "time", 800*time.Millisecond, "least duration of one measurement")
	f.Func("only", "regular expression of the benchmarks to run, such as Ask64/parley; all by default", func(v string) (err error) {
		s.only, err = regexp.Compile(v)
		return err
	})
	f.StringVar(&s.cpuProfile, "cpuprofile", "", "file for a CPU profile of all measurements")
	f.StringVar(&s.memProfile, "memprofile", "", "file for a profile of all allocations")
	f.BoolVar(&s.check, "check", false, "fail if a goal is missed")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.rounds < 1 || s.time <= 0 || f.NArg() > 0 {
		return s, fmt.Errorf("want -rounds and -time above 0 and no arguments: %q", args)
	}
	return s, nil
}

// run measures and prints. It fails if a benchmark does, or as -check says.
func run(ctx context.Context, s settings, out io.Writer) error {
	testing.Init()
	if err := flag.Set("test.benchtime", s.time.String()); err != nil {
		return err
	}
	stop, err := profileCPU(s.cpuProfile)
	if err != nil {
		return err
	}
	all, err := rounds(ctx, s, out)
	if err := errors.Join(err, stop(), profileAllocations(s.memProfile)); err != nil {
		return err
	}
	return report(all, s.check, out)
}

// rounds runs each benchmark once a round.
func rounds(ctx context.Context, s settings, out io.Writer) (results, error) {
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	all := results{}
	for range s.rounds {
		for _, b := range benchmarks() {
			if !s.only.MatchString(b.name) {
				continue
			}
			r, err := b.measure(ctx)
			if err != nil {
				return nil, err
			}
			all[b.name] = append(all[b.name], r)
			fmt.Fprintf(out, "%-36s%s\t%s\n", fmt.Sprintf("Benchmark%s-%d", b.name, runtime.GOMAXPROCS(0)), r, r.MemString())
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no benchmark matches %q", s.only)
	}
	return all, nil
}

// goal is something that results are held against: a ratio, or a budget.
type goal interface {
	value(of results) (v float64, ok bool)
	line(v float64) string
	check(v float64) error
}

// report prints what is compared and was run.
func report(all results, check bool, out io.Writer) error {
	var goals []goal
	for _, r := range ratios() {
		goals = append(goals, r)
	}
	for _, b := range budgets {
		goals = append(goals, b)
	}
	var missed []error
	for _, g := range goals {
		v, ok := g.value(all)
		if !ok {
			continue
		}
		fmt.Fprintln(out, g.line(v))
		if check {
			missed = append(missed, g.check(v))
		}
	}
	return errors.Join(missed...)
}
