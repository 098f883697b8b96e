package main

import (
	"context"
	"fmt"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/report"
)

// measured returns the systems of the report, in its order.
func measured() []peer.System {
	var list []peer.System
	for _, d := range described {
		for _, s := range systems() {
			if s.Name() == d.Name {
				list = append(list, s)
			}
		}
	}
	return list
}

// reportThroughput measures asks of more and more callers.
func reportThroughput(ctx context.Context, e effort, p *progress, d *report.Data) error {
	type point struct {
		benchmark
		callers int
	}
	var points []point
	var list []benchmark
	for _, callers := range []int{1, 4, 16, 64, 256, 512} {
		for _, s := range measured() {
			b := benchmark{fmt.Sprintf("%s, %d callers", s.Name(), callers), s, here, small, asks(callers)}
			points, list = append(points, point{b, callers}), append(list, b)
		}
	}
	all, err := reportRounds(ctx, list, e, e.swept, p)
	if err != nil {
		return err
	}
	d.Notes[report.SectionThroughput] = "Requests and replies have 64 bytes."
	for _, at := range points {
		if v, ok := medianOf(all[at.name], perSecond); ok {
			d.Throughput = append(d.Throughput, report.Throughput{System: at.system.Name(), Callers: at.callers, PerSecond: v})
		}
	}
	return nil
}

// perSecond returns how many operations were done in a second.
func perSecond(r result) float64 { return 1e9 / nanoseconds(r) }

// costCallers is how many callers ask when the cost of an ask is measured.
const costCallers = 64

// reportCost measures asks and sends of larger and larger payloads.
func reportCost(ctx context.Context, e effort, p *progress, d *report.Data) error {
	type point struct {
		benchmark
		operation report.Operation
	}
	var points []point
	var list []benchmark
	for _, bytes := range []int{0, 64, 1 << 10, 64 << 10, 1 << 20} {
		for _, s := range []peer.System{parley, grpcUnary} {
			b := benchmark{fmt.Sprintf("%s, ask of %d bytes", s.Name(), bytes), s, here, bytes, asks(costCallers)}
			points, list = append(points, point{b, report.OperationAsk}), append(list, b)
		}
		for _, s := range measured() {
			if s == peer.System(grpcUnary) {
				continue // it has nothing that is one way
			}
			b := benchmark{fmt.Sprintf("%s, send of %d bytes", s.Name(), bytes), s, here, bytes, sends}
			points, list = append(points, point{b, report.OperationSend}), append(list, b)
		}
	}
	all, err := reportRounds(ctx, list, e, e.swept, p)
	if err != nil {
		return err
	}
	d.Notes[report.SectionCost] = fmt.Sprintf("Asks are those of %d callers; the reply is as large as the request. Sends are those of one goroutine, until the last has been received.", costCallers)
	for _, at := range points {
		wall, ok := medianOf(all[at.name], nanoseconds)
		if !ok {
			continue
		}
		c := report.Cost{System: at.system.Name(), Operation: at.operation, PayloadBytes: at.bytes, Wall: report.Known(wall)}
		if cpu, _ := medianOf(all[at.name], processorNanoseconds); cpu > 0 { // the system says it
			c.CPU = report.Known(cpu)
		}
		d.Cost = append(d.Cost, c)
	}
	return nil
}
