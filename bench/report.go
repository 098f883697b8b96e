package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/parley-rpc/parley/bench/internal/fairness"
	"github.com/parley-rpc/parley/bench/internal/report"
	"github.com/parley-rpc/parley/bench/internal/scale"
)

// effort is how much is measured for a report.
type effort struct {
	command  string // which makes it
	rounds   int
	compared time.Duration // least duration of a measurement of the comparison
	swept    time.Duration // least duration of a measurement of a curve
	offered  time.Duration // for which a load is offered
	warmup   time.Duration // of a load
	fairness fairness.Config
	scale    scale.Config
	sessions []int // numbers of sessions whose memory is measured
}

// The efforts. The full one takes about a quarter of an hour, and the quick one less than two minutes.
var (
	fullEffort = effort{
		command: "make bench-report",
		rounds:  5, compared: 800 * time.Millisecond, swept: 250 * time.Millisecond,
		offered: 600 * time.Millisecond, warmup: 200 * time.Millisecond,
		fairness: fairness.Short(), scale: scale.Full(), sessions: []int{10, 30, 100, 300, 1000},
	}
	quickEffort = effort{
		command: "go -C bench run . -report ../docs -quick",
		rounds:  1, compared: 100 * time.Millisecond, swept: 50 * time.Millisecond,
		offered: 300 * time.Millisecond, warmup: 100 * time.Millisecond,
		fairness: quickFairness(), scale: quickScale(), sessions: []int{10, 30, 100},
	}
)

// part is one of the measurements of a report. It may use what those before it have put into the data.
type part struct {
	name    string
	measure func(ctx context.Context, e effort, p *progress, d *report.Data) error
}

// parts returns all of them, in order.
func parts() []part {
	return []part{
		{"comparison", reportComparison},
		{"throughput", reportThroughput},
		{"latency", reportLatency},
		{"cost", reportCost},
		{"fairness", reportFairness},
		{"scale", reportScale},
		{"memory", reportMemory},
	}
}

// modules are those whose versions the report tells.
var modules = []string{
	"github.com/parley-rpc/parley",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
	"storj.io/drpc",
	"github.com/anthdm/hollywood",
	"github.com/asynkron/protoactor-go",
	"github.com/nats-io/nats-server/v2",
	"github.com/nats-io/nats.go",
}

// described are the systems of the report, Parley first.
var described = []report.System{
	{Name: parley.Name(), Configuration: "two Envs, one session over one gRPC stream; its defaults, to which HTTP/2 windows of 8 and 16 MiB belong"},
	{Name: "grpc-unary", Configuration: "grpc-go, one connection, a unary call for each request; its defaults, to which windows of 64 KiB that adapt belong"},
	{Name: "grpc-stream", Configuration: "grpc-go, one connection, a bidirectional stream for each caller with one request at a time; sends on one stream; its defaults"},
	{Name: "drpc", Configuration: "a connection for each caller, as one carries one call at a time; sends on a stream that is flushed when its buffer, of 4 KiB by default, is full"},
	{Name: "hollywood", Configuration: "two engines with remotes; no limit of the bytes of a batch; the sender is paced, as queues have no bound"},
	{Name: "protoactor", Configuration: "two actor systems with remotes, over gRPC; no limit of what gRPC receives; the sender is paced, as queues have no bound"},
	{Name: "nats", Configuration: "its server beside the responder, and both ends connected to it, so that a message crosses loopback twice; no limits of slow consumers, " +
		"but the sender is paced"},
}

// writeReport measures, or takes what was measured before, and writes the report and its data. It says on out how far it is.
func writeReport(ctx context.Context, s settings, out io.Writer) error {
	path := report.DataFile(s.report)
	if s.redraw {
		d, err := report.Open(path)
		if err != nil {
			return err
		}
		return report.Write(d, s.report)
	}
	e := fullEffort
	if s.quick {
		e = quickEffort
	}
	p := &progress{out: out, now: time.Now}
	d, err := measureReport(ctx, e, parts(), p)
	if err != nil {
		return err
	}
	if s.quick {
		d.Caveats = append(d.Caveats, "**This was a quick run**, which shows what the report looks like. Its figures say nothing.")
	}
	// What took so long is safe before anything is drawn.
	if err := report.Save(d, path); err != nil {
		return err
	}
	if err := report.Write(d, s.report); err != nil {
		return err
	}
	p.end(s.report)
	return nil
}

// measureReport measures the parts.
func measureReport(ctx context.Context, e effort, parts []part, p *progress) (report.Data, error) {
	machine, err := report.DescribeMachine(modules...)
	if err != nil {
		return report.Data{}, err
	}
	d := report.Data{
		Run:     report.Run{Date: time.Now().UTC().Format(time.DateOnly), Command: e.command, Rounds: e.rounds},
		Machine: machine,
		Systems: described,
		Notes:   map[report.Section]string{},
	}
	for _, part := range parts {
		if err := part.measure(ctx, e, p.part(part.name), &d); err != nil {
			return report.Data{}, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return d, nil
}
