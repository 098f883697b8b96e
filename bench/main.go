// Command bench measures Parley beside stock gRPC: in one process, on the same work, over loopback TCP, with the defaults
// of both. It prints a line of standard benchmark output for each measurement, and at the end the ratios of throughput.
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
	s, err := parse(os.Args[1:])
	if err == nil {
		err = run(context.Background(), s, os.Stdout)
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	s := settings{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "number of rounds")
	f.DurationVar(&s.time, "time", time.Second, "least duration of one measurement")
	f.Func("only", "regular expression of the benchmarks to run, such as Ask64/parley; all by default", func(v string) (err error) {
		s.only, err = regexp.Compile(v)
		return err
	})
	f.StringVar(&s.cpuProfile, "cpuprofile", "", "file for a CPU profile of all measurements")
	f.StringVar(&s.memProfile, "memprofile", "", "file for a profile of all allocations")
	f.BoolVar(&s.check, "check", false, "fail if a ratio misses its goal")
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
	suite, err := openSuite(ctx)
	if err != nil {
		return err
	}
	stop, err := profileCPU(s.cpuProfile)
	if err != nil {
		return errors.Join(err, suite.close(ctx))
	}
	all, err := suite.rounds(ctx, s, out)
	if err := errors.Join(err, stop(), profileAllocations(s.memProfile), suite.close(ctx)); err != nil {
		return err
	}
	return report(all, s.check, out)
}

// rounds runs each benchmark once a round.
func (s *suite) rounds(ctx context.Context, settings settings, out io.Writer) (results, error) {
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	all := results{}
	for range settings.rounds {
		for _, b := range s.benchmarks {
			if !settings.only.MatchString(b.name) {
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
		return nil, fmt.Errorf("no benchmark matches %q", settings.only)
	}
	return all, nil
}

// report prints the ratios whose benchmarks were run.
func report(all results, check bool, out io.Writer) error {
	var missed []error
	for _, r := range ratios {
		v, ok := r.value(all)
		if !ok {
			continue
		}
		fmt.Fprintln(out, r.line(v))
		if check && v < r.goal {
			missed = append(missed, fmt.Errorf("ratio %s is %.2f, below its goal %g", r.name, v, r.goal))
		}
	}
	return errors.Join(missed...)
}
