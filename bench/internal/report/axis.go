package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// axis is a logarithmic one.
type axis struct {
	label string
	tick  func(float64) string // shows a value
}

// span returns the ends of an axis that holds values from low to high: the next of 1, 2 and 5 times a power of ten outside.
func span(low, high float64) (from, to float64) {
	steps := []float64{1, 2, 5, 10}
	decade := math.Pow10(int(math.Floor(math.Log10(low))))
	for _, s := range steps {
		if s*decade <= low*(1+1e-9) {
			from = s * decade
		}
	}
	decade = math.Pow10(int(math.Floor(math.Log10(high))))
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i]*decade >= high*(1-1e-9) {
			to = steps[i] * decade
		}
	}
	if from == to {
		from, to = from/2, to*2
	}
	return from, to
}

// ticks returns those of an axis: labelled at powers of ten, and where these are few also at 2 and 5 times; not labelled between.
func (a axis) ticks(from, to float64) []plot.Tick {
	few := math.Log10(to/from) < 2.2
	var ticks []plot.Tick
	for decade := math.Pow10(int(math.Floor(math.Log10(from)))); decade <= to; decade *= 10 {
		for i := 1; i <= 9; i++ {
			v := decade * float64(i)
			if v < from*(1-1e-9) || v > to*(1+1e-9) {
				continue
			}
			t := plot.Tick{Value: v}
			if i == 1 || few && (i == 2 || i == 5) {
				t.Label = a.tick(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// tickCount shows a number, such as 10k.
func tickCount(v float64) string { return prefixed(v, "", "k", "M", "G") }

// tickTime shows nanoseconds, such as 10 µs.
func tickTime(v float64) string { return prefixed(v, " ns", " µs", " ms", " s") }

// tickBytes shows bytes by powers of 1000, as the ticks are, such as 10 kB.
func tickBytes(v float64) string { return prefixed(v, " B", " kB", " MB", " GB") }

func prefixed(v float64, units ...string) string {
	i := 0
	for ; i < len(units)-1 && v >= 999.5; i++ {
		v /= 1000
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + units[i]
}

// spaced has a space behind what tick shows. It keeps labels beside their axis from touching it where the reader's font is a wider one.
func spaced(tick func(float64) string) func(float64) string {
	return func(v float64) string { return tick(v) + "  " }
}
