package fairness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// The range of a histogram, and its precision in decimal digits.
const (
	shortest  = time.Microsecond
	longest   = time.Minute
	precision = 3
)

// latencies is a histogram that may be used concurrently.
type latencies struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram
	failed    error // the first
	stuck     bool
}

func newLatencies() *latencies {
	return &latencies{histogram: hdrhistogram.New(int64(shortest), int64(longest), precision)}
}

// record takes the outcome of an ask that began at began.
func (l *latencies) record(began time.Time, err error) {
	took := min(time.Since(began), longest)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		l.stuck = true
	case err != nil:
		l.failed = errors.Join(l.failed, err)
	default:
		if err := l.histogram.RecordValue(int64(max(took, shortest))); err != nil {
			l.failed = errors.Join(l.failed, err)
		}
	}
}

// over reports whether there is no use in further asks.
func (l *latencies) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck || l.failed != nil
}

// sample returns what was recorded.
func (l *latencies) sample() (sample, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.histogram
	if l.failed == nil && !l.stuck && h.TotalCount() == 0 {
		l.failed = errors.New("no ask was made")
	}
	return sample{
		p50:   time.Duration(h.ValueAtPercentile(50)),
		p99:   time.Duration(h.ValueAtPercentile(99)),
		max:   time.Duration(h.Max()),
		stuck: l.stuck,
	}, l.failed
}

// measureLatency asks s in each way for half of a phase, and returns the samples by the names of the ways. Where one caller is stuck,
// others are not tried.
func measureLatency(ctx context.Context, c Config, s system) (map[string]sample, error) {
	request := &sayhiv1.HiRequest{Msg: strings.Repeat("x", c.AskBytes)}
	ask := func(ctx context.Context) error {
		reply, err := s.ask(ctx, request)
		if err == nil && reply.GetMsg() != request.GetMsg() {
			err = fmt.Errorf("got a reply of %d bytes that is not the request's %d", len(reply.GetMsg()), len(request.GetMsg()))
		}
		return err
	}
	one, err := askInTurn(ctx, c, ask).sample()
	if err != nil || one.stuck {
		return map[string]sample{sequential: one, openLoop: one}, err
	}
	many, err := askAtRate(ctx, c, ask).sample()
	return map[string]sample{sequential: one, openLoop: many}, err
}

// askInTurn makes one ask after the other.
func askInTurn(ctx context.Context, c Config, ask func(context.Context) error) *latencies {
	l := newLatencies()
	ctx, cancel := context.WithTimeout(ctx, c.Phase/2+c.Patience)
	defer cancel()
	for end := time.Now().Add(c.Phase / 2); time.Now().Before(end) && !l.over(); {
		began := time.Now()
		l.record(began, ask(ctx))
	}
	return l
}

// askAtRate makes asks when they are due, and counts from then, so that what is late because of others before it counts as late.
func askAtRate(ctx context.Context, c Config, ask func(context.Context) error) *latencies {
	l := newLatencies()
	ctx, cancel := context.WithTimeout(ctx, c.Phase/2+c.Patience)
	defer cancel()
	asks := max(1, int(c.Phase.Seconds()/2*float64(c.Rate)))
	began := time.Now()
	var wg sync.WaitGroup
	for i := 0; i < asks && !l.over(); i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(c.Rate))
		time.Sleep(time.Until(due))
		wg.Go(func() { l.record(due, ask(ctx)) })
	}
	wg.Wait()
	return l
}
