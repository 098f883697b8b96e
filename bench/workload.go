package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

const (
	payloadBytes = 64
	// outstanding is how many asks a pipelining caller has open.
	outstanding = 2048
	// callTimeout is the deadline of every call and stream. It is so late that only a hang meets it.
	callTimeout = 5 * time.Minute
)

// payloads differ, so that a reply to another request, a lost message and a wrong order show. There are more of them than
// asks outstanding.
var payloads = makePayloads(2 * outstanding)

// sendRequests are the messages of the one-way workloads, one for each of payloads. They are sent again and again, so that what a send
// allocates is the program under test, and the message that its receiver decodes: 2 allocations.
var sendRequests = makeRequests(payloads)

func makePayloads(n int) []string {
	p := make([]string, n)
	for i := range p {
		number := fmt.Sprint(i)
		p[i] = number + strings.Repeat("x", payloadBytes-len(number))
	}
	return p
}

func makeRequests(payloads []string) []*sayhiv1.HiRequest {
	r := make([]*sayhiv1.HiRequest, len(payloads))
	for i, p := range payloads {
		r[i] = &sayhiv1.HiRequest{Msg: p}
	}
	return r
}

// payload returns the payload of the i-th message.
func payload(i int) string { return payloads[i%len(payloads)] }

// echo is what every handler answers. With the request and the reply on both sides, an ask has 6 allocations that are the
// user's own.
func echo(r *sayhiv1.HiRequest) *sayhiv1.HiReply { return &sayhiv1.HiReply{Msg: r.GetMsg()} }

// checkReply reports a reply that is not that to the i-th message.
func checkReply(i int, r *sayhiv1.HiReply) error {
	if r.GetMsg() != payload(i) {
		return fmt.Errorf("reply to message %d: got %q, want %q", i, r.GetMsg(), payload(i))
	}
	return nil
}

// call is a request with its reply, by whatever means.
type call func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)

// runCallers makes n calls from a number of goroutines, each of which waits for its reply before the next, and has one deadline for
// all of its calls.
func runCallers(ctx context.Context, callers, n int, c call) error {
	failed := make([]error, callers)
	var wg sync.WaitGroup
	for k := range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			for i := k; i < n; i += callers {
				r, err := c(ctx, &sayhiv1.HiRequest{Msg: payload(i)})
				if err == nil {
					err = checkReply(i, r)
				}
				if err != nil {
					failed[k] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// sink receives one-way messages, and checks that they are all there, once, in order. Its methods may be called
// concurrently.
type sink struct {
	mu       sync.Mutex
	received int
	expected int
	wrong    error         // the first message that was not the next
	done     chan struct{} // closed when all that is expected has been received
}

// expect begins a run of n messages, n > 0.
func (s *sink) expect(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received, s.expected, s.done = 0, n, make(chan struct{})
}

// receive takes a message. Handlers call it.
func (s *sink) receive(r *sayhiv1.HiRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil && (s.received >= s.expected || r.GetMsg() != payload(s.received)) {
		s.wrong = fmt.Errorf("received as message %d of %d: %q", s.received, s.expected, r.GetMsg())
	}
	s.received++
	if s.received == s.expected {
		close(s.done)
	}
}

// wait returns when all that is expected has been received.
func (s *sink) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.check()
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.check())
	}
}

// check reports messages that were wrong, or too few, or too many.
func (s *sink) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong == nil && s.received != s.expected {
		return fmt.Errorf("received %d messages of %d", s.received, s.expected)
	}
	return s.wrong
}
