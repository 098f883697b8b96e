package report

import (
	"fmt"
	"strings"
)

// page is the report while it is written.
type page struct {
	Data
	strings.Builder
}

// Markdown returns the report, which refers to the Figures of d by their files in the directory benchmarks.
func Markdown(d Data) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	p := &page{Data: d}
	p.head()
	p.caveats()
	p.setting()
	p.ratios()
	p.throughput()
	p.latency()
	p.cost()
	p.memory()
	p.fanout()
	p.allocations()
	p.tables("Fairness", SectionFairness, d.Fairness)
	p.tables("Scale", SectionScale, d.Scale)
	p.tables("Other measurements", SectionOther, d.Other)
	return []byte(strings.TrimRight(p.String(), "\n") + "\n"), nil
}

func (p *page) printf(format string, a ...any) { fmt.Fprintf(p, format, a...) }

// section begins one, with its note.
func (p *page) section(title string, s Section, text string) {
	p.printf("## %s\n\n", title)
	if text != "" {
		p.printf("%s\n\n", text)
	}
	if note := p.Notes[s]; note != "" {
		p.printf("%s\n\n", oneLine(note))
	}
}

// figures shows those of the files that there are.
func (p *page) figures(files ...string) {
	for _, c := range p.charts() {
		for _, f := range files {
			if c.file == f {
				p.printf("![%s](%s/%s)\n\n", c.title, figureDir, f)
			}
		}
	}
}

func (p *page) head() {
	p.printf("# Benchmarks\n\n")
	p.printf("This page is written by the program that measures, and is not edited.")
	if p.Run.Date != "" {
		p.printf(" It was measured on %s.", oneLine(p.Run.Date))
	}
	if p.Run.Command != "" {
		p.printf(" The command:\n\n```\n%s\n```", strings.TrimSpace(p.Run.Command))
	}
	p.printf("\n\n")
	if len(p.charts()) > 0 {
		p.printf("All axes of the figures are logarithmic. What is not measured is left out, and is %s in a table.\n\n", notMeasured)
	}
}

// caveats come before the first figure: who reads no further has read them.
func (p *page) caveats() {
	p.printf("## What the figures do not say\n\n")
	p.printf("- **Both ends share one machine.** Client and server compete for the same %s. What one end saves, the other may use. "+
		"On two machines the ratios may differ.\n", cores(p.Machine.Cores))
	p.printf("- **The network is loopback.** It has no delay worth the name, loses nothing and is never full. Over a real network a round " +
		"trip may take longer than all that is compared here.\n")
	if p.Machine.Cores > 0 {
		p.printf("- **There are %s.** How the systems use more is not known from this.\n", cores(p.Machine.Cores))
	}
	if p.Machine.Virtual {
		p.printf("- **The machine is virtual**, and others use the hardware, too. Single measurements swing by a quarter. Absolute figures " +
			"are not to be compared with those of another machine or another day.\n")
	} else {
		p.printf("- Absolute figures are not to be compared with those of another machine or another day.\n")
	}
	if p.Run.Rounds > 1 {
		p.printf("- Measurements are **interleaved in %d rounds**, so that what slows the machine down for a while slows down all systems. "+
			"Figures are medians of the rounds. A ratio is the median of the ratios of the rounds, and not that of two medians.\n", p.Run.Rounds)
	} else if p.Run.Rounds == 1 {
		p.printf("- Everything was measured **once**. A single figure may be wrong by a quarter or more.\n")
	}
	p.printf("- **Handlers do nothing but answer.** The ratios are those of the cost of messaging. A program that spends a tenth of its " +
		"time on messaging gains at most a tenth.\n")
	p.printf("- **The systems do not promise the same.** They differ in delivery after an outage, order, flow control and bounds of memory, " +
		"for which some pay here and others do not. Each was set up as the table of systems says.\n")
	for _, c := range p.Data.Caveats {
		p.printf("- %s\n", oneLine(c))
	}
	p.printf("\n")
}

func cores(n int) string {
	switch n {
	case 0:
		return "cores"
	case 1:
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}

// setting says on what and of what was measured.
func (p *page) setting() {
	m := p.Machine
	g := newGrid(2, "machine", "")
	add := func(name, value string) {
		if value != "" {
			g.add(name, value)
		}
	}
	add("processor", m.CPU)
	if m.Cores > 0 {
		add("cores", fmt.Sprint(m.Cores))
	}
	if m.GOMAXPROCS > 0 {
		add("GOMAXPROCS", fmt.Sprint(m.GOMAXPROCS))
	}
	if m.Virtual {
		add("virtual", "yes")
	}
	add("system", m.OS)
	add("kernel", m.Kernel)
	add("Go", m.Go)
	for _, module := range m.Modules {
		add(module.Path, module.Version)
	}
	if len(g.rows) > 0 {
		p.printf("## Machine and systems\n\n")
		g.write(&p.Builder)
	}
	configured := newGrid(2, "system", "configuration")
	for _, s := range p.Systems {
		if s.Configuration != "" {
			configured.add(s.Name, s.Configuration)
		}
	}
	if len(configured.rows) > 0 {
		configured.write(&p.Builder)
	}
}
