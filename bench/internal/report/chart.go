package report

import (
	"bytes"
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	stdfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is a figure with lines over two logarithmic axes.
type chart struct {
	file  string
	title string
	x, y  axis
	// zero lets x be 0, which is shown left of the others.
	zero   bool
	series []series
}

// series is a line of a chart.
type series struct {
	name   string
	colour int // place in colours
	points []point
}

type point struct{ x, y float64 }

const (
	chartWidth  vg.Length = 660
	chartHeight vg.Length = 390
)

// colours are told apart also by those who do not see all colours, and on paper by the shapes.
var colours = []color.Color{
	color.RGBA{0x00, 0x5a, 0xb5, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // pink
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky
	color.RGBA{0x33, 0x33, 0x33, 0xff}, // black
}

var dashes = [][]vg.Length{nil, {6, 3}, {2, 2}, {8, 3, 2, 3}}

var (
	ink  = color.Gray{0x33}
	rule = color.Gray{0xe2}
)

// draw returns the chart as SVG.
func (c *chart) draw() ([]byte, error) {
	lines, zeroAt, err := c.place()
	if err != nil {
		return nil, err
	}
	p := plot.New()
	lowX, highX, lowY, highY := bounds(lines)
	c.x.apply(&p.X, lowX, highX, zeroAt)
	axis{c.y.label, spaced(c.y.tick)}.apply(&p.Y, lowY, highY, 0)
	// It is above the axis instead, where it is read more easily than when it is turned.
	p.Y.Label.Text = ""
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = rule, rule
	grid.Vertical.Width, grid.Horizontal.Width = 0.75, 0.75
	p.Add(grid)

	legend := plot.NewLegend()
	legend.TextStyle.Font = sans(12, stdfont.WeightNormal)
	legend.TextStyle.Color = ink
	legend.Left, legend.Top = true, true
	legend.ThumbnailWidth = 30
	legend.Padding = 6
	// The first is the subject of the report, and is drawn above the others.
	for i := len(lines) - 1; i >= 0; i-- {
		line, marks, err := c.series[i].plotters(lines[i])
		if err != nil {
			return nil, err
		}
		p.Add(line, marks)
	}
	for i, s := range c.series {
		line, marks, err := s.plotters(lines[i])
		if err != nil {
			return nil, err
		}
		legend.Add(s.name, line, marks)
	}
	return c.render(p, legend)
}

// place returns the points of each series in order, and where x = 0 is drawn, or 0 if it is not.
func (c *chart) place() (lines []plotter.XYs, zeroAt float64, err error) {
	least := math.Inf(1)
	hasZero := false
	for _, s := range c.series {
		for _, p := range s.points {
			hasZero = hasZero || p.x == 0
			if p.y <= 0 || p.x < 0 || p.x == 0 && !c.zero {
				return nil, 0, fmt.Errorf("%s has the point %g, %g, which is not on a logarithmic axis", s.name, p.x, p.y)
			}
			if p.x > 0 {
				least = min(least, p.x)
			}
		}
	}
	if hasZero {
		zeroAt = 1
		if !math.IsInf(least, 1) {
			zeroAt = least / 5
		}
	}
	for _, s := range c.series {
		var line plotter.XYs
		for _, p := range s.points {
			line = append(line, plotter.XY{X: max(p.x, zeroAt), Y: p.y})
		}
		slices.SortFunc(line, func(a, b plotter.XY) int { return cmp.Compare(a.X, b.X) })
		lines = append(lines, line)
	}
	return lines, zeroAt, nil
}

func bounds(lines []plotter.XYs) (lowX, highX, lowY, highY float64) {
	lowX, lowY = math.Inf(1), math.Inf(1)
	for _, line := range lines {
		for _, p := range line {
			lowX, highX = min(lowX, p.X), max(highX, p.X)
			lowY, highY = min(lowY, p.Y), max(highY, p.Y)
		}
	}
	return lowX, highX, lowY, highY
}

// apply makes an axis of a plot that holds values from low to high. If zeroAt is above 0, what is drawn there is labelled 0.
func (a axis) apply(to *plot.Axis, low, high, zeroAt float64) {
	ticks := a.ticks(span(low, high))
	to.Min, to.Max = span(low, high)
	if zeroAt > 0 {
		to.Min = zeroAt
		ticks = slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value < zeroAt*4.99 })
		ticks = append([]plot.Tick{{Value: zeroAt, Label: "0"}}, ticks...)
	}
	to.Scale = plot.LogScale{}
	to.Tick.Marker = plot.ConstantTicks(ticks)
	to.Tick.Label.Font = sans(11.5, stdfont.WeightNormal)
	to.Tick.Label.Color = ink
	to.Tick.LineStyle.Color = ink
	to.Tick.Length = 5
	to.Label.Text = a.label
	to.Label.TextStyle.Font = sans(12.5, stdfont.WeightNormal)
	to.Label.TextStyle.Color = ink
	to.Label.Padding = 6
	to.LineStyle.Color = ink
	to.Padding = 4
}

// plotters returns the line of s and its marks.
func (s series) plotters(points plotter.XYs) (*plotter.Line, *plotter.Scatter, error) {
	line, marks, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.name, err)
	}
	line.Color = colours[s.colour%len(colours)]
	line.Width = 1.75
	if s.colour == 0 {
		line.Width = 2.75
	}
	// Beyond the last colour, those that come again are dashed.
	line.Dashes = dashes[s.colour/len(colours)%len(dashes)]
	marks.Shape = shapes[s.colour%len(shapes)]
	marks.Color = line.Color
	marks.Radius = 4
	return line, marks, nil
}

func sans(size vg.Length, weight stdfont.Weight) font.Font {
	return font.From(font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight}, size)
}

// render draws the titles, p below them, and its legend to the right of it, where it covers nothing.
func (c *chart) render(p *plot.Plot, legend plot.Legend) ([]byte, error) {
	const margin = 16
	svg := vgsvg.New(chartWidth, chartHeight)
	canvas := draw.New(svg)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	canvas = draw.Crop(canvas, margin, -margin, margin, -margin)

	title := text.Style{Color: ink, Font: sans(16, stdfont.WeightBold), YAlign: text.YTop, Handler: p.TextHandler}
	canvas.FillText(title, vg.Point{X: canvas.Min.X, Y: canvas.Max.Y}, c.title)
	canvas = draw.Crop(canvas, 0, 0, 0, -title.Height(c.title)-6)
	title.Font = sans(12.5, stdfont.WeightNormal)
	canvas.FillText(title, vg.Point{X: canvas.Min.X, Y: canvas.Max.Y}, c.y.label)
	canvas = draw.Crop(canvas, 0, 0, 0, -title.Height(c.y.label)-8)

	// A reader without the font may have one that is wider by a tenth.
	width := legend.Rectangle(canvas).Size().X * 1.1
	p.Draw(draw.Crop(canvas, 0, -width-margin, 0, 0))
	legend.Draw(draw.Crop(canvas, canvas.Size().X-width, 0, 0, 0))
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return nil, err
	}
	return substitutes(b.Bytes()), nil
}

// substitutes names fonts of the same widths, for readers who do not have the one that the figure was laid out with.
func substitutes(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
}
