package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// notMeasured is what a cell without a result has.
const notMeasured = "–"

// format returns v with the unit.
func (u Unit) format(v float64) (string, error) {
	switch u {
	case UnitText:
		return "", nil
	case UnitCount:
		return count(v), nil
	case UnitTime:
		return duration(v), nil
	case UnitBytes:
		return size(v), nil
	case UnitRatio:
		return strconv.FormatFloat(v, 'f', 2, 64), nil
	case UnitPercent:
		return significant(v) + " %", nil
	}
	return "", fmt.Errorf("there is no unit %q", string(u))
}

// significant returns v with 3 significant digits: measurements have no more.
func significant(v float64) string {
	if v == 0 {
		return "0"
	}
	// What it is rounded to may have one digit more before the point.
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	if err != nil {
		return notMeasured
	}
	digits := 2 - int(math.Floor(math.Log10(rounded)))
	return strconv.FormatFloat(rounded, 'f', max(digits, 0), 64)
}

// count returns v with 3 significant digits, or as it is if it is a whole number below a million.
func count(v float64) string {
	if v == math.Trunc(v) && v < 1e6 {
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return thousands(significant(v))
}

// rate returns v, of something in a second, with 3 significant digits.
func rate(v float64) string { return thousands(significant(v)) }

// thousands puts commas into a number.
func thousands(s string) string {
	whole, fraction, found := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		return whole + "." + fraction
	}
	return whole
}

// duration returns v nanoseconds in the unit in which it is below 1000.
func duration(v float64) string { return scaled(v, 1000, "ns", "µs", "ms", "s") }

// size returns v bytes in the unit in which it is below 1024. Fewer than that are given exactly if they are a whole number.
func size(v float64) string {
	if v < 1024 && v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64) + " B"
	}
	return scaled(v, 1024, "B", "KiB", "MiB", "GiB")
}

func scaled(v, step float64, units ...string) string {
	i := 0
	// Just below a step, 3 digits would be those of the next unit.
	for ; i < len(units)-1 && v >= step-0.5; i++ {
		v /= step
	}
	return significant(v) + " " + units[i]
}

// ratio returns v as a factor, rounded away from its goal, so that one that is missed never looks as if it were met.
func (r Ratio) ratio(v float64) string {
	// What a decimal fraction differs from its binary one is not to be rounded away.
	const tolerance = 1e-9
	switch {
	case r.Goal == 0:
		v = math.Round(v*100) / 100
	case r.AtMost:
		v = math.Ceil(v*100-tolerance) / 100
	default:
		v = math.Floor(v*100+tolerance) / 100
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
