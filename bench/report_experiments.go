package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-rpc/parley/bench/internal/fairness"
	"github.com/parley-rpc/parley/bench/internal/report"
	"github.com/parley-rpc/parley/bench/internal/scale"
)

// quickFairness and quickScale show what the report looks like.
func quickFairness() fairness.Config {
	c := fairness.Short()
	c.Rounds, c.Phase, c.BulkBytes = 1, 200*time.Millisecond, 8<<20
	return c
}

func quickScale() scale.Config {
	c := scale.Short()
	c.Endpoints, c.Sessions, c.Many, c.Asks, c.Messages, c.Rounds = 1000, 100, 10_000, 2000, 1000, 1
	return c
}

// reportFairness measures small asks beside loads on the same session.
func reportFairness(ctx context.Context, e effort, p *progress, d *report.Data) error {
	r, err := fairness.Run(ctx, e.fairness)
	if err != nil {
		return err
	}
	p.step("done")
	t := report.Table{
		Title: "Asks of 1 KiB beside a load",
		Text: "`ratio` is the 99th percentile by that of the same asks without the load; its goal is 5 for Parley. The loads go to another endpoint over the same session, or, " +
			"`elsewhere`, over a session of its own: so much comes of sharing processors, and not a stream. `sequential` asks follow each other, those of the open loop come at a fixed rate and count from when they were due.",
		Columns: []report.Column{
			{Name: "asks", Unit: report.UnitText}, {Name: "p50", Unit: report.UnitTime}, {Name: "p99", Unit: report.UnitTime},
			{Name: "ratio", Unit: report.UnitRatio}, {Name: "goal", Unit: report.UnitRatio}, {Name: "load, bytes a second", Unit: report.UnitBytes},
		},
	}
	for _, l := range r.Lines {
		row := []report.Cell{report.Text(l.Name), report.Text("stuck"), report.Text("stuck"), report.Text("stuck"), {}, {}}
		if !l.Stuck {
			row[1], row[2], row[3] = report.Number(float64(l.P50)), report.Number(float64(l.P99)), report.Number(l.Ratio)
		}
		if l.Goal != 0 {
			row[4] = report.Number(l.Goal)
		}
		if l.BytesPerSecond != 0 {
			row[5] = report.Number(l.BytesPerSecond)
		}
		t.Rows = append(t.Rows, row)
	}
	d.Fairness = append(d.Fairness, t)
	return nil
}

// reportScale measures growing numbers of endpoints and sessions.
func reportScale(ctx context.Context, e effort, p *progress, d *report.Data) error {
	r, err := scale.Run(ctx, e.scale)
	if err != nil {
		return err
	}
	p.step("done")
	t := report.Table{
		Title:   "Endpoints and sessions in number",
		Text:    "Both ends are in one process. `more` is beyond a bare gRPC connection with one open stream, or beyond one endpoint or session. `many` are a million endpoints in one Env, each started, told one message, and stopped.",
		Columns: []report.Column{{Name: "figure", Unit: report.UnitText}, {Name: "value", Unit: report.UnitText}, {Name: "unit", Unit: report.UnitText}, {Name: "goal", Unit: report.UnitText}, {Name: "", Unit: report.UnitText}},
	}
	for _, l := range r.Lines {
		var n int
		switch {
		case scanned(l.Name, "asks/endpoints-%d", &n):
			d.Fanout = append(d.Fanout, report.Fanout{System: parley.Name(), Endpoints: n, Sessions: 1, Wall: l.Value})
		case scanned(l.Name, "asks/sessions-%d", &n):
			if n > 1 {
				d.Fanout = append(d.Fanout, report.Fanout{System: parley.Name(), Endpoints: 1, Sessions: n, Wall: l.Value})
			}
		case scanned(l.Name, "asks/grpc-unary-%d", &n):
			d.Fanout = append(d.Fanout, report.Fanout{System: grpcUnary.Name(), Endpoints: 1, Sessions: n, Wall: l.Value})
		}
		words := strings.Fields(strings.TrimPrefix(l.String(), "scale "+l.Name+" "))
		row := []report.Cell{report.Text(l.Name), report.Text(words[0]), report.Text(words[1]), {}, {}}
		if l.HasGoal {
			row[3], row[4] = report.Text(strings.Join(words[3:], " ")), report.Text("met")
			if l.Missed() {
				row[4].Text = "**missed**"
			}
		}
		t.Rows = append(t.Rows, row)
	}
	d.Scale = append(d.Scale, t)
	return nil
}

// scanned reports whether name is just the format with a number, which it sets n to.
func scanned(name, format string, n *int) bool {
	_, err := fmt.Sscanf(name, format, n)
	return err == nil && name == fmt.Sprintf(format, *n)
}

// reportMemory measures idle sessions.
func reportMemory(ctx context.Context, e effort, p *progress, d *report.Data) error {
	p.total = len(e.sessions)
	for _, n := range e.sessions {
		session, stream, err := scale.Idle(ctx, n)
		if err != nil {
			return err
		}
		for _, m := range []report.Memory{
			{System: parley.Name(), Sessions: n, BytesPerSession: session},
			{System: grpcStream.Name(), Sessions: n, BytesPerSession: stream},
		} {
			if m.BytesPerSession > 0 { // of few, what the program has freed meanwhile may be more
				d.Memory = append(d.Memory, m)
			}
		}
		p.step(fmt.Sprintf("%d sessions", n))
	}
	d.Notes[report.SectionMemory] = "Of both ends together, idle, with the Env that has dialled; beside a gRPC connection with one open stream."
	return nil
}
