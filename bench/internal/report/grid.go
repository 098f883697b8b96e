package report

import (
	"strings"
	"unicode/utf8"
)

// grid is a table in Markdown that is aligned, so that it can be read as it stands.
type grid struct {
	heads []string
	texts []bool // which columns are texts, and aligned to the left; the others are numbers
	rows  [][]string
}

// newGrid returns a grid whose first columns, so many, are texts.
func newGrid(texts int, heads ...string) *grid {
	g := &grid{heads: heads, texts: make([]bool, len(heads))}
	for i := range texts {
		g.texts[i] = true
	}
	return g
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func (g *grid) write(to *strings.Builder) {
	heads := escaped(g.heads)
	rows := make([][]string, len(g.rows))
	widths := make([]int, len(heads))
	measure := func(cells []string) {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c), 3)
		}
	}
	measure(heads)
	for i, r := range g.rows {
		rows[i] = escaped(r)
		measure(rows[i])
	}
	rules := make([]string, len(widths))
	for i, w := range widths {
		rules[i] = strings.Repeat("-", w)
		if !g.texts[i] {
			rules[i] = rules[i][1:] + ":"
		}
	}
	g.line(to, heads, widths)
	g.line(to, rules, widths)
	for _, r := range rows {
		g.line(to, r, widths)
	}
	to.WriteString("\n")
}

func (g *grid) line(to *strings.Builder, cells []string, widths []int) {
	to.WriteString("|")
	for i, c := range cells {
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
		if g.texts[i] {
			to.WriteString(" " + c + fill + " |")
		} else {
			to.WriteString(" " + fill + c + " |")
		}
	}
	to.WriteString("\n")
}

// escapes keep a cell from ending before its time, and from being taken for HTML.
var escapes = strings.NewReplacer("|", `\|`, "<", `\<`)

// escaped returns cells as Markdown shows them unchanged.
func escaped(cells []string) []string {
	e := make([]string, len(cells))
	for i, c := range cells {
		e[i] = escapes.Replace(oneLine(c))
	}
	return e
}

// oneLine returns a text without line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
