package flame

import "strings"

// Stage is what a goroutine is for.
type Stage int

// The stages, in the order in which a message passes them.
const (
	Callers   Stage = iota // those who ask or send, as far as the reply is decoded
	Writer                 // Parley's writer, which puts frames into gRPC's queue
	Transport              // goroutines of gRPC: its writers and readers of connections
	Reader                 // Parley's reader, which takes frames apart and wakes whoever waits
	Worker                 // the workers of mailboxes, which run handlers
	Scheduler              // the Go scheduler, between goroutines
	GC                     // the garbage collector's own goroutines
	Other                  // everything else
	stages                 // how many there are
)

// String returns a name in one word.
func (s Stage) String() string {
	return [stages]string{"caller", "writer", "transport", "reader", "worker", "scheduler", "collector", "other"}[s]
}

// label is the name in the picture.
func (s Stage) label() string {
	return [stages]string{
		"callers", "Parley's writer", "gRPC's transport", "Parley's reader", "mailbox worker", "Go scheduler", "garbage collector", "other",
	}[s]
}

// owner is whose code a stage is made of.
func (s Stage) owner() Owner {
	return [stages]Owner{Users, Parley, GRPC, Parley, Parley, Runtime, Memory, Runtime}[s]
}

// sign is a function by which a stage is told.
type sign struct {
	prefix string
	stage  Stage
}

var signs = []sign{
	{module + "/internal/link.(*Link).readAll", Reader}, {module + "/internal/link.(*Carrier).readFrames", Reader},
	{module + "/internal/link.(*Carrier).write", Writer},
	{module + "/internal/mailbox.", Worker},
	{module + "/bench/", Callers}, {"testing.", Callers},
	{"google.golang.org/grpc", Transport},
	{"runtime.gc", GC}, {"runtime.bgsweep", GC}, {"runtime.bgscavenge", GC},
	{"runtime.mcall", Scheduler}, {"runtime.mstart", Scheduler}, {"runtime.park_m", Scheduler}, {"runtime.schedule", Scheduler},
	{"runtime.goexit0", Scheduler}, {"runtime.sysmon", Scheduler}, {"runtime.findRunnable", Scheduler},
}

// stageOf returns the stage of a stack, the outermost function first. It is that of the first function that tells one, since
// what that calls works for it.
func stageOf(stack []string) Stage {
	for _, f := range stack {
		for _, s := range signs {
			if strings.HasPrefix(f, s.prefix) {
				return s.stage
			}
		}
	}
	return Other
}
