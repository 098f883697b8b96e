package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

const (
	// window is how many asks of a flow may be unanswered at a time.
	window = 64
	// tick is how often the pump looks how many messages are due, and tries again what was refused.
	tick = 5 * time.Millisecond
	// askEvery and largeEvery say which messages, by their position, are asks, and which are so large that they travel in chunks.
	askEvery, largeEvery = 3, 101
	// paddings of messages, in bytes.
	leastPadding, mostPadding, largePadding = 32, 512, 48 << 10
)

// marker is in every padding, so that a proxy knows a chunk of bytes that has a message, and not only the heads of frames.
const marker = "parley-chaos-padding|"

var pattern = bytes.Repeat([]byte(marker), largePadding/len(marker)+1)

// padding returns n bytes, which nobody may change.
func padding(n int) []byte { return pattern[:n] }

// carriesMessage reports whether bytes on their way have a message.
func carriesMessage(chunk []byte) bool { return bytes.Contains(chunk, []byte(marker)) }

// pump sends the messages of a flow.
type pump struct {
	flow   string
	to     parleytestv1parley.NumberedRef
	random *rand.Rand

	// The numbers of what was sent last; only the goroutine that sends has them.
	position, puts, checks uint64

	mu       sync.Mutex
	sent     sent
	problems map[string]problem
}

func newPump(flow string, to parleytestv1parley.NumberedRef, seed uint64) *pump {
	h := fnv.New64a()
	h.Write([]byte(flow)) // it never fails
	return &pump{flow: flow, to: to, random: rand.New(rand.NewPCG(seed, h.Sum64())), problems: make(map[string]problem)}
}

// check is an ask that was made.
type check struct {
	number uint64
	answer *endpoint.Future[parleytestv1.NumberedMessage]
}

// run sends until stop ends, and then waits for what is outstanding, until patience ends.
func (p *pump) run(stop, patience context.Context) {
	checks := make(chan check, window)
	var collector sync.WaitGroup
	collector.Go(func() {
		for c := range checks {
			p.collect(patience, c)
		}
	})
	p.send(stop, patience, checks)
	close(checks)
	collector.Wait()
}

// send sends what is due by the rate, so that after an outage all that was held up is sent at once.
func (p *pump) send(stop, patience context.Context, checks chan<- check) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	started := time.Now()
	for {
		select {
		case <-ticker.C:
		case <-stop.Done():
			return
		}
		for due := uint64(time.Since(started).Seconds() * flowRate); p.position < due && stop.Err() == nil; {
			if (p.position+1)%askEvery == 0 {
				p.ask(patience, checks)
			} else if !p.put(patience) {
				break // until the next tick
			}
		}
	}
}

// message returns the next message.
func (p *pump) message(number uint64) *parleytestv1.NumberedMessage {
	size := leastPadding + p.random.IntN(mostPadding-leastPadding)
	if p.position%largeEvery == 0 {
		size = largePadding
	}
	return &parleytestv1.NumberedMessage{Flow: p.flow, Number: number, Position: p.position + 1, Padding: padding(size)}
}

// put sends one message. One that is refused was not executed, as its error says, and is tried again with the same number: if
// that is not true, it arrives twice.
func (p *pump) put(patience context.Context) bool {
	err := p.to.Put.Send(patience, p.message(p.puts+1))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.sent.Refused++
		p.noteLocked(err)
		return false
	}
	p.position++
	p.puts++
	p.sent.Puts++
	return true
}

// ask asks, without waiting for the answer. It waits while too many are outstanding.
func (p *pump) ask(patience context.Context, checks chan<- check) {
	c := check{p.checks + 1, p.to.Check.Ask(patience, p.message(p.checks+1))}
	p.position++
	p.checks++
	p.mu.Lock()
	p.sent.Asked++
	p.mu.Unlock()
	checks <- c // collect does not wait for ever, because patience ends
}

// collect waits for an answer.
func (p *pump) collect(patience context.Context, c check) {
	answer, err := c.answer.Wait(patience)
	if err == nil && (answer.GetFlow() != p.flow || answer.GetNumber() != c.number) {
		err = fmt.Errorf("ask %d of %s was given the answer to %d of %s", c.number, p.flow, answer.GetNumber(), answer.GetFlow())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.sent.Failed++
		p.noteLocked(err)
		return
	}
	p.sent.Answered++
}

// noteLocked notes an error with others of its kind.
func (p *pump) noteLocked(err error) {
	e := endpoint.AsError(err)
	key := fmt.Sprintf("%s %s (%s)", e.Verb, e.Reason, e.Execution)
	n, known := p.problems[key]
	if !known {
		n.First = fmt.Sprintf("%s: %s", p.flow, err)
	}
	n.Count++
	p.problems[key] = n
}

// report adds what the pump knows.
func (p *pump) report(to *report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to.Sent[p.flow] = p.sent
	for key, n := range p.problems {
		to.add(key, n)
	}
}

// add adds a problem.
func (r *report) add(key string, n problem) {
	sum, known := r.Problems[key]
	if !known {
		sum.First = n.First
	}
	sum.Count += n.Count
	r.Problems[key] = sum
}
