// Package leaktest fails tests that leave goroutines behind.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Patience is how long goroutines may take to end after a test, because some libraries do not wait for their own.
const Patience = 10 * time.Second

// poll is how often the goroutines are looked at until then.
const poll = 5 * time.Millisecond

// Check fails t if, at its cleanup, goroutines are left that did not exist when Check was called. Call it before whatever
// else the test cleans up, and not in tests that run in parallel with others.
func Check(t testing.TB) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		if left := await(before, Patience); len(left) > 0 {
			t.Errorf("%d goroutines are left:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// Main runs the tests of a package and returns the exit code, which is not 0 if a test has failed or if goroutines are left.
func Main(m *testing.M) int {
	before := goroutines()
	code := m.Run()
	if code != 0 {
		return code
	}
	if left := await(before, Patience); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines are left after all tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		return 1
	}
	return 0
}

// await waits until no goroutines but those of before are left, not longer than patience, and returns the stacks of the
// others.
func await(before map[string]string, patience time.Duration) []string {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		var left []string
		for id, stack := range goroutines() {
			if _, known := before[id]; !known && !isOfTheTools(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-deadline:
			return left
		}
	}
}

// goroutines returns the stacks of all goroutines, by their ids.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(strings.TrimSpace(string(buf)), "\n\n") {
		id, _, ok := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if ok {
			stacks[id] = stack
		}
	}
	return stacks
}

// isOfTheTools reports whether a goroutine is one of the testing package or of the runtime.
func isOfTheTools(stack string) bool {
	for _, f := range []string{"testing.(*T).Run(", "testing.(*F).", "testing.tRunner(", "testing.runFuzz", "os/signal.", "runtime/trace.", "runtime.ensureSigM"} {
		if strings.Contains(stack, f) {
			return true
		}
	}
	return false
}
