package callctx

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

var errWhy = errors.New("why")

func newContext(parent context.Context, deadline time.Time) *Context {
	c := new(Context)
	c.Init(parent, deadline, "the call")
	return c
}

// wantEnd checks how a context has ended, by all that it says.
func wantEnd(t *testing.T, ctx context.Context, err, cause error) {
	t.Helper()
	select {
	case <-ctx.Done():
	default:
		t.Error("Done is not closed")
	}
	if got := ctx.Err(); got != err {
		t.Errorf("Err = %v, want %v", got, err)
	}
	if got := context.Cause(ctx); got != cause {
		t.Errorf("Cause = %v, want %v", got, cause)
	}
}

func wantRunning(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
		t.Error("Done is closed")
	default:
	}
	if ctx.Err() != nil || context.Cause(ctx) != nil {
		t.Errorf("Err = %v, Cause = %v, want none", ctx.Err(), context.Cause(ctx))
	}
}

func TestCancel(t *testing.T) {
	for _, test := range []struct {
		name             string
		err, cause, want error
	}{
		{"without a cause", context.Canceled, nil, context.Canceled},
		{"with a cause", context.Canceled, errWhy, errWhy},
		{"as expired, with a cause", context.DeadlineExceeded, errWhy, errWhy},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent, cancel := context.WithCancel(t.Context()) // a parent that could give a cause of its own
			defer cancel()
			c := newContext(parent, time.Time{})
			wantRunning(t, c)
			c.Cancel(test.err, test.cause)
			wantEnd(t, c, test.err, test.want)
			c.Cancel(context.Canceled, errors.New("another")) // only the first counts
			cancel()
			wantEnd(t, c, test.err, test.want)
		})
	}
}

// TestCancelBeforeDone: nobody has asked for the channel when the context ends.
func TestCancelBeforeDone(t *testing.T) {
	c := newContext(t.Context(), time.Time{})
	c.Cancel(context.Canceled, errWhy)
	wantEnd(t, c, context.Canceled, errWhy)
	called := make(chan struct{})
	if stop := context.AfterFunc(c, func() { close(called) }); stop() {
		t.Error("AfterFunc of an ended context could be stopped")
	}
	<-called
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deadline := time.Now().Add(time.Second)
		c := newContext(context.Background(), deadline)
		if d, ok := c.Deadline(); !ok || !d.Equal(deadline) {
			t.Errorf("Deadline = %v, %t", d, ok)
		}
		time.Sleep(time.Second - 1)
		if c.Err() != nil {
			t.Error("ended too early")
		}
		<-c.Done()
		if now := time.Now(); !now.Equal(deadline) {
			t.Errorf("Done closed %v after the deadline", now.Sub(deadline))
		}
		wantEnd(t, c, context.DeadlineExceeded, context.DeadlineExceeded)

		lazy := newContext(context.Background(), time.Now().Add(time.Second)) // nobody asks for Done
		time.Sleep(2 * time.Second)
		if err := lazy.Err(); err != context.DeadlineExceeded {
			t.Errorf("Err = %v after the deadline", err)
		}
		wantEnd(t, lazy, context.DeadlineExceeded, context.DeadlineExceeded)
	})
}

func TestEarlierDeadlineCounts(t *testing.T) {
	now := time.Now()
	parent, cancel := context.WithDeadline(t.Context(), now.Add(time.Hour))
	defer cancel()
	for _, test := range []struct{ own, want time.Time }{
		{time.Time{}, now.Add(time.Hour)}, {now.Add(time.Minute), now.Add(time.Minute)}, {now.Add(2 * time.Hour), now.Add(time.Hour)},
	} {
		if d, ok := newContext(parent, test.own).Deadline(); !ok || !d.Equal(test.want) {
			t.Errorf("with %v: Deadline = %v, %t, want %v", test.own, d, ok, test.want)
		}
	}
	if d, ok := newContext(context.Background(), time.Time{}).Deadline(); ok {
		t.Errorf("Deadline = %v without one", d)
	}
}

func TestParent(t *testing.T) {
	for _, asked := range []bool{false, true} { // for Done, before the parent ends
		parent, cancel := context.WithCancelCause(t.Context())
		c := newContext(parent, time.Now().Add(time.Hour))
		if asked {
			wantRunning(t, c)
		}
		cancel(errWhy)
		<-c.Done()
		wantEnd(t, c, context.Canceled, errWhy)
	}
}

// TestEndedFreesParent: the parent, which lives long, does not keep what has ended.
func TestEndedFreesParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := &counting{Context: context.Background(), done: make(chan struct{})}
		c := newContext(parent, time.Now().Add(time.Hour))
		c.Done()
		if parent.watchers != 1 {
			t.Fatalf("%d watchers of the parent, want 1", parent.watchers)
		}
		c.Cancel(context.Canceled, nil)
		if parent.watchers != 0 {
			t.Errorf("%d watchers of the parent are left", parent.watchers)
		}
	})
}

// counting is a parent that counts who watches it.
type counting struct {
	context.Context
	done     chan struct{}
	watchers int
}

func (c *counting) Done() <-chan struct{} { return c.done }

func (c *counting) AfterFunc(func()) func() bool {
	c.watchers++
	return func() bool { c.watchers--; return true }
}

// testKey is a key of these tests.
type testKey struct{}

// TestDerived: contexts of the standard library made from it end with it, for its reason, and need no goroutine for that, which
// synctest would find.
func TestDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContext(context.Background(), time.Time{})
		child, cancelChild := context.WithCancel(c)
		defer cancelChild()
		timed, cancelTimed := context.WithTimeout(c, time.Hour)
		defer cancelTimed()
		valued := context.WithValue(child, testKey{}, "v")
		gone, cancelGone := context.WithCancel(c)
		cancelGone()
		wantEnd(t, gone, context.Canceled, context.Canceled)
		wantRunning(t, c)
		wantRunning(t, child)
		if n := len(c.more.Load().after); n != 2 {
			t.Errorf("%d derived contexts are watched, want 2: one that was cancelled leaks", n)
		}
		c.Cancel(context.Canceled, errWhy)
		synctest.Wait()
		for _, ctx := range []context.Context{child, timed, valued} {
			wantEnd(t, ctx, context.Canceled, errWhy)
		}
		late, cancelLate := context.WithCancel(c)
		defer cancelLate()
		wantEnd(t, late, context.Canceled, errWhy)
	})
}

// TestDerivedDeadline: the cause of a derived context is its own if it ends first.
func TestDerivedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContext(context.Background(), time.Now().Add(time.Hour))
		early, cancel := context.WithTimeoutCause(c, time.Second, errWhy)
		defer cancel()
		<-early.Done()
		wantEnd(t, early, context.DeadlineExceeded, errWhy)
		wantRunning(t, c)
		late, cancel := context.WithTimeout(c, 2*time.Hour)
		defer cancel()
		<-late.Done()
		synctest.Wait()
		wantEnd(t, late, context.DeadlineExceeded, context.DeadlineExceeded)
		wantEnd(t, c, context.DeadlineExceeded, context.DeadlineExceeded)
	})
}

func TestAfterFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContext(context.Background(), time.Now().Add(time.Second))
		calls := 0
		count := func() { calls++ }
		context.AfterFunc(c, count)
		stop := context.AfterFunc(c, func() { t.Error("a stopped function was called") })
		if !stop() {
			t.Error("stop = false before the end")
		}
		if stop() {
			t.Error("stop = true the second time")
		}
		time.Sleep(2 * time.Second) // the deadline is armed by AfterFunc
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

func TestValuesStay(t *testing.T) {
	type name struct{}
	parent := context.WithValue(t.Context(), name{}, "parent's")
	c := newContext(parent, time.Time{})
	for range 2 {
		if v := c.Value(name{}); v != "parent's" {
			t.Errorf("Value = %v", v)
		}
		derived, cancel := context.WithCancel(c)
		found := Use(derived, func(call any) {
			if call != "the call" {
				t.Errorf("Use gave %v", call)
			}
		})
		cancel()
		if !found {
			t.Error("the call was not found")
		}
		c.Cancel(context.Canceled, errWhy)
	}
	c.Part()
	if Use(c, func(any) {}) {
		t.Error("the call was found after Part")
	}
	if Use(t.Context(), func(any) {}) {
		t.Error("a call was found in another context")
	}
}

// TestSmall: every message has one of them, so it has no more than the few words that it needs.
func TestSmall(t *testing.T) {
	if got := unsafe.Sizeof(Context{}); got > 56 {
		t.Errorf("a context has %d bytes", got)
	}
}

// TestConcurrent has something to say under the race detector only.
func TestConcurrent(t *testing.T) {
	for range 200 {
		parent, cancel := context.WithCancelCause(t.Context())
		c := newContext(parent, time.Now().Add(time.Hour))
		var wg sync.WaitGroup
		for _, f := range []func(){
			func() { <-c.Done() },
			func() { c.Cancel(context.Canceled, errWhy) },
			func() { c.Cancel(context.DeadlineExceeded, nil) },
			func() { cancel(errWhy) },
			func() { c.Part() },
			func() { _, _, _ = c.Err(), context.Cause(c), c.Value(testKey{}) },
			func() { context.AfterFunc(c, func() {})() },
			func() {
				child, cancel := context.WithTimeout(c, time.Hour)
				defer cancel()
				<-child.Done()
				if child.Err() == nil || context.Cause(child) == nil {
					t.Error("an ended context has no error")
				}
			},
		} {
			wg.Go(f)
		}
		wg.Wait()
		if c.Err() == nil || context.Cause(c) == nil {
			t.Fatal("an ended context has no error")
		}
	}
}
