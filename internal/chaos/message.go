package main

import "slices"

// What the driver orders, a JSON object a line, on the standard input of a process. Its end ends the process.
const (
	doOpen  = "open"  // be the member that Member describes
	doStart = "start" // begin to send
	doStop  = "stop"  // send no more, and wait for the answers
	doFinal = "final" // give the last report
	doEnd   = "end"   // shut down
)

// order is one of them.
type order struct {
	Do     string        `json:"do"`
	Member *memberConfig `json:"member,omitempty"`
}

// memberConfig describes a process.
type memberConfig struct {
	Name string `json:"name"`
	Seed uint64 `json:"seed"`
	// Advertise is where a server is reached, HOST:PORT; empty if that is where it listens.
	Advertise string `json:"advertise,omitempty"`
	// Aging makes a server end its connections after a second.
	Aging bool `json:"aging,omitempty"`
	// Servers are the addresses that a client opens sessions with.
	Servers []string `json:"servers,omitempty"`
}

// event is what a process tells, a JSON object a line, on its standard output. Of the fields one is set.
type event struct {
	// Listening is where a server listens.
	Listening string `json:"listening,omitempty"`
	// Ready says that a client has its sessions.
	Ready bool `json:"ready,omitempty"`
	// Failed is why the process cannot go on.
	Failed string `json:"failed,omitempty"`
	// Report is what has happened since the start.
	Report *report `json:"report,omitempty"`
}

// report is what one process knows. Flows are named "FROM>TO".
type report struct {
	Sent     map[string]sent     `json:"sent"`
	Received map[string]received `json:"received"`
	// Strays is how many messages came that were for another process.
	Strays uint64 `json:"strays"`
	// Sessions are the ids of all sessions that it has ever seen.
	Sessions []string     `json:"sessions"`
	Env      sessionStats `json:"env"`
	// Problems are the errors of verbs, by what they have in common.
	Problems map[string]problem `json:"problems"`
	// Stopped says that nothing is sent any more, and no answer is outstanding.
	Stopped bool `json:"stopped"`
	// Final says that this is what doFinal asked for.
	Final bool `json:"final,omitempty"`
}

// sent counts the messages of a flow at the end that sends.
type sent struct {
	// Puts is how many sends were accepted, and Refused how many were not, each of which was tried again with the same number.
	Puts    uint64 `json:"puts"`
	Refused uint64 `json:"refused"`
	// Asked is how many asks there were, Answered how many had the right answer, and Failed how many had an error or a wrong one.
	Asked    uint64 `json:"asked"`
	Answered uint64 `json:"answered"`
	Failed   uint64 `json:"failed"`
}

// received counts the messages of a flow at the end that receives.
type received struct {
	Puts   tally `json:"puts"`
	Checks tally `json:"checks"`
}

// tally counts the messages of a flow and method. Delivered counts each number once.
type tally struct {
	Delivered  uint64 `json:"delivered"`
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"`
}

// problem is an error that was seen Count times, First with this text.
type problem struct {
	Count uint64 `json:"count"`
	First string `json:"first"`
}

// flow names what is sent from one process to another.
func flow(from, to string) string { return from + ">" + to }

// sorted returns the keys of a set.
func sorted(set map[string]struct{}) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
