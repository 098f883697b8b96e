package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

// totals are the sums over all processes and proxies.
type totals struct {
	sent, delivered, refused    uint64 // of sends, of which delivered counts each number once
	asks, answered, failed      uint64
	lost, duplicated, reordered uint64 // of sends and asks
	strays                      uint64
	sessions, live              int // ever seen, and now
	attached, replayed          uint64
	rotations                   uint64
	faults                      faultproxy.Counts
	problems                    map[string]problem
	stopped                     bool // by every process
}

// total adds up the reports of all processes, by their names.
func total(reports map[string]report, faults faultproxy.Counts) totals {
	t := totals{faults: faults, problems: make(map[string]problem), stopped: true}
	sessions := make(map[string]struct{})
	problems := report{Problems: t.problems}
	for name, r := range reports {
		for f, s := range r.Sent {
			_, to, _ := strings.Cut(f, ">")
			got := reports[to].Received[f]
			t.sent += s.Puts
			t.refused += s.Refused
			t.asks += s.Asked
			t.answered += s.Answered
			t.failed += s.Failed
			t.lost += less(s.Puts, got.Puts.Delivered) + less(s.Asked, got.Checks.Delivered)
		}
		for _, got := range r.Received {
			t.delivered += got.Puts.Delivered
			t.duplicated += got.Puts.Duplicated + got.Checks.Duplicated
			t.reordered += got.Puts.Reordered + got.Checks.Reordered
		}
		t.strays += r.Strays
		for _, id := range r.Sessions {
			sessions[id] = struct{}{}
		}
		if strings.HasPrefix(name, roleClient) { // whoever dialled counts what both ends know
			t.live += r.Env.Live
			t.attached += r.Env.Attached
			t.rotations += r.Env.Rotations
		}
		t.replayed += r.Env.Replayed // each end replays its own
		for key, n := range r.Problems {
			problems.add(key, n)
		}
		t.stopped = t.stopped && r.Stopped
	}
	t.sessions = len(sessions)
	return t
}

// less returns a - b, or 0: reports of two processes are not of the same moment.
func less(a, b uint64) uint64 { return a - min(a, b) }

// String returns the last line of a run.
func (t totals) String() string {
	return fmt.Sprintf("chaos: sent=%d delivered=%d asks=%d answered=%d sessions=%d breaks=%d attached=%d replayed=%d rotations=%d lost=%d duplicated=%d reordered=%d",
		t.sent, t.delivered, t.asks, t.answered, t.sessions, t.faults.Breaks, t.attached, t.replayed, t.rotations, t.lost, t.duplicated, t.reordered)
}

// progress returns a line for the middle of a run, when what has not come is on its way.
func (t totals) progress() string {
	return fmt.Sprintf("sent=%d asks=%d answered=%d failed=%d refused=%d on-the-way=%d sessions=%d breaks=%d attached=%d rotations=%d duplicated=%d reordered=%d",
		t.sent, t.asks, t.answered, t.failed, t.refused, t.lost, t.sessions, t.faults.Breaks, t.attached, t.rotations, t.duplicated, t.reordered)
}

// failures returns what did not hold in a run; nothing if all did.
func (t totals) failures(c config) []string {
	var all []string
	fail := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	fail(!t.stopped, "not every process had all its answers after %s", drainTimeout)
	fail(t.lost > 0, "%d messages were lost", t.lost)
	fail(t.duplicated > 0, "%d messages came twice", t.duplicated)
	fail(t.reordered > 0, "%d messages came out of order", t.reordered)
	fail(t.strays > 0, "%d messages came to another process than that which the session is with", t.strays)
	fail(t.refused > 0, "%d sends were refused, and tried again: an outage was visible", t.refused)
	fail(t.answered < t.asks, "%d of %d asks were not answered, and %d of them failed", t.asks-t.answered, t.asks, t.failed)
	fail(t.sessions != pairs, "%d sessions for %d pairs", t.sessions, pairs)
	fail(t.live != pairs, "%d sessions live at the end, of %d pairs", t.live, pairs)
	breaks, messages := perMinute(t.faults.Breaks, c.duration), perSecond(t.sent+t.asks, c.duration)
	fail(breaks < leastBreaks, "%.0f breaks a minute, and there must be %d", breaks, leastBreaks)
	fail(2*t.faults.Unacknowledged < t.faults.Breaks, "only %d of %d breaks were while frames were unacknowledged", t.faults.Unacknowledged, t.faults.Breaks)
	fail(messages < leastMessages, "%.0f messages a second, and there must be %d", messages, leastMessages)
	fail(t.faults.Breaks > 0 && t.attached == 0, "no session was attached again, after %d breaks", t.faults.Breaks)
	fail(c.aging && t.rotations == 0, "no session was moved, though a server ends its connections after %s", connectionAge)
	for _, key := range slices.Sorted(maps.Keys(t.problems)) {
		all = append(all, fmt.Sprintf("%d x %s; the first: %s", t.problems[key].Count, key, t.problems[key].First))
	}
	return all
}

func perMinute(n uint64, d time.Duration) float64 { return float64(n) / d.Minutes() }

func perSecond(n uint64, d time.Duration) float64 { return float64(n) / d.Seconds() }
