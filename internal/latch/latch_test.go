package latch_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/parley-rpc/parley/internal/latch"
)

func Example() {
	var over latch.Latch
	fmt.Println(over.IsSet())
	over.Set()
	<-over.Done()
	fmt.Println(over.IsSet())
	// Output:
	// false
	// true
}

func TestLatch(t *testing.T) {
	t.Run("looked at afterwards", func(t *testing.T) {
		var l latch.Latch
		if l.IsSet() {
			t.Error("set before Set")
		}
		l.Set()
		if !l.IsSet() {
			t.Error("not set after Set")
		}
		done := l.Done()
		<-done
		if l.Done() != done {
			t.Error("Done returns another channel")
		}
	})
	t.Run("waited for", func(t *testing.T) {
		var l latch.Latch
		done := l.Done()
		select {
		case <-done:
			t.Error("done before Set")
		default:
		}
		l.Set()
		<-done
		l.Set() // does nothing
	})
	t.Run("by many", func(t *testing.T) {
		var l latch.Latch
		seen := 0 // what was done before Set is seen after it, as the race detector would tell
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if i%2 == 0 {
					<-l.Done()
				} else if !l.IsSet() {
					return
				}
				if seen != 1 {
					t.Error("told before it had happened")
				}
			})
		}
		seen = 1
		l.Set()
		wg.Wait()
	})
}
