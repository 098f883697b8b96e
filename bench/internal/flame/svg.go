package flame

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Measures of the picture, in pixels.
const (
	width     = 1200.0
	margin    = 10.0
	rowHeight = 17.0
	top       = 62.0 // of the frames, below title and legend
	fontSize  = 11.0
	charWidth = 6.7 // of the font, with a reserve
	textInset = 3.0
)

// narrowest is the least share of the time that a function must take to be drawn.
const narrowest = 0.003

// SVG returns the graph as a picture: 1200 pixels wide, stages at the bottom, and what they call above. The same profile always gives
// the same bytes. Functions that take less than 0.3 % of the time are left out, with all that they call.
func (g *Graph) SVG(title string) []byte {
	rows := g.root.rows(g.root.nanos)
	bottom := top + rowHeight*float64(rows)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="monospace" font-size="%.0f">`+"\n",
		width, bottom+margin, width, bottom+margin, fontSize)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%.0f" y="20" font-size="14" font-weight="bold">%s</text>`+"\n", margin, html.EscapeString(title))
	g.legend(&b)
	p := picture{&b, (width - 2*margin) / float64(g.root.nanos), g.root.nanos}
	x := margin
	for _, stage := range g.root.children {
		p.draw(stage, x, bottom-rowHeight)
		x += p.width(stage)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// legend shows the colours that the graph has.
func (g *Graph) legend(b *bytes.Buffer) {
	var percent [owners]float64
	for _, s := range g.shares {
		percent[s.Owner] += s.Percent
	}
	x := margin
	for o, p := range percent {
		if p == 0 {
			continue
		}
		text := fmt.Sprintf("%s %.0f%%", Owner(o).label(), p)
		fmt.Fprintf(b, `<rect x="%.1f" y="33" width="12" height="12" fill="%s"/><text x="%.1f" y="43">%s</text>`+"\n",
			x, Owner(o).colour(), x+16, html.EscapeString(text))
		x += 16 + charWidth*float64(len(text)) + 8
	}
}

// rows returns how many levels below n are drawn.
func (n *node) rows(total int64) int {
	most := 0
	for _, c := range n.children {
		if c.drawn(total) {
			most = max(most, 1+c.rows(total))
		}
	}
	return most
}

// drawn reports whether n is wide enough.
func (n *node) drawn(total int64) bool { return float64(n.nanos) >= narrowest*float64(total) }

// picture is where nodes are drawn.
type picture struct {
	*bytes.Buffer
	scale float64 // pixels a nanosecond
	total int64
}

func (p picture) width(n *node) float64 { return p.scale * float64(n.nanos) }

// draw draws n, its lower left corner a row below (x, y), and what it calls above it.
func (p picture) draw(n *node, x, y float64) {
	if !n.drawn(p.total) {
		return
	}
	name, style := short(n.name), ""
	if n.name == "" {
		name, style = n.stage.label(), ` font-weight="bold"`
	}
	w := p.width(n)
	fmt.Fprintf(p, `<g><title>%s: %.1f%%, %s</title><rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" fill="%s" stroke="white" stroke-width="0.5"/>`,
		html.EscapeString(name), 100*float64(n.nanos)/float64(p.total), n.owner.label(), x, y, w, rowHeight-1, n.owner.colour())
	if text := fitted(name, w-2*textInset); text != "" {
		fmt.Fprintf(p, `<text x="%.1f" y="%.0f"%s>%s</text>`, x+textInset, y+12, style, html.EscapeString(text))
	}
	p.WriteString("</g>\n")
	for _, c := range n.children {
		p.draw(c, x, y-rowHeight)
		x += p.width(c)
	}
}

var typeArguments = regexp.MustCompile(`\[.*\]`)

// short returns the name of a function without the path of its package, and without type arguments.
func short(function string) string {
	function = typeArguments.ReplaceAllString(function, "[…]")
	return function[strings.LastIndexByte(function, '/')+1:]
}

// fitted returns the name of a function as far as it fits into that many pixels: without its package, then cut, and nothing where hardly
// anything would be left.
func fitted(name string, pixels float64) string {
	room := int(pixels / charWidth)
	if utf8.RuneCountInString(name) <= room {
		return name
	}
	if room < 4 {
		return ""
	}
	if _, local, ok := strings.Cut(name, "."); ok {
		name = strings.NewReplacer("(*", "", ")", "").Replace(local)
	}
	runes := []rune(name)
	if len(runes) <= room {
		return name
	}
	return string(runes[:room-1]) + "…"
}
