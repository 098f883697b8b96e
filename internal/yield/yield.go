// Package yield has a goroutine that hands much work to others let these begin.
//
// The Go scheduler keeps the goroutine that was woken last for the processor that woke it: others take it only after a while. So who wakes one and goes on
// working holds it up, although other processors may be idle. A yield lets it begin; but where as many goroutines compute as
// there are processors, it lasts for as long as these may have theirs, which is ten milliseconds and more.
package yield

import (
	"runtime"
	"time"
)

const (
	// slow is from how long on a yield tells that the processors are taken.
	slow = 2 * time.Millisecond
	// pause is for how many times as long as a slow yield there is no other one, so that they take no more than a part of the time that is as small.
	pause = 50
)

// Yielder yields the processor of a goroutine. It is not safe for concurrent use. The zero Yielder is ready for use.
type Yielder struct {
	next time.Time // before that nothing is yielded
}

// Yield lets others run, unless it took long to come back not long ago.
func (y *Yielder) Yield() {
	began := time.Now()
	if !y.due(began) {
		return
	}
	runtime.Gosched()
	y.took(began, time.Since(began))
}

func (y *Yielder) due(now time.Time) bool { return !now.Before(y.next) }

// took is told how long a yield took.
func (y *Yielder) took(began time.Time, long time.Duration) {
	if long >= slow {
		y.next = began.Add(pause * long)
	}
}
