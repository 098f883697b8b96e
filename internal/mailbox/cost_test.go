package mailbox

import (
	"runtime"
	"sync"
	"testing"
)

// waitIdle returns when b has nothing queued and no worker.
func waitIdle[T any](b *Box[T]) {
	for {
		b.mu.Lock()
		idle := b.queue.len() == 0 && b.active == 0 && b.released == 0
		b.mu.Unlock()
		if idle {
			return
		}
		runtime.Gosched()
	}
}

func TestPostAndTakeDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	type message [64]byte
	item := new(message)
	taken, goOn := make(chan struct{}), make(chan struct{})
	b := New(Config{}, func(turn Turn, _ *message) {
		taken <- struct{}{}
		<-goOn
	})

	t.Run("idle box", func(t *testing.T) {
		if n := testing.AllocsPerRun(1000, func() {
			b.Post(item)
			<-taken
			goOn <- struct{}{}
			waitIdle(b)
		}); n != 0 {
			t.Errorf("%v allocations for an item, want 0", n)
		}
	})
	t.Run("busy box", func(t *testing.T) {
		b.Post(item)
		<-taken
		if n := testing.AllocsPerRun(1000, func() {
			b.Post(item)
			goOn <- struct{}{}
			<-taken
		}); n != 0 {
			t.Errorf("%v allocations for an item, want 0", n)
		}
		goOn <- struct{}{}
	})
	waitIdle(b)
}

// TestIdleBoxIsSmall measures boxes that have had a burst and are idle again.
func TestIdleBoxIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const boxes, limit = 10_000, 200
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // the pool of workers gives up its memory after two
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	all := make([]*Box[any], boxes)
	ws := NewWorkers(func(Turn, any) {}) // as an Env has them
	burst := make([]any, 100)
	before := heap()
	for i := range all {
		all[i] = new(Box[any])
		all[i].Init(Config{}, ws)
		all[i].Post(burst...)
		waitIdle(all[i])
	}
	each := (int64(heap()) - int64(before)) / boxes
	t.Logf("%d bytes for an idle box", each)
	if each > limit {
		t.Errorf("%d bytes for an idle box, want at most %d", each, limit)
	}
	runtime.KeepAlive(all)
}

func BenchmarkPost(b *testing.B) {
	type message [64]byte
	item := new(message)
	run := func(c Config, producers, batch int) func(b *testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			c.Capacity = 4096
			box := New(c, func(Turn, *message) {})
			var running sync.WaitGroup
			for range producers {
				running.Go(func() {
					items := make([]*message, batch)
					for i := range items {
						items[i] = item
					}
					for left := b.N / producers; left > 0; {
						n := box.Post(items[:min(left, batch)]...)
						if n == 0 {
							runtime.Gosched() // full
						}
						left -= n
					}
				})
			}
			running.Wait()
			box.Close(item)
			<-box.Done()
		}
	}
	b.Run("serial/1 producer", run(Config{}, 1, 1))
	b.Run("serial/1 producer/batches of 64", run(Config{}, 1, 64))
	b.Run("serial/8 producers", run(Config{}, 8, 1))
	b.Run("concurrency 4/8 producers", run(Config{Concurrency: 4}, 8, 1))
}

// BenchmarkWake is the way of a lone item through an idle box and back.
func BenchmarkWake(b *testing.B) {
	b.ReportAllocs()
	taken := make(chan struct{})
	box := New(Config{}, func(Turn, int) { taken <- struct{}{} })
	for b.Loop() {
		box.Post(1)
		<-taken
	}
	waitIdle(box)
}

// BenchmarkSpread is one item for each of many boxes that have their workers in common.
func BenchmarkSpread(b *testing.B) {
	b.ReportAllocs()
	ws := NewWorkers(func(Turn, int) {})
	boxes := make([]Box[int], 64)
	for i := range boxes {
		boxes[i].Init(Config{}, ws)
	}
	for i := range b.N {
		boxes[i%len(boxes)].Post(i)
		if i%len(boxes) == len(boxes)-1 {
			<-ws.Gone()
		}
	}
}
