package mailbox

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// workers returns how many workers exist once all that can run has run: that a worker is gone is the last thing it says, so its goroutine may still be
// there when somebody hears of it.
func workers() int {
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "[...]).run(")
}

func TestSerialOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		if n := g.Post(1, 2); n != 2 {
			t.Errorf("Post = %d, want 2", n)
		}
		g.Post(3)
		g.expect(1)
		if n := g.Len(); n != 2 {
			t.Errorf("Len = %d, want 2", n)
		}
		g.finish(1)
		g.expect(1, 2)
		g.finish(2, 3)
		g.expect(1, 2, 3)
		g.Close(last)
		g.finish(last)
		g.expect(1, 2, 3, last)
		g.expectDone(true)
	})
}

func TestProducersKeepTheirOrder(t *testing.T) {
	type item struct{ producer, number int }
	const producers, each = 10, 1000
	synctest.Test(t, func(t *testing.T) {
		var next [producers]int // without a lock: the race detector checks that handlers are ordered
		b := New(Config{}, func(_ Turn, i item) {
			if i.producer < 0 {
				return
			}
			if i.number != next[i.producer] {
				t.Errorf("producer %d: got %d, want %d", i.producer, i.number, next[i.producer])
			}
			next[i.producer] = i.number + 1
		})
		var running sync.WaitGroup
		for p := range producers {
			running.Go(func() {
				for n := 0; n < each; n += 2 {
					b.Post(item{p, n}, item{p, n + 1})
				}
			})
		}
		running.Wait()
		b.Close(item{producer: -1})
		<-b.Done()
		for p, n := range next {
			if n != each {
				t.Errorf("producer %d: handled %d, want %d", p, n, each)
			}
		}
	})
}

func TestPostFromHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []int
		var b *Box[int]
		b = New(Config{}, func(_ Turn, item int) {
			got = append(got, item)
			switch {
			case item == last:
			case item < 5:
				b.Post(item + 1)
			default:
				b.Close(last)
			}
		})
		b.Post(1)
		<-b.Done()
		if want := []int{1, 2, 3, 4, 5, last}; !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
	})
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Concurrency: 3})
		g.Post(1, 2, 3, 4, 5)
		g.expect(1) // the first one is alone
		g.finish(1)
		g.expect(1, 2, 3, 4)
		g.finish(3)
		g.expect(1, 2, 3, 4, 5)
		g.finish(2, 4)
		g.Post(6)
		g.Post(7)
		g.Post(8)
		g.expect(1, 2, 3, 4, 5, 6, 7)
		g.Close(last)
		g.finish(5, 6, 8)
		g.expect(1, 2, 3, 4, 5, 6, 7, 8) // 7 goes on, so last waits
		g.finish(7, last)
		g.expectDone(true)
	})
}

func TestConcurrencyUnderLoad(t *testing.T) {
	const limit, producers, each = 4, 8, 500
	synctest.Test(t, func(t *testing.T) {
		var running, most, handled atomic.Int32
		var firstReturned, lastStarted atomic.Bool
		b := New(Config{Concurrency: limit}, func(_ Turn, item int) {
			now := running.Add(1)
			defer running.Add(-1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			switch {
			case item == 0:
				runtime.Gosched()
				firstReturned.Store(true)
			case !firstReturned.Load():
				t.Error("an item was started before the first one had returned")
			case lastStarted.Load():
				t.Error("an item was started after the last one")
			case item == last:
				lastStarted.Store(true)
				if now != 1 {
					t.Errorf("%d handlers beside the last one", now-1)
				}
			}
			handled.Add(1)
			runtime.Gosched()
		})
		b.Post(0)
		var posting sync.WaitGroup
		for range producers {
			posting.Go(func() {
				for range each {
					b.Post(1)
				}
			})
		}
		posting.Wait()
		b.Close(last)
		<-b.Done()
		if most.Load() > limit {
			t.Errorf("%d handlers at once, want at most %d", most.Load(), limit)
		}
		if want := int32(producers*each + 2); handled.Load() != want {
			t.Errorf("handled %d, want %d", handled.Load(), want)
		}
	})
}

func TestGoexit(t *testing.T) {
	for _, test := range []struct {
		name    string
		config  Config
		release bool
	}{
		{"serial", Config{}, false},
		{"concurrent", Config{Concurrency: 3}, false},
		{"released", Config{Released: 1}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var handled atomic.Int32
				var afterGoexit atomic.Bool
				b := New(test.config, func(turn Turn, item int) {
					handled.Add(1)
					if test.release {
						turn.Release()
					}
					runtime.Goexit()
					afterGoexit.Store(true)
				})
				b.Post(1, 2, 3, 4, 5)
				synctest.Wait()
				b.Post(6)
				b.Close(last)
				<-b.Done()
				if handled.Load() != 7 || afterGoexit.Load() {
					t.Errorf("handled %d, want 7; went on after Goexit: %t", handled.Load(), afterGoexit.Load())
				}
			})
		})
	}
}

// TestGoexitOfFirst makes sure that the first turn is over in this way too.
func TestGoexitOfFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		gate := make(chan struct{})
		b := New(Config{Concurrency: 3}, func(_ Turn, item int) {
			if item == 1 {
				runtime.Goexit()
			}
			running.Add(1)
			<-gate
		})
		b.Post(1, 2, 3, 4, 5)
		synctest.Wait()
		if n := running.Load(); n != 3 {
			t.Errorf("%d handlers at once after the first one, want 3", n)
		}
		close(gate)
		b.Close(last)
		<-b.Done()
	})
}

func TestCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Capacity: 3})
		g.Post(1)
		synctest.Wait() // 1 is handed out and takes no room
		if n := g.Post(2, 3, 4, 5); n != 3 {
			t.Errorf("Post of 4 with room for 3 = %d", n)
		}
		if n := g.Post(6); n != 0 {
			t.Errorf("Post to a full box = %d, want 0", n)
		}
		for _, item := range []int{7, 8} {
			if !g.PostControl(item) {
				t.Errorf("PostControl of %d to a full box = false", item)
			}
		}
		g.finish(1, 2)
		if n := g.Post(9); n != 0 {
			t.Errorf("Post to a box filled by control items = %d, want 0", n)
		}
		g.finish(3)
		if n := g.Post(10, 11); n != 1 {
			t.Errorf("Post of 2 with room for 1 beside control items = %d", n)
		}
		if !g.Close(last) {
			t.Error("Close of a full box = false")
		}
		g.finish(4, 7, 8, 10, last)
		g.expect(1, 2, 3, 4, 7, 8, 10, last)
		g.expectDone(true)
	})
}

func TestCapacityOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Capacity: 1})
		if n := g.Post(1, 2); n != 1 {
			t.Errorf("Post of 2 with room for 1 = %d", n)
		}
		synctest.Wait()
		if n := g.Post(3, 4); n != 1 {
			t.Errorf("Post of 2 with room for 1 behind a running handler = %d", n)
		}
		g.Close(last)
		g.finish(1, 3, last)
		g.expect(1, 3, last)
		g.expectDone(true)
	})
}

func TestNoGoroutineWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Concurrency: 3})
		if n := workers(); n != 0 {
			t.Fatalf("%d goroutines in a new box, want 0", n)
		}
		g.Post(1)
		g.finish(1)
		g.Post(2, 3, 4, 5)
		if n := workers(); n != 3 {
			t.Errorf("%d goroutines for 3 handlers", n)
		}
		g.finish(2, 3, 4, 5)
		if n := workers(); n != 0 {
			t.Errorf("%d goroutines in an idle box, want 0", n)
		}
		g.Post(6)
		g.expect(1, 2, 3, 4, 5, 6)
		g.Close(last)
		g.finish(6, last)
		<-g.Done()
		<-g.workers.Gone()
		if n := workers(); n != 0 {
			t.Errorf("%d goroutines after Done, want 0", n)
		}
	})
}

// TestHireKeepsToTheLimit looks inside, because a worker too many would only
// find that there is no room for it: a waste that no user could see.
func TestHireKeepsToTheLimit(t *testing.T) {
	for _, test := range []struct {
		limit, active, queued int
		hired, want           bool
	}{
		{limit: 3, active: 0, queued: 9, want: true},
		{limit: 3, active: 2, queued: 9, want: true},
		{limit: 3, active: 2, queued: 9, hired: true, want: false},
		{limit: 3, active: 3, queued: 9, want: false},
		{limit: 3, active: 0, queued: 0, want: false},
	} {
		b := New(Config{Concurrency: test.limit, Prepared: true}, func(Turn, int) {})
		b.active, b.hired = int32(test.active), test.hired
		b.queue.push(make([]int, test.queued)...)
		want := int32(test.active)
		if test.want {
			want++
		}
		if got := b.hireLocked(); got != test.want || b.active != want {
			t.Errorf("%+v: hired %t, %d active", test, got, b.active)
		}
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	handle := func(Turn, int) {}
	for name, make := range map[string]func(){
		"nil handler":          func() { New[int](Config{}, nil) },
		"negative Concurrency": func() { New(Config{Concurrency: -1}, handle) },
		"negative Released":    func() { New(Config{Released: -1}, handle) },
		"negative Capacity":    func() { New(Config{Capacity: -1}, handle) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New did not panic")
				}
			}()
			make()
		})
	}
}

// TestOldest: what is handed out next is seen, but neither what has been handed out nor the item given to Close.
func TestOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{})
		oldest := func() (items []int) {
			g.Oldest(func(item int) { items = append(items, item) })
			return items
		}
		if got := oldest(); got != nil {
			t.Errorf("an empty box has %d", got)
		}
		g.Post(1, 2, 3)
		g.expect(1)
		if got := oldest(); !slices.Equal(got, []int{2}) {
			t.Errorf("the oldest is %d, want 2", got)
		}
		g.finish(1, 2)
		g.expect(1, 2, 3)
		g.Close(last)
		if got := oldest(); got != nil {
			t.Errorf("the oldest is %d, want none", got)
		}
		g.finish(3, last)
	})
}
