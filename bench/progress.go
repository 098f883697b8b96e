package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells somebody who waits for a report what is measured, and how far that is. One goroutine at a time uses it.
type progress struct {
	out   io.Writer
	now   func() time.Time
	began time.Time
	name  string // of the part
	done  int    // measurements of the part
	total int    // measurements of the part; 0 if that is not known
}

// part begins a part of the report.
func (p *progress) part(name string) *progress {
	if p.began.IsZero() {
		p.began = p.now()
	}
	p.name, p.done, p.total = name, 0, 0
	return p
}

// step tells that a measurement of the part is done.
func (p *progress) step(what string) {
	p.done++
	of := ""
	if p.total > 0 {
		of = fmt.Sprintf("/%d", p.total)
	}
	fmt.Fprintf(p.out, "report: %s: %s %d%s: %s\n", p.elapsed(), p.name, p.done, of, what)
}

// end tells that the report is there.
func (p *progress) end(dir string) {
	fmt.Fprintf(p.out, "report: %s: written to %s\n", p.elapsed(), dir)
}

func (p *progress) elapsed() time.Duration { return p.now().Sub(p.began).Round(time.Second) }
