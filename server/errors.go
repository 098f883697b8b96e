package server

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// notDrained is the error of a shutdown that ran out of time.
type notDrained struct{ names []string }

func (e *notDrained) Error() string {
	if len(e.names) == 0 {
		return "parley: shutdown: the mailboxes were not drained in time; what was queued has failed"
	}
	return fmt.Sprintf("parley: shutdown: handlers of %s have not returned in time; their contexts are cancelled", strings.Join(e.names, ", "))
}

func failure(r endpoint.Reason, x endpoint.Execution, format string, args ...any) *endpoint.Error {
	return &endpoint.Error{Reason: r, Text: fmt.Sprintf(format, args...), Phase: endpoint.PhaseSent, Execution: x}
}

func errEnvStopped() *endpoint.Error {
	return failure(endpoint.ReasonEnvStopped, endpoint.NotExecuted, "this Env is shut down, or being shut down")
}

// tombstones remembers the names of the last endpoints that were stopped, so that their callers learn that rather than "no such
// endpoint".
type tombstones struct {
	names []string // at most mostTombstones
	next  int
}

// mostTombstones is how many names are remembered.
const mostTombstones = 64

func (t *tombstones) add(name string) {
	if len(t.names) < mostTombstones {
		t.names = append(t.names, name)
		return
	}
	t.names[t.next] = name
	t.next = (t.next + 1) % mostTombstones
}

func (t *tombstones) has(name string) bool { return slices.Contains(t.names, name) }

// limitedLog logs at most one line a second, and how many were left out.
type limitedLog struct {
	logger *slog.Logger

	mu      sync.Mutex
	last    time.Time
	skipped int
}

func (l *limitedLog) warn(msg string, args ...any) {
	l.mu.Lock()
	now := time.Now()
	if now.Sub(l.last) < time.Second {
		l.skipped++
		l.mu.Unlock()
		return
	}
	l.last = now
	skipped := l.skipped
	l.skipped = 0
	l.mu.Unlock()
	logger := l.logger
	if skipped > 0 {
		logger = logger.With("left_out", skipped)
	}
	logger.Warn(msg, args...)
}
