package main

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

// world returns what a run of ten seconds tells in which all is well, with one flow each way.
func world() (map[string]report, faultproxy.Counts) {
	there, back := flow("client-1", "server-1"), flow("server-1", "client-1")
	out := sent{Puts: 10_000, Asked: 5_000, Answered: 5_000}
	in := received{Puts: tally{Delivered: 10_000}, Checks: tally{Delivered: 5_000}}
	sessions := strings.Split("abcdefghi", "")
	return map[string]report{
		"client-1": {Sent: map[string]sent{there: out}, Received: map[string]received{back: in}, Sessions: sessions, Stopped: true, Env: sessionStats{Live: 9, Attached: 20, Replayed: 2, Rotations: 5}},
		"server-1": {Sent: map[string]sent{back: out}, Received: map[string]received{there: in}, Sessions: sessions, Stopped: true, Env: sessionStats{Live: 9, Attached: 20, Replayed: 3, Rotations: 5}},
	}, faultproxy.Counts{Breaks: 20, Unacknowledged: 10}
}

var tenSeconds = config{duration: 10 * time.Second, aging: true}

func TestAllIsWell(t *testing.T) {
	sum := total(world())
	if f := sum.failures(tenSeconds); len(f) > 0 {
		t.Errorf("failures: %q", f)
	}
	const want = "chaos: sent=20000 delivered=20000 asks=10000 answered=10000 sessions=9 breaks=20 attached=20 replayed=5 rotations=5 lost=0 duplicated=0 reordered=0"
	if got := sum.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestFailures: whatever is not as it should be is found, and named.
func TestFailures(t *testing.T) {
	there := flow("client-1", "server-1")
	for _, test := range []struct {
		want string
		harm func(client, server *report, c *faultproxy.Counts)
	}{
		{"1 messages were lost", func(_, s *report, _ *faultproxy.Counts) {
			s.Received[there] = received{Puts: tally{Delivered: 9_999}, Checks: tally{Delivered: 5_000}}
		}},
		{"5000 messages were lost", func(_, s *report, _ *faultproxy.Counts) {
			s.Received[there] = received{Puts: tally{Delivered: 10_000}}
		}},
		{"15000 messages were lost", func(_, s *report, _ *faultproxy.Counts) { delete(s.Received, there) }},
		{"2 messages came twice", func(_, s *report, _ *faultproxy.Counts) {
			s.Received[there] = received{Puts: tally{Delivered: 10_000, Duplicated: 1}, Checks: tally{Delivered: 5_000, Duplicated: 1}}
		}},
		{"2 messages came out of order", func(_, s *report, _ *faultproxy.Counts) {
			s.Received[there] = received{Puts: tally{Delivered: 10_000, Reordered: 1}, Checks: tally{Delivered: 5_000, Reordered: 1}}
		}},
		{"3 messages came to another process", func(_, s *report, _ *faultproxy.Counts) { s.Strays = 3 }},
		{"4 sends were refused", func(c, _ *report, _ *faultproxy.Counts) {
			c.Sent[there] = sent{Puts: 10_000, Refused: 4, Asked: 5_000, Answered: 5_000}
		}},
		{"1 of 10000 asks were not answered, and 1 of them failed", func(c, _ *report, _ *faultproxy.Counts) {
			c.Sent[there] = sent{Puts: 10_000, Asked: 5_000, Answered: 4_999, Failed: 1}
		}},
		{"10 sessions for 9 pairs", func(_, s *report, _ *faultproxy.Counts) { s.Sessions = append(s.Sessions, "another") }},
		{"8 sessions for 9 pairs", func(c, s *report, _ *faultproxy.Counts) { c.Sessions, s.Sessions = c.Sessions[1:], s.Sessions[1:] }},
		{"8 sessions live at the end", func(c, _ *report, _ *faultproxy.Counts) { c.Env.Live = 8 }},
		{"96 breaks a minute", func(_, _ *report, n *faultproxy.Counts) { n.Breaks = 16 }},
		{"only 9 of 20 breaks", func(_, _ *report, n *faultproxy.Counts) { n.Unacknowledged = 9 }},
		{"no session was attached again, after 20 breaks", func(c, _ *report, _ *faultproxy.Counts) { c.Env.Attached = 0 }},
		{"no session was moved", func(c, _ *report, _ *faultproxy.Counts) { c.Env.Rotations = 0 }},
		{"not every process had all its answers", func(c, _ *report, _ *faultproxy.Counts) { c.Stopped = false }},
		{"900 messages a second", func(c, s *report, _ *faultproxy.Counts) {
			c.Sent[there] = sent{Puts: 9_000}
			s.Sent = nil
		}},
	} {
		t.Run(test.want, func(t *testing.T) {
			reports, faults := world()
			client, server := reports["client-1"], reports["server-1"]
			test.harm(&client, &server, &faults)
			reports["client-1"], reports["server-1"] = client, server
			got := total(reports, faults).failures(tenSeconds)
			if len(got) != 1 || !strings.HasPrefix(got[0], test.want) {
				t.Errorf("failures: %q", got)
			}
		})
	}
}

// TestProblems: errors of all processes are told by their kind, with how many there were.
func TestProblems(t *testing.T) {
	reports, faults := world()
	for name, r := range reports {
		r.Problems = map[string]problem{"send timed out": {Count: 2, First: name}}
		reports[name] = r
	}
	got := total(reports, faults).failures(tenSeconds)
	if len(got) != 1 || !strings.HasPrefix(got[0], "4 x send timed out; the first: ") {
		t.Errorf("failures: %q", got)
	}
}
