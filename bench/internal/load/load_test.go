package load

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake runs c in fake time.
func fake(t *testing.T, c Config, call Call) *Result {
	t.Helper()
	r, err := run(t.Context(), c, waitTimer, call)
	if err != nil {
		t.Fatal(err)
	}
	if n := int(r.Latency.TotalCount()); n != r.Due || int(r.Start.TotalCount()) != r.Due {
		t.Errorf("latencies of %d operations, and starts of %d, of %d due", n, r.Start.TotalCount(), r.Due)
	}
	return r
}

// after sleeps in fake time, unless ctx ends first.
func after(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// above counts the operations with at least the latency d, to 3 digits.
func above(r *Result, d time.Duration) int {
	n := 0
	for _, bar := range r.Latency.Distribution() {
		if bar.From >= int64(d) {
			n += int(bar.Count)
		}
	}
	return n
}

// A system that does one thing at a time stalls once for 100 ms. A caller that waits would see one slow call in 10 000. In truth 100 were
// due in that time, whose waits fall from 100 ms to nothing.
func TestStallIsInTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slowCalls int
		r := fake(t, Config{Rate: 1000, Duration: 10 * time.Second, Workers: 1}, func(ctx context.Context, i int) error {
			began := time.Now()
			if i == 5000 {
				if err := after(ctx, 100*time.Millisecond); err != nil {
					return err
				}
			}
			if time.Since(began) > 0 {
				slowCalls++
			}
			return nil
		})
		if slowCalls != 1 {
			t.Fatalf("%d calls were slow themselves, want 1", slowCalls)
		}
		for d, want := range map[time.Duration]int{time.Millisecond: 100, 50 * time.Millisecond: 51, 90 * time.Millisecond: 11} {
			if n := above(r, d-d/1000); n != want {
				t.Errorf("%d operations took %v or longer, want %d", n, d, want)
			}
		}
		if got := time.Duration(r.Latency.ValueAtPercentile(99.5)); got < 49*time.Millisecond || got > 51*time.Millisecond {
			t.Errorf("99.5th percentile is %v, want 50 ms", got)
		}
		if r.Due != 10_000 || r.Offered != 1000 || r.Achieved != 1000 || r.Failed+r.NotStarted+r.Unfinished != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestWhatCannotBeStartedCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Rate: 2000, Duration: time.Second, Workers: 10, Grace: 500 * time.Millisecond}
		r := fake(t, c, func(ctx context.Context, _ int) error { return after(ctx, 10*time.Millisecond) })
		// 10 at a time of 10 ms each: 1000 a second, of which the last begin when the grace ends.
		if r.Due != 2000 || math.Abs(r.Achieved-1000) > 20 {
			t.Errorf("%d due, %g a second achieved, want 2000 and 1000", r.Due, r.Achieved)
		}
		if r.NotStarted < 480 || r.NotStarted > 500 || r.Unfinished > 10 || r.Failed != 0 {
			t.Errorf("got %+v, want some 490 not started", r)
		}
		// The first that never started was due after some 750 ms, and the last after 1 s.
		if n := above(r, 500*time.Millisecond); n < r.NotStarted {
			t.Errorf("%d operations took 500 ms or longer, want those not started, %d", n, r.NotStarted)
		}
	})
}

func TestOutstandingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outstanding, most atomic.Int64
		c := Config{Rate: 10_000, Duration: time.Second, Workers: 7, Poisson: true, Grace: time.Hour}
		fake(t, c, func(ctx context.Context, _ int) error {
			n := outstanding.Add(1)
			defer outstanding.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			return after(ctx, time.Millisecond)
		})
		if most.Load() != 7 {
			t.Errorf("as many as %d outstanding, want 7", most.Load())
		}
	})
}

func TestIdleSystemHasTheLatencyOfItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tick = 250 * time.Microsecond
		wakes := 0
		wait := func(ctx context.Context, until time.Time) {
			wakes++
			waitTimer(ctx, until)
		}
		c := Config{Rate: 100_000, Duration: time.Second, Tick: tick}
		r, err := run(t.Context(), c, wait, func(ctx context.Context, _ int) error { return after(ctx, time.Millisecond) })
		if err != nil {
			t.Fatal(err)
		}
		if most := time.Duration(r.Start.Max()); most > tick+tick/100 {
			t.Errorf("an operation was started %v late, want at most %v", most, tick)
		}
		if least, most := time.Duration(r.Latency.Min()), time.Duration(r.Latency.Max()); least < 999*time.Microsecond ||
			most > time.Millisecond+tick+tick/100 {
			t.Errorf("latencies from %v to %v, want 1 ms to %v", least, most, time.Millisecond+tick)
		}
		if want := int(time.Second / tick); wakes > want {
			t.Errorf("%d wakes of the pacer, want at most %d", wakes, want)
		}
	})
}

func TestWarmupIsNotMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := fake(t, Config{Rate: 100, Warmup: time.Second, Duration: 2 * time.Second}, func(ctx context.Context, i int) error {
			calls.Add(1)
			if i < 50 {
				return errors.New("cold")
			}
			return nil
		})
		if calls.Load() != 300 || r.Due != 200 || r.Failed != 0 || r.Achieved != 100 {
			t.Errorf("%d calls, got %+v", calls.Load(), r)
		}
	})
}

func TestErrorsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := fake(t, Config{Rate: 100, Duration: time.Second}, func(_ context.Context, i int) error {
			if i%4 == 0 {
				return broken
			}
			return nil
		})
		if r.Failed != 25 || !errors.Is(r.Err, broken) || r.Achieved != 75 || r.Unfinished != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestHangEndsWithTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := fake(t, Config{Rate: 10, Duration: time.Second, Grace: 3 * time.Second, Workers: 4}, func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if r.Unfinished != 4 || r.NotStarted != 6 || r.Failed != 0 || r.Achieved != 0 {
			t.Errorf("got %+v", r)
		}
		if got := time.Since(began); got != 4*time.Second {
			t.Errorf("took %v, want 4 s", got)
		}
	})
}

func TestEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		r, err := run(ctx, Config{Rate: 0.1, Duration: time.Hour}, waitTimer, func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return nil
		})
		if r != nil || !errors.Is(err, why) {
			t.Errorf("got %v, %v", r, err)
		}
	})
}

func TestInvalidConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no rate":          {Duration: 1},
		"NaN":              {Duration: 1, Rate: math.NaN()},
		"infinite":         {Duration: 1, Rate: math.Inf(1)},
		"no duration":      {Rate: 1},
		"negative workers": {Rate: 1, Duration: 1, Workers: -1},
	} {
		if _, err := Run(t.Context(), c, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// In real time, only what does not depend on it is checked.
func TestRealTime(t *testing.T) {
	var calls atomic.Int64
	r, err := Run(t.Context(), Config{Rate: 20_000, Duration: 100 * time.Millisecond, Grace: time.Minute}, func(context.Context, int) error {
		calls.Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Due != 2000 || calls.Load() != 2000 || r.NotStarted+r.Unfinished+r.Failed != 0 {
		t.Errorf("%d calls, got %+v", calls.Load(), r)
	}
}

func TestWaiterWaits(t *testing.T) {
	wait, release, err := newWaiter()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for range 10 {
		until := time.Now().Add(300 * time.Microsecond)
		wait(t.Context(), until)
		if now := time.Now(); now.Before(until) {
			t.Errorf("returned %v early", until.Sub(now))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := context.AfterFunc(ctx, func() {})
	defer stop()
	time.AfterFunc(time.Millisecond, cancel)
	wait(ctx, time.Now().Add(time.Hour))
	if ctx.Err() == nil {
		t.Error("returned before its context ended")
	}
}
