package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"testing"
	"time"
)

// settings are the command line.
type settings struct {
	rounds     int
	time       time.Duration
	only       *regexp.Regexp
	some       bool // only leaves something out
	cpuProfile string
	memProfile string
	flame      string
	check      bool

	floor  bool   // measure what limits any framework
	guard  string // the file with the bounds; empty unless they are to be checked
	report string // where the report goes; empty unless it is to be written
	quick  bool
	redraw bool
}

func parse(args []string) (settings, error) {
	s := settings{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", 5, "number of rounds")
	f.DurationVar(&s.time, "time", 800*time.Millisecond, "least duration of one measurement")
	f.Func("only", "regular expression of the benchmarks to run, such as Ask64/parley; all by default, and the experiments of fairness and scale", func(v string) (err error) {
		s.some = true
		s.only, err = regexp.Compile(v)
		return err
	})
	f.StringVar(&s.cpuProfile, "cpuprofile", "", "file for a CPU profile of all measurements")
	f.StringVar(&s.memProfile, "memprofile", "", "file for a profile of all allocations")
	f.StringVar(&s.flame, "flame", "", "file for a flame graph, SVG, of the CPU profile of all measurements; prints by stage and by owner where the time goes")
	f.BoolVar(&s.check, "check", false, "fail if a goal is missed")
	f.BoolVar(&s.floor, "floor", false, "instead, measure what limits any framework: bare TCP with the batches of Parley, the user's codec, and wake-ups")
	f.StringVar(&s.guard, "guard", "", "instead, measure shortly, and fail if a bound in this file is missed twice")
	f.StringVar(&s.report, "report", "", "instead, measure all that the report needs, for a quarter of an hour, and write benchmarks.md with its figures into this directory")
	f.BoolVar(&s.quick, "quick", false, "with -report: take two minutes, for a report that shows what it would look like")
	f.BoolVar(&s.redraw, "redraw", false, "with -report: measure nothing, and write the report anew from the data that it was written from")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.rounds < 1 || s.time <= 0 || f.NArg() > 0 {
		return s, fmt.Errorf("want -rounds and -time above 0 and no arguments: %q", args)
	}
	return s, s.conflict(f)
}

// conflict reports flags that do not go together: none is without effect.
func (s settings) conflict(f *flag.FlagSet) error {
	var allowed map[string]bool
	switch {
	case s.guard != "" && s.report != "":
		return errors.New("-guard and -report are two things")
	case s.floor && (s.guard != "" || s.report != ""):
		return errors.New("-floor and -guard or -report are two things")
	case s.floor:
		allowed = map[string]bool{"floor": true, "rounds": true, "time": true}
	case s.guard != "":
		allowed = map[string]bool{"guard": true}
	case s.report != "":
		allowed = map[string]bool{"report": true, "quick": true, "redraw": true}
	default:
		allowed = map[string]bool{"rounds": true, "time": true, "only": true, "flame": true, "cpuprofile": true, "memprofile": true, "check": true}
	}
	var wrong []error
	f.Visit(func(g *flag.Flag) {
		if !allowed[g.Name] {
			wrong = append(wrong, fmt.Errorf("-%s does not go with the others", g.Name))
		}
	})
	if s.quick && s.redraw {
		wrong = append(wrong, errors.New("-quick and -redraw are two things"))
	}
	return errors.Join(wrong...)
}

// setTime sets the least duration of what testing.Benchmark measures from now on.
func setTime(d time.Duration) error {
	testing.Init()
	if err := flag.Set("test.benchtime", d.String()); err != nil {
		return fmt.Errorf("setting the duration of measurements: %w", err)
	}
	return nil
}
