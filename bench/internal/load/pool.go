package load

import (
	"context"
	"sync"
	"time"

	hdrhistogram "github.com/HdrHistogram/hdrhistogram-go"
)

// pool makes the operations of a schedule on a bounded number of goroutines, which it starts as they are needed. A worker whose call
// has ended takes the next operation that is due, without waiting for the pacer; a worker that has taken one, and sees another due,
// wakes the next. So the pacer does little however much is due, and nothing that is due waits for it while anybody is awake.
type pool struct {
	config Config
	call   Call
	ctx    context.Context // of the calls
	start  time.Time
	stop   time.Duration // when the schedule ends, since start

	workers sync.WaitGroup

	mu       sync.Mutex
	wake     *sync.Cond // something is due, or nothing will be any more
	schedule *schedule
	now      time.Duration // what is due until then may be started; since start
	sleeping int           // workers that wait for wake
	number   int           // workers in all
	ended    bool          // nothing is started any more
	tally    Result
	inTime   int // operations that succeeded within Duration
}

func newPool(ctx context.Context, c Config, call Call) *pool {
	p := &pool{
		config:   c,
		call:     call,
		ctx:      ctx,
		start:    time.Now(),
		stop:     c.Warmup + c.Duration,
		schedule: newSchedule(c),
		tally:    Result{Latency: newHistogram(), Start: newHistogram()},
	}
	p.wake = sync.NewCond(&p.mu)
	return p
}

// pace releases operations until all are due.
func (p *pool) pace(wait waiter) {
	for p.ctx.Err() == nil {
		now := time.Since(p.start)
		next, more := p.release(now)
		if !more {
			return
		}
		wait(p.ctx, p.start.Add(max(next, now+p.config.Tick)))
	}
}

// release lets what is due now be started, and returns when to do so again, and whether that is needed.
func (p *pool) release(now time.Duration) (next time.Duration, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = max(p.now, now)
	due := p.schedule.peek().due
	p.wakeOne()
	return min(due, p.stop), due < p.stop && p.now < p.stop
}

// available reports whether an operation may be started. The caller holds mu.
func (p *pool) available() bool {
	due := p.schedule.peek().due
	return due <= p.now && due < p.stop && !p.ended
}

// wakeOne gets a worker for what may be started, if there is anything and anybody is free. The caller holds mu.
func (p *pool) wakeOne() {
	switch {
	case !p.available():
	case p.sleeping > 0:
		p.wake.Signal()
	case p.number < p.config.Workers:
		p.number++
		p.workers.Go(p.work)
	}
}

// work makes operations until there are no more.
func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		op, ok := p.take()
		if !ok {
			return
		}
		p.mu.Unlock()
		started := time.Since(p.start)
		err := p.call(p.ctx, op.number)
		ended := time.Since(p.start)
		p.mu.Lock()
		p.count(op, started, ended, err)
		p.now = max(p.now, ended)
	}
}

// take returns the next operation when it is due, and reports whether there is one. The caller holds mu.
func (p *pool) take() (operation, bool) {
	for !p.available() {
		if p.ended || p.schedule.peek().due >= p.stop {
			p.wake.Broadcast()
			return operation{}, false
		}
		p.sleeping++
		p.wake.Wait()
		p.sleeping--
	}
	op := p.schedule.peek()
	p.schedule.next()
	p.wakeOne()
	return op, true
}

// count adds an operation that has ended. The caller holds mu.
func (p *pool) count(op operation, started, ended time.Duration, err error) {
	if err == nil && ended >= p.config.Warmup && ended < p.stop {
		p.inTime++
	}
	if op.due < p.config.Warmup {
		return
	}
	t := &p.tally
	t.Due++
	record(t.Latency, ended-op.due)
	record(t.Start, started-op.due)
	switch {
	case err == nil:
	case p.ended:
		t.Unfinished++
	default:
		t.Failed++
		if t.Err == nil {
			t.Err = err
		}
	}
}

// end lets nothing more be started, counts what never was, and lets the workers go.
func (p *pool) end() {
	now := time.Since(p.start)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.wake.Broadcast()
	if p.ctx.Err() != nil {
		return // there is no result
	}
	for op := p.schedule.peek(); op.due < p.stop; op = p.schedule.peek() {
		p.schedule.next()
		if op.due < p.config.Warmup {
			continue
		}
		p.tally.Due++
		p.tally.NotStarted++
		record(p.tally.Latency, now-op.due)
		record(p.tally.Start, now-op.due)
	}
}

// result returns what was measured, when all workers have ended.
func (p *pool) result() *Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.tally
	r.Offered = float64(r.Due) / p.config.Duration.Seconds()
	r.Achieved = float64(p.inTime) / p.config.Duration.Seconds()
	return &r
}

// newHistogram returns one of nanoseconds, up to an hour, with 3 significant digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(time.Hour), 3) }

// record adds d. What is longer than the histogram's range counts as its end.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	// The value is within the range, so that there is no error.
	_ = h.RecordValue(min(max(int64(d), 0), h.HighestTrackableValue()))
}
