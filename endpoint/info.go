package endpoint

import "time"

// State is what an endpoint is doing.
type State int

// The states of an endpoint. One that has stopped is not listed.
const (
	// StateStarting: OnStart has not returned.
	StateStarting State = iota
	// StateRunning: it handles messages.
	StateRunning
	// StateStopping: it takes no more messages, and what it had is still being handled, or its OnStop runs. Its name may be another one's already.
	StateStopping
)

// String returns "starting", "running" or "stopping".
func (s State) String() string {
	switch s {
	case StateStarting:
		return "starting"
	case StateRunning:
		return "running"
	default:
		return "stopping"
	}
}

// Info is what an Env knows of one of its endpoints at one moment. The counters count from its registration, and are not all read at the same
// instant.
type Info struct {
	// Name is the endpoint's name. Number tells endpoints of one name apart, one of which is stopping: registrations of an Env are numbered from 1.
	Name   string
	Number uint64
	// Services are the full names of its services, in the order in which they came.
	Services []string
	State    State
	// Started is when OnStart returned; the zero time in StateStarting.
	Started time.Time
	// Concurrency is how many messages it handles at a time.
	Concurrency int
	// Waiting is how many messages and callbacks are in the mailbox, and have not been taken out for a handler.
	Waiting int
	// OldestWait is how long the oldest of these has waited; 0 if none does, or if nobody has looked at the clock when it came: as it costs something,
	// that is not done for sends of the Env itself, unless it has stats handlers. Without them it has the wait for room, too, for asks of the Env
	// itself, and ordinary gRPC calls.
	OldestWait time.Duration
	// Running is how many handlers and callbacks run, and Released how many of them have called Release.
	Running, Released int
	// Calls is how many messages came, those that wait and those whose handlers still run included. Errors is how many of them did not
	// end well: the handler returned an error or panicked, or did not run because the request could not be decoded or its asker had
	// given up. Panics of network callbacks are among the errors, though not among the calls.
	Calls, Errors uint64
	// Stalls is how often a sender in the same Env, or an ordinary gRPC call, had to wait for room: in the mailbox, or in the window of a streaming
	// call, of either side. For those of peers see the Stalls of their own sessions.
	Stalls uint64
	// LastError is the last of Errors; nil if there was none. It is not to be changed.
	LastError *LastError
	// Methods are its methods, by name.
	Methods []MethodInfo
}

// MethodInfo is what was counted of one method of an endpoint; see Info.
type MethodInfo struct {
	// Name is the full name, "package.Service/Method".
	Name          string
	Calls, Errors uint64
}

// LastError is the last error of an endpoint.
type LastError struct {
	// Text is what the error says: valid UTF-8, cut after 512 bytes.
	Text string
	// During is the full name of the method, or the name of the callback.
	During string
	// At is when that was.
	At time.Time
}
