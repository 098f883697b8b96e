package fairness

import (
	"fmt"
	"math"
	"time"

	"github.com/parley-rpc/parley/bench/internal/rounds"
)

// The ways in which asks are made.
const (
	sequential = "sequential" // by one caller, each after the reply to the one before
	openLoop   = "open-loop"  // at a fixed rate, each counted from when it was due
)

// Result is what Run has measured.
type Result struct {
	// Lines are in the order of a round, those of one load beside each other.
	Lines []Line
}

// Line is the latency of asks under one load: medians of the rounds.
type Line struct {
	// Name is SYSTEM[-LOAD]/KIND.
	Name string
	// P50, P99 and Max are percentiles of one round. They are 0 if Stuck.
	P50, P99, Max time.Duration
	// Ratio is P99 by that of the same asks without a load in the same round. It is 0 if Stuck.
	Ratio float64
	// Goal is what Ratio should not exceed; 0 if the line is for information.
	Goal float64
	// Stuck says that asks were not answered while the load lasted, in most rounds.
	Stuck bool
	// BytesPerSecond is how much the load has moved meanwhile, the time included in which it was taken away.
	BytesPerSecond float64
}

// Missed reports whether the line has a goal and misses it.
func (l Line) Missed() bool { return l.Goal != 0 && (l.Stuck || l.Ratio > l.Goal) }

// String returns the line that is printed: times, the ratio, the goal if there is one, and the load in MiB a second.
func (l Line) String() string {
	text := fmt.Sprintf("fairness %s stuck", l.Name)
	if !l.Stuck {
		text = fmt.Sprintf("fairness %s p50 %s p99 %s max %s ratio %.2f", l.Name, short(l.P50), short(l.P99), short(l.Max), l.Ratio)
	}
	if l.Goal != 0 {
		text += fmt.Sprintf(" goal %g", l.Goal)
	}
	if l.BytesPerSecond >= 1<<20 {
		text += fmt.Sprintf(" load %.0f MiB/s", l.BytesPerSecond/(1<<20))
	}
	return text
}

func short(d time.Duration) time.Duration { return d.Round(100 * time.Nanosecond) }

// sample is what one round has measured.
type sample struct {
	p50, p99, max time.Duration
	stuck         bool
}

// summarise makes lines of the samples, which are by the names of lines, one a round. The rates are by the names of experiments.
func summarise(all []experiment, samples map[string][]sample, rates map[string][]float64) Result {
	var r Result
	for _, e := range all {
		for _, kind := range []string{sequential, openLoop} {
			l := line(samples[e.name+"/"+kind], samples[e.alone+"/"+kind])
			l.Name, l.Goal, l.BytesPerSecond = e.name+"/"+kind, e.goal, rounds.Median(rates[e.name])
			r.Lines = append(r.Lines, l)
		}
	}
	return r
}

// line puts the rounds together. One that is stuck counts as one that took for ever; one that is stuck without a load tells nothing.
func line(loaded, alone []sample) Line {
	var p50, p99, most []time.Duration
	var ratios []float64
	for i, s := range loaded {
		a := alone[i]
		if a.stuck || a.p99 == 0 {
			continue
		}
		if s.stuck {
			s.p50, s.p99, s.max = math.MaxInt64, math.MaxInt64, math.MaxInt64
			ratios = append(ratios, math.Inf(1))
		} else {
			ratios = append(ratios, float64(s.p99)/float64(a.p99))
		}
		p50, p99, most = append(p50, s.p50), append(p99, s.p99), append(most, s.max)
	}
	if len(ratios) == 0 || math.IsInf(rounds.Median(ratios), 1) {
		return Line{Stuck: true}
	}
	return Line{P50: rounds.Median(p50), P99: rounds.Median(p99), Max: rounds.Median(most), Ratio: rounds.Median(ratios)}
}
