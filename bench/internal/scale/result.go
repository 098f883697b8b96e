package scale

import (
	"fmt"
	"strconv"
)

// Result is what Run has measured.
type Result struct {
	// Lines are in the order in which they were measured.
	Lines []Line
}

// Line is one figure.
type Line struct {
	// Name says what was measured, as in "asks/endpoints-10000/of-one".
	Name string
	// Value is the figure, in Unit.
	Value float64
	// Unit is "B", "goroutines", "s", "ns", "allocs", "ratio" or "endpoints".
	Unit string
	// Goal is the bound of Value, if HasGoal: the least if AtLeast, else the most.
	Goal             float64
	HasGoal, AtLeast bool
}

// Missed reports whether the line has a goal and misses it.
func (l Line) Missed() bool {
	return l.HasGoal && (l.AtLeast && l.Value < l.Goal || !l.AtLeast && l.Value > l.Goal)
}

// String returns the line that is printed.
func (l Line) String() string {
	text := fmt.Sprintf("scale %s %s %s", l.Name, figure(l.Value), l.Unit)
	switch {
	case !l.HasGoal:
		return text
	case l.AtLeast:
		return text + " goal at least " + figure(l.Goal)
	default:
		return text + " goal at most " + figure(l.Goal)
	}
}

// figure writes v with as many decimals as are worth reading.
func figure(v float64) string {
	decimals := 2
	if v >= 100 || v <= -100 || v == float64(int(v)) {
		decimals = 0
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// tell adds a figure for information.
func (r *Result) tell(name string, value float64, unit string) {
	r.Lines = append(r.Lines, Line{Name: name, Value: value, Unit: unit})
}

// atMost adds a figure that should not exceed goal.
func (r *Result) atMost(name string, value float64, unit string, goal float64) {
	r.Lines = append(r.Lines, Line{Name: name, Value: value, Unit: unit, Goal: goal, HasGoal: true})
}

// atLeast adds a figure that should not be below goal.
func (r *Result) atLeast(name string, value float64, unit string, goal float64) {
	r.Lines = append(r.Lines, Line{Name: name, Value: value, Unit: unit, Goal: goal, HasGoal: true, AtLeast: true})
}
