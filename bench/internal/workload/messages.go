// Package workload has what every system under measurement does: the messages, the echo that handlers answer with, the
// callers, and the sink of what is sent one way. All of it checks what it gets, so that no figure is of work that was not done.
package workload

import (
	"fmt"
	"strconv"
	"strings"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

const (
	// Outstanding is how many asks a pipelining caller has open.
	Outstanding = 2048
	// maxHeld is how many bytes of payloads Messages hold.
	maxHeld = 16 << 20
)

// Messages are the messages of a workload, all with payloads of the same size. They differ, so that a reply to another request, a lost message
// and a wrong order show. The methods may be called concurrently.
type Messages struct {
	bytes    int
	payloads []string
	requests []*sayhiv1.HiRequest // one for each of payloads
}

// NewMessages returns messages with payloads of that many bytes, at least 0. There are more of them than asks outstanding, but
// not more than 16 MiB together; after the last comes the first again.
func NewMessages(bytes int) *Messages {
	count := min(2*Outstanding, max(1, maxHeld/max(1, bytes)))
	m := &Messages{bytes: bytes, payloads: make([]string, count), requests: make([]*sayhiv1.HiRequest, count)}
	for i := range m.payloads {
		m.payloads[i] = makePayload(i, bytes)
		m.requests[i] = &sayhiv1.HiRequest{Msg: m.payloads[i]}
	}
	return m
}

// makePayload returns the number i, filled up; where there is no room for it, its last digits.
func makePayload(i, bytes int) string {
	number := strconv.Itoa(i)
	if len(number) > bytes {
		return number[len(number)-bytes:]
	}
	return number + strings.Repeat("x", bytes-len(number))
}

// Bytes returns the size of the payloads.
func (m *Messages) Bytes() int { return m.bytes }

// Payload returns the payload of the i-th message, i >= 0.
func (m *Messages) Payload(i int) string { return m.payloads[i%len(m.payloads)] }

// Request returns the i-th message, i >= 0. It is shared, and sent again and again, so that what a send allocates is the program under test, and the
// message that its receiver decodes: 2 allocations. It must not be changed.
func (m *Messages) Request(i int) *sayhiv1.HiRequest { return m.requests[i%len(m.requests)] }

// CheckReply reports a reply that is not that to the i-th message.
func (m *Messages) CheckReply(i int, r *sayhiv1.HiReply) error {
	if r.GetMsg() != m.Payload(i) {
		return fmt.Errorf("reply to message %d: got %s, want %s", i, abridged(r.GetMsg()), abridged(m.Payload(i)))
	}
	return nil
}

// abridged returns a payload as errors show it.
func abridged(payload string) string { return fmt.Sprintf("%.80q of %d bytes", payload, len(payload)) }

// Echo is what every handler answers. With the request and the reply on both sides, an ask has 6 allocations that are the
// user's own.
func Echo(r *sayhiv1.HiRequest) *sayhiv1.HiReply { return &sayhiv1.HiReply{Msg: r.GetMsg()} }
