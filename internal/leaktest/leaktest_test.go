package leaktest

import (
	"strings"
	"testing"
	"time"
)

// recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB
	cleanup []func()
	errors  int
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(string, ...any) { r.errors++ }

func TestCheckWaitsForGoroutinesThatEnd(t *testing.T) {
	r := &recorder{TB: t}
	Check(r)
	end := make(chan struct{})
	go func() { <-end }()
	time.AfterFunc(4*poll, func() { close(end) }) // after the first look of the cleanup, most likely
	for _, f := range r.cleanup {
		f()
	}
	if r.errors != 0 {
		t.Errorf("%d errors for a goroutine that has ended, want 0", r.errors)
	}
}

func TestAwaitReturnsWhatIsLeft(t *testing.T) {
	before := goroutines()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go leaked(begun, end, ended)
	<-begun // until then its stack does not name it
	left := await(before, 10*poll)
	close(end)
	<-ended
	if len(left) != 1 || !strings.Contains(left[0], "leaktest.leaked") {
		t.Errorf("got %d stacks %q, want that of leaked", len(left), left)
	}
}

func leaked(begun chan<- struct{}, end <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	close(begun)
	<-end
}
