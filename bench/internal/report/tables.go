package report

// Table is the result of an experiment, in columns of its own.
type Table struct {
	Title string
	// Text says what was done, and what to look at.
	Text    string `json:",omitempty"`
	Columns []Column
	// Rows have one cell for each column.
	Rows [][]Cell
}

// Column is one of a Table.
type Column struct {
	Name string
	// Unit is that of its numbers. Its cells may be texts all the same.
	Unit Unit
}

// Unit says how a number is shown.
type Unit string

// The units.
const (
	UnitText    Unit = "text"    // the column has no numbers
	UnitCount   Unit = "count"   // a number of things, also in a second: 1,234
	UnitTime    Unit = "time"    // nanoseconds: 1.23 µs
	UnitBytes   Unit = "bytes"   // 1.23 KiB
	UnitRatio   Unit = "ratio"   // 1.23
	UnitPercent Unit = "percent" // per cent: 1.23 %
)

// Cell is a text or a number. The zero Cell is one that was not measured.
type Cell struct {
	Text   string   `json:",omitempty"`
	Number *float64 `json:",omitempty"`
}

// Text returns a cell with a text.
func Text(s string) Cell { return Cell{Text: s} }

// Number returns a cell with a number, in the unit of its column.
func Number(v float64) Cell { return Cell{Number: &v} }
