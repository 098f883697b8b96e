package server

import (
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/parley-rpc/parley/endpoint"
)

// offered is a method of one endpoint, with what was counted of it. A call has a pointer to it, so that nothing is looked up to count. The counters
// are elsewhere in memory: whoever delivers changes them, and whoever handles reads the method.
type offered struct {
	endpoint.ServiceMethod
	*tally
}

// tally is what was counted of a method.
type tally struct {
	calls  atomic.Uint64 // messages that came
	errors atomic.Uint64 // those of them that did not end well
}

// countRun counts calls that are about to be posted: each that follows others of the same method for no more than a comparison.
func countRun(run []*call) {
	for len(run) > 0 {
		n := 1
		for n < len(run) && run[n].method == run[0].method {
			n++
		}
		run[0].method.calls.Add(uint64(n))
		run = run[n:]
	}
}

// counts are what is counted of an endpoint beside its methods. No message that ends well, and has not waited for room, touches them.
type counts struct {
	startedAt atomic.Int64  // when OnStart returned, in nanoseconds of Unix time; 0 if it has not
	callbacks atomic.Uint64 // network callbacks, and OnStop, that panicked
	stalls    atomic.Uint64 // waits for room of senders that are no peers, of streaming calls those of both sides
	last      atomic.Pointer[endpoint.LastError]
}

// started notes that OnStart has returned.
func (c *counts) started() { c.startedAt.Store(time.Now().UnixNano()) }

// maxErrorText bounds what is kept of the text of an error, in bytes.
const maxErrorText = 512

// noteError counts an error of c, and keeps it as the last one of the endpoint: its text only, since an error may hold on to anything.
func (c *call) noteError(err error) {
	last := &endpoint.LastError{Text: bounded(err.Error()), During: c.during(), At: time.Now()}
	n := &c.hosted.counts
	if c.callback != nil {
		n.callbacks.Add(1)
	} else {
		c.method.errors.Add(1)
	}
	n.last.Store(last)
}

// bounded returns at most maxErrorText bytes of text, as valid UTF-8.
func bounded(text string) string {
	if len(text) > maxErrorText {
		end := maxErrorText
		for end > maxErrorText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = strings.Clone(text[:end])
	}
	return strings.ToValidUTF8(text, "?") // not longer than what it stands for
}
