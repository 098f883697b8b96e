package scale

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// readings is how often usage is read until it stands still.
	readings = 40
	// between is the time between two of them, longer than an acknowledgement may be delayed.
	between = 50 * time.Millisecond
)

// usage is what the process has in use.
type usage struct {
	bytes      int64 // of objects in the heap, and of stacks
	goroutines int64
}

// read returns what is in use now, garbage included.
func read() usage {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/sched/goroutines:goroutines"},
	}
	metrics.Read(s)
	return usage{bytes: int64(s[0].Value.Uint64() + s[1].Value.Uint64()), goroutines: int64(s[2].Value.Uint64())}
}

// settled returns what is in use when everything stands still, without garbage.
func settled(ctx context.Context) (usage, error) {
	var last usage
	for range readings {
		runtime.GC() // what pools hold goes with the second one
		runtime.GC()
		now := read()
		const still = 1000 // a thousandth of the bytes
		if d := now.bytes - last.bytes; now.goroutines == last.goroutines && d <= now.bytes/still && -d <= now.bytes/still {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return usage{}, fmt.Errorf("waiting until memory stands still: %w", ctx.Err())
		case <-time.After(between):
		}
	}
	return last, nil
}

// cost is what one thing of many has in use.
type cost struct{ bytes, goroutines float64 }

// each returns what one of n things costs that have come between before and u.
func (u usage) each(before usage, n int) cost {
	return cost{float64(u.bytes-before.bytes) / float64(n), float64(u.goroutines-before.goroutines) / float64(n)}
}
