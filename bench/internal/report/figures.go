package report

import (
	"fmt"
	"slices"
)

// figureDir is where the figures are, below benchmarks.md.
const figureDir = "benchmarks"

// The files of the figures.
const (
	fileThroughput  = "throughput.svg"
	fileLatencyP50  = "latency-p50.svg"
	fileLatencyP99  = "latency-p99.svg"
	fileLatencyP999 = "latency-p999.svg"
	fileAskCPU      = "cost-ask-cpu.svg"
	fileAskWall     = "cost-ask-wall.svg"
	fileSendCPU     = "cost-send-cpu.svg"
	fileSendWall    = "cost-send-wall.svg"
	fileMemory      = "memory.svg"
	fileEndpoints   = "endpoints.svg"
	fileSessions    = "sessions.svg"
)

// figureFiles returns all that a report can have.
func figureFiles() []string {
	return []string{
		fileThroughput, fileLatencyP50, fileLatencyP99, fileLatencyP999,
		fileAskCPU, fileAskWall, fileSendCPU, fileSendWall, fileMemory, fileEndpoints, fileSessions,
	}
}

// Figure is a picture of the report.
type Figure struct {
	File string // its name, without a directory
	SVG  []byte
}

// Figures draws those that d has results for. A number on a logarithmic axis must be above 0, except a payload.
func Figures(d Data) ([]Figure, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	var figures []Figure
	for _, c := range d.charts() {
		svg, err := c.draw()
		if err != nil {
			return nil, fmt.Errorf("report: draw %s: %w", c.file, err)
		}
		figures = append(figures, Figure{c.file, svg})
	}
	return figures, nil
}

// charts returns those that are not empty.
func (d Data) charts() []*chart {
	all := []*chart{
		d.throughputChart(),
		d.latencyChart(fileLatencyP50, "Median latency", func(l Latency) float64 { return l.P50 }),
		d.latencyChart(fileLatencyP99, "99th percentile of latency", func(l Latency) float64 { return l.P99 }),
		d.latencyChart(fileLatencyP999, "99.9th percentile of latency", func(l Latency) float64 { return l.P999 }),
		d.costChart(fileAskCPU, OperationAsk, "Processor time of an ask", Cost.cpu),
		d.costChart(fileAskWall, OperationAsk, "Elapsed time of an ask", Cost.wall),
		d.costChart(fileSendCPU, OperationSend, "Processor time of a send", Cost.cpu),
		d.costChart(fileSendWall, OperationSend, "Elapsed time of a send", Cost.wall),
		d.memoryChart(),
		d.fanoutChart(fileEndpoints, "endpoints", byEndpoints),
		d.fanoutChart(fileSessions, "sessions", bySessions),
	}
	return slices.DeleteFunc(all, func(c *chart) bool { return len(c.series) == 0 })
}

// perSystem makes a series for each system that has points, in order.
func (d Data) perSystem(c *chart, points map[string][]point) *chart {
	for i, s := range d.Systems {
		if len(points[s.Name]) > 0 {
			c.series = append(c.series, series{name: s.Name, colour: i, points: points[s.Name]})
		}
	}
	return c
}

func (d Data) throughputChart() *chart {
	points := map[string][]point{}
	for _, v := range d.Throughput {
		points[v.System] = append(points[v.System], point{float64(v.Callers), v.PerSecond})
	}
	return d.perSystem(&chart{
		file: fileThroughput, title: "Throughput against concurrent callers",
		x: axis{"concurrent callers", tickCount}, y: axis{"calls per second", tickCount},
	}, points)
}

func (d Data) latencyChart(file, title string, of func(Latency) float64) *chart {
	points := map[string][]point{}
	for _, v := range d.Latency {
		points[v.System] = append(points[v.System], point{v.Offered, of(v)})
	}
	return d.perSystem(&chart{
		file: file, title: title + " against load",
		x: axis{"offered load (calls per second)", tickCount}, y: axis{"latency since the call was due", tickTime},
	}, points)
}

func (c Cost) cpu() *float64  { return c.CPU }
func (c Cost) wall() *float64 { return c.Wall }

func (d Data) costChart(file string, o Operation, title string, of func(Cost) *float64) *chart {
	points := map[string][]point{}
	for _, v := range d.Cost {
		if y := of(v); y != nil && v.Operation == o {
			points[v.System] = append(points[v.System], point{float64(v.PayloadBytes), *y})
		}
	}
	return d.perSystem(&chart{
		file: file, title: title + " against payload", zero: true,
		x: axis{"payload (bytes)", tickCount}, y: axis{"time per operation", tickTime},
	}, points)
}

func (d Data) memoryChart() *chart {
	points := map[string][]point{}
	for _, v := range d.Memory {
		points[v.System] = append(points[v.System], point{float64(v.Sessions), v.BytesPerSession})
	}
	return d.perSystem(&chart{
		file: fileMemory, title: "Memory of a session against open sessions",
		x: axis{"open sessions", tickCount}, y: axis{"bytes per session, both ends", tickBytes},
	}, points)
}

// fanoutChart has what along returns the place of.
func (d Data) fanoutChart(file, name string, along func(Fanout) (x int, ok bool)) *chart {
	points := map[string][]point{}
	for _, v := range d.Fanout {
		if x, ok := along(v); ok {
			points[v.System] = append(points[v.System], point{float64(x), v.Wall})
		}
	}
	return d.perSystem(&chart{
		file: file, title: "Elapsed time of a message against " + name,
		x: axis{name, tickCount}, y: axis{"time per message", tickTime},
	}, points)
}

// byEndpoints is of messages over one session, and bySessions of those to one endpoint.
func byEndpoints(v Fanout) (int, bool) { return v.Endpoints, v.Sessions == 1 }
func bySessions(v Fanout) (int, bool)  { return v.Sessions, v.Endpoints == 1 }
