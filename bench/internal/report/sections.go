package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

func (p *page) ratios() {
	if len(p.Ratios) == 0 {
		return
	}
	p.section("Goals", SectionRatios, "Each ratio compares two measurements of the same work in the same round. Where there is a goal, the "+
		"last digit is rounded to the disadvantage of the result.")
	spread := slices.ContainsFunc(p.Ratios, func(r Ratio) bool { return r.Low != nil && r.High != nil })
	heads := []string{"ratio", "result", "goal", "median"}
	if spread {
		heads = append(heads, "lowest", "highest")
	}
	g := newGrid(2, heads...)
	for _, r := range p.Ratios {
		result, goal := "no goal", ""
		if r.Goal > 0 {
			bound := "≥"
			if r.AtMost {
				bound = "≤"
			}
			goal = fmt.Sprintf("%s %g", bound, r.Goal)
			result = "met"
			if !r.Met() {
				result = "**missed**"
			}
		}
		row := []string{r.Name, result, goal, r.ratio(r.Value)}
		if spread {
			row = append(row, optional(r.Low, r.ratio), optional(r.High, r.ratio))
		}
		g.add(row...)
	}
	g.write(&p.Builder)
	met, goals := 0, 0
	for _, r := range p.Ratios {
		if r.Goal > 0 {
			goals++
			if r.Met() {
				met++
			}
		}
	}
	if goals > 0 {
		p.printf("Goals met: %d of %d.\n\n", met, goals)
	}
}

// optional shows what may not be known.
func optional(v *float64, show func(float64) string) string {
	if v == nil {
		return notMeasured
	}
	return show(*v)
}

// pivot is a table with a row for each value of what was varied, and a column for each system.
type pivot struct {
	head  string
	cells map[int]map[string]string // by what was varied, and system
}

func newPivot(head string) *pivot { return &pivot{head, map[int]map[string]string{}} }

func (t *pivot) set(at int, system, cell string) {
	if t.cells[at] == nil {
		t.cells[at] = map[string]string{}
	}
	t.cells[at][system] = cell
}

// pivot writes t with the systems that it has.
func (p *page) pivot(t *pivot, label func(int) string) {
	var systems []string
	for _, s := range p.Systems {
		for _, row := range t.cells {
			if row[s.Name] != "" {
				systems = append(systems, s.Name)
				break
			}
		}
	}
	var at []int
	for v := range t.cells {
		at = append(at, v)
	}
	slices.Sort(at)
	g := newGrid(0, append([]string{t.head}, systems...)...)
	for _, v := range at {
		row := []string{label(v)}
		for _, s := range systems {
			row = append(row, cmp.Or(t.cells[v][s], notMeasured))
		}
		g.add(row...)
	}
	g.write(&p.Builder)
}

func whole(n int) string  { return count(float64(n)) }
func sizeOf(n int) string { return size(float64(n)) }

func (p *page) throughput() {
	if len(p.Throughput) == 0 {
		return
	}
	p.section("Throughput", SectionThroughput, "Calls a second of a number of concurrent callers, each of which waits for its reply before "+
		"its next call.")
	p.figures(fileThroughput)
	t := newPivot("callers")
	for _, v := range p.Throughput {
		t.set(v.Callers, v.System, rate(v.PerSecond))
	}
	p.pivot(t, whole)
}

func (p *page) latency() {
	if len(p.Latency) == 0 {
		return
	}
	p.section("Latency under load", SectionLatency, "Calls are due at a constant rate, or at random with that mean, whether or not the system "+
		"keeps up, and the latency of each counts from when it was due: a stall delays all that were due in it, and is in their latency. It "+
		"contains the lateness of the program that starts them, up to half a millisecond where the system is idle. Where fewer "+
		"calls were achieved than offered, or some were never started or failed, the system could not follow, and the latency is that of a "+
		"queue that grows until the measurement ends.")
	p.figures(fileLatencyP50, fileLatencyP99, fileLatencyP999)
	rows := slices.Clone(p.Latency)
	slices.SortStableFunc(rows, func(a, b Latency) int {
		return cmp.Or(cmp.Compare(p.order(a.System), p.order(b.System)), cmp.Compare(a.Offered, b.Offered))
	})
	g := newGrid(1, "system", "offered/s", "achieved/s", "p50", "p90", "p99", "p99.9", "max", "failed", "not started", "unfinished")
	for _, v := range rows {
		g.add(v.System, rate(v.Offered), rate(v.Achieved), duration(v.P50), duration(v.P90), duration(v.P99), duration(v.P999),
			duration(v.Max), whole(v.Failed), whole(v.NotStarted), whole(v.Unfinished))
	}
	g.write(&p.Builder)
}

// order returns the place of a system among all.
func (d Data) order(system string) int {
	return slices.IndexFunc(d.Systems, func(s System) bool { return s.Name == system })
}

func (p *page) cost() {
	if len(p.Cost) == 0 {
		return
	}
	p.section("Cost of an operation against its payload", SectionCost, "Processor time is that of both ends together, in user and kernel mode. "+
		"It is hardly influenced by other programs on the machine. Less elapsed than processor time means that both ends work at the same time.")
	p.costOf(OperationAsk, "an ask", fileAskCPU, fileAskWall)
	p.costOf(OperationSend, "a send", fileSendCPU, fileSendWall)
}

func (p *page) costOf(o Operation, name, fileCPU, fileWall string) {
	p.figures(fileCPU, fileWall)
	cpu, wall := newPivot("payload"), newPivot("payload")
	for _, v := range p.Cost {
		if v.CPU != nil && v.Operation == o {
			cpu.set(v.PayloadBytes, v.System, duration(*v.CPU))
		}
		if v.Wall != nil && v.Operation == o {
			wall.set(v.PayloadBytes, v.System, duration(*v.Wall))
		}
	}
	p.titled("Processor time of "+name, cpu, sizeOf)
	p.titled("Elapsed time of "+name, wall, sizeOf)
}

// titled writes t below a title, if it is not empty.
func (p *page) titled(title string, t *pivot, label func(int) string) {
	if len(t.cells) == 0 {
		return
	}
	p.printf("**%s:**\n\n", title)
	p.pivot(t, label)
}

func (p *page) memory() {
	if len(p.Memory) == 0 {
		return
	}
	p.section("Memory of a session", SectionMemory, "Memory of both ends together, divided by the number of sessions that are open and idle.")
	p.figures(fileMemory)
	t := newPivot("sessions")
	for _, v := range p.Memory {
		t.set(v.Sessions, v.System, size(v.BytesPerSession))
	}
	p.pivot(t, whole)
}

func (p *page) fanout() {
	if len(p.Fanout) == 0 {
		return
	}
	p.section("Cost of a message against endpoints and sessions", SectionFanout, "Each message goes to one of many endpoints, over one of many "+
		"sessions.")
	p.figures(fileEndpoints, fileSessions)
	rows := slices.Clone(p.Fanout)
	slices.SortStableFunc(rows, func(a, b Fanout) int {
		return cmp.Or(cmp.Compare(p.order(a.System), p.order(b.System)), cmp.Compare(a.Sessions, b.Sessions), cmp.Compare(a.Endpoints, b.Endpoints))
	})
	g := newGrid(1, "system", "sessions", "endpoints", "elapsed", "processor")
	for _, v := range rows {
		g.add(v.System, whole(v.Sessions), whole(v.Endpoints), duration(v.Wall), optional(v.CPU, duration))
	}
	g.write(&p.Builder)
}

func (p *page) allocations() {
	if len(p.Allocations) == 0 {
		return
	}
	p.section("Allocations", SectionAllocations, "What one operation allocates at both ends together. The messages themselves are among it.")
	g := newGrid(2, "operation", "system", "allocations", "bytes")
	for _, v := range p.Allocations {
		g.add(v.Operation, v.System, count(v.Count), optional(v.Bytes, size))
	}
	g.write(&p.Builder)
}

// tables writes a section of tables with columns of their own.
func (p *page) tables(title string, s Section, tables []Table) {
	if len(tables) == 0 {
		return
	}
	p.section(title, s, "")
	for _, t := range tables {
		p.printf("### %s\n\n", oneLine(t.Title))
		if t.Text != "" {
			p.printf("%s\n\n", strings.TrimSpace(t.Text))
		}
		if len(t.Rows) > 0 {
			t.grid().write(&p.Builder)
		}
	}
}

func (t Table) grid() *grid {
	g := &grid{}
	for _, c := range t.Columns {
		g.heads = append(g.heads, c.Name)
		g.texts = append(g.texts, c.Unit == UnitText)
	}
	for _, row := range t.Rows {
		var cells []string
		for i, c := range row {
			cells = append(cells, c.show(t.Columns[i].Unit))
		}
		g.add(cells...)
	}
	return g
}

func (c Cell) show(u Unit) string {
	if c.Number == nil {
		return cmp.Or(c.Text, notMeasured)
	}
	// Validate has refused other units.
	s, _ := u.format(*c.Number)
	return s
}
