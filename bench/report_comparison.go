package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-rpc/parley/bench/internal/report"
)

// reportRounds is rounds with progress.
func reportRounds(ctx context.Context, list []benchmark, e effort, each time.Duration, p *progress) (results, error) {
	if err := setTime(each); err != nil {
		return nil, err
	}
	p.total = len(list) * e.rounds
	return rounds(ctx, list, e.rounds, func(b benchmark, round int, _ result) {
		p.step(fmt.Sprintf("%s, round %d of %d", b.name, round, e.rounds))
	})
}

// reportComparison measures what compare does.
func reportComparison(ctx context.Context, e effort, p *progress, d *report.Data) error {
	list := benchmarks()
	all, err := reportRounds(ctx, list, e, e.compared, p)
	if err != nil {
		return err
	}
	d.Notes[report.SectionRatios] = "They are of throughput: more than 1 means that Parley is the faster one. What is compared: `ask1`, `ask64` and `ask512` are requests of so many " +
		"callers, each of which waits for its reply, with 64 bytes; `conc-ask64` asks an endpoint whose handlers run concurrently; `stub64` calls by the " +
		"stub of gRPC, over a Parley connection; `askpipe` has one goroutine that does not wait for each reply, beside gRPC with 64 callers; `ask1MiB` has one caller; `send` is one way. " +
		"With `tls`, both encrypt; with `two`, the server is in a process of its own."
	d.Ratios = reportedRatios(all)
	d.Notes[report.SectionAllocations] = "The user's own are 6 of an ask, a request and a reply with their texts at both ends, and 2 of a send. `ConcAsk64`, `Stub64` and `AskPipe` are as in the ratios."
	d.Allocations = reportedAllocations(list, all)
	d.Other = append(d.Other,
		ownAllocations(all),
		speeds("TLS", "Asks of 64 callers with TLS 1.3, beside those without.", all,
			"Ask64/parley", "TLSAsk64/parley", "Ask64/grpc-unary", "TLSAsk64/grpc-unary"),
		speeds("Two processes", "The server is in a process of its own, beside both ends in one. The processor time is that of both processes.",
			all, "Ask64/parley", "Ask64x2/parley", "Ask64/grpc-unary", "Ask64x2/grpc-unary",
			"Send/parley", "Sendx2/parley", "Send/grpc-stream", "Sendx2/grpc-stream"),
	)
	return nil
}

func reportedRatios(all results) []report.Ratio {
	var reported []report.Ratio
	for _, r := range ratios() {
		each := r.each(all)
		if len(each) == 0 {
			continue
		}
		v := report.Ratio{Name: r.name, Value: median(each), Goal: r.goal}
		if len(each) > 1 {
			v.Low, v.High = report.Known(slices.Min(each)), report.Known(slices.Max(each))
		}
		reported = append(reported, v)
	}
	return reported
}

// reportedName returns the name of the system in the report, where Parley's ways to ask are one.
func (b benchmark) reportedName() string {
	name := b.system.Name()
	if strings.HasPrefix(name, parley.Name()) {
		return parley.Name()
	}
	return name
}

// reportedAllocations leaves out what is not of both ends, and what differs only by encryption.
func reportedAllocations(list []benchmark, all results) []report.Allocation {
	var reported []report.Allocation
	for _, b := range list {
		operation, _, _ := strings.Cut(b.name, "/")
		count, ok := medianOf(all[b.name], func(r result) float64 { return float64(r.MemAllocs) / float64(r.N) })
		if !ok || b.in != here {
			continue
		}
		bytes, _ := medianOf(all[b.name], func(r result) float64 { return float64(r.MemBytes) / float64(r.N) })
		reported = append(reported, report.Allocation{Operation: operation, System: b.reportedName(), Count: count, Bytes: report.Known(bytes)})
	}
	return reported
}

// ownAllocations are the budgets.
func ownAllocations(all results) report.Table {
	t := report.Table{
		Title: "Parley's own allocations",
		Text:  "Allocations of an operation at both ends together, without those of the user. Less than 1 means that several operations share one.",
		Columns: []report.Column{
			{Name: "operation", Unit: report.UnitText}, {Name: "allocations", Unit: report.UnitRatio}, {Name: "at most", Unit: report.UnitCount},
		},
	}
	for _, b := range budgets {
		v, ok := b.value(all)
		if !ok {
			continue
		}
		most := report.Text("no goal")
		if b.goal > 0 {
			most = report.Number(b.goal)
		}
		// Where the heap of the other goroutines is counted, too, it may be a little below 0.
		t.Rows = append(t.Rows, []report.Cell{report.Text(b.name), report.Number(max(v, 0)), most})
	}
	return t
}

// speeds is a table of some benchmarks.
func speeds(title, text string, all results, names ...string) report.Table {
	t := report.Table{Title: title, Text: text, Columns: []report.Column{
		{Name: "operation", Unit: report.UnitText}, {Name: "system", Unit: report.UnitText}, {Name: "a second", Unit: report.UnitCount},
		{Name: "elapsed", Unit: report.UnitTime}, {Name: "processor", Unit: report.UnitTime},
	}}
	for _, name := range names {
		wall, ok := medianOf(all[name], nanoseconds)
		if !ok {
			continue
		}
		cpu, _ := medianOf(all[name], processorNanoseconds)
		operation, system, _ := strings.Cut(name, "/")
		t.Rows = append(t.Rows, []report.Cell{
			report.Text(operation), report.Text(system), report.Number(float64(time.Second) / wall), report.Number(wall), report.Number(cpu),
		})
	}
	return t
}

// processorNanoseconds returns the processor time of one operation, of both ends.
func processorNanoseconds(r result) float64 { return r.Extra[cpuMetric] }
