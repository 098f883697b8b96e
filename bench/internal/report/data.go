// Package report turns what was measured into docs/benchmarks.md and its figures. It measures nothing. The same Data give the same
// bytes, and Data can be saved, so that a report may be redrawn without measuring again.
//
// What is missing in Data is left out of the report: a section, a figure, a cell of a table. It is never shown as zero.
package report

// Data are all that a report is made of. Each part may be empty. Every system named in a part must be in Systems, and every number must
// be finite and not negative.
type Data struct {
	Run     Run
	Machine Machine
	// Systems are what was measured, the subject of the report first. Tables, legends and colours are in this order.
	Systems []System
	// Caveats are shown after those that every report has, each as one item of a list.
	Caveats []string `json:",omitempty"`
	// Notes are shown below the heading of a section, such as what was sent.
	Notes map[Section]string `json:",omitempty"`

	Ratios      []Ratio      `json:",omitempty"`
	Throughput  []Throughput `json:",omitempty"`
	Latency     []Latency    `json:",omitempty"`
	Cost        []Cost       `json:",omitempty"`
	Memory      []Memory     `json:",omitempty"`
	Fanout      []Fanout     `json:",omitempty"`
	Allocations []Allocation `json:",omitempty"`
	// Fairness, Scale and Other are experiments whose columns only they know.
	Fairness []Table `json:",omitempty"`
	Scale    []Table `json:",omitempty"`
	Other    []Table `json:",omitempty"`
}

// Section is a part of the report that can have a note.
type Section string

// The sections, in their order.
const (
	SectionRatios      Section = "ratios"
	SectionThroughput  Section = "throughput"
	SectionLatency     Section = "latency"
	SectionCost        Section = "cost"
	SectionMemory      Section = "memory"
	SectionFanout      Section = "fanout"
	SectionAllocations Section = "allocations"
	SectionFairness    Section = "fairness"
	SectionScale       Section = "scale"
	SectionOther       Section = "other"
)

// Run says when and how was measured.
type Run struct {
	// Date is a day, such as 2026-01-31.
	Date string
	// Command is what was run, without paths of the machine.
	Command string
	// Rounds is how many measurements each figure is the median of.
	Rounds int
}

// System is a framework under measurement.
type System struct {
	Name string
	// Configuration is how it was set up, in a few words.
	Configuration string `json:",omitempty"`
}

// Ratio compares two measurements of the same work.
type Ratio struct {
	// Name says what is compared, such as ask64/grpc-unary.
	Name string
	// Value is the median of the rounds.
	Value float64
	// Low and High are the least and the greatest of the rounds, if known.
	Low  *float64 `json:",omitempty"`
	High *float64 `json:",omitempty"`
	// Goal is what Value must reach, or 0 if there is none.
	Goal float64 `json:",omitempty"`
	// AtMost makes Goal the most that Value may be, as for a ratio of costs.
	AtMost bool `json:",omitempty"`
}

// Met reports whether the goal is met. It is if there is none.
func (r Ratio) Met() bool {
	return r.Goal == 0 || r.AtMost && r.Value <= r.Goal || !r.AtMost && r.Value >= r.Goal
}

// Throughput is that of a number of concurrent callers, each of which waits for its reply.
type Throughput struct {
	System    string
	Callers   int
	PerSecond float64
}

// Latency is that at a load, in nanoseconds from when each call was due.
type Latency struct {
	System string
	// Offered and Achieved are calls a second.
	Offered  float64
	Achieved float64
	P50      float64
	P90      float64
	P99      float64
	P999     float64
	Max      float64
	// Failed, NotStarted and Unfinished are numbers of calls; see the package load.
	Failed     int
	NotStarted int
	Unfinished int
}

// Operation is what is done with a payload.
type Operation string

// The operations.
const (
	OperationAsk  Operation = "ask"
	OperationSend Operation = "send"
)

// Cost is that of one operation, in nanoseconds, with a payload.
type Cost struct {
	System       string
	Operation    Operation
	PayloadBytes int
	// CPU is the processor time of both ends, if known.
	CPU *float64 `json:",omitempty"`
	// Wall is the time that passed, if known.
	Wall *float64 `json:",omitempty"`
}

// Memory is that of both ends of a session, with a number of them open.
type Memory struct {
	System          string
	Sessions        int
	BytesPerSession float64
}

// Fanout is the cost of one message, in nanoseconds, that goes to one of many endpoints over one of many sessions.
type Fanout struct {
	System    string
	Endpoints int
	Sessions  int
	Wall      float64
	// CPU is the processor time of both ends, if known.
	CPU *float64 `json:",omitempty"`
}

// Allocation is what one operation allocates at both ends.
type Allocation struct {
	// Operation is such as Ask64.
	Operation string
	System    string
	Count     float64
	// Bytes is how much, if known.
	Bytes *float64 `json:",omitempty"`
}

// Known returns v as a number that is known.
func Known(v float64) *float64 { return &v }
