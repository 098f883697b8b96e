package main

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

// lastLine is the form of the last line of a run in which nothing went wrong and nothing broke.
var lastLine = regexp.MustCompile(`^chaos: sent=(\d+) delivered=(\d+) asks=(\d+) answered=(\d+) sessions=9 breaks=0 attached=0 replayed=0 rotations=0 lost=0 duplicated=0 reordered=0$`)

// TestCalm: where nothing breaks the harness finds nothing but that.
func TestCalm(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	var out bytes.Buffer
	err := drive(t.Context(), environment(map[string]string{"CHAOS_S": "2", "CHAOS_FAULTS": "none"}), &out)
	if !errors.Is(err, errFailed) {
		t.Errorf("drive = %v, want %v", err, errFailed)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	m := lastLine.FindStringSubmatch(lines[len(lines)-1])
	if m == nil || m[1] != m[2] || m[3] != m[4] || m[1] == "0" || m[3] == "0" {
		t.Errorf("it printed\n%s", out.String())
	}
	for _, l := range lines {
		// A machine that is busy with other tests may be too slow for the rate.
		if strings.HasPrefix(l, "chaos: failed: ") && !strings.Contains(l, "breaks a minute") && !strings.Contains(l, "messages a second") {
			t.Error(l)
		}
	}
}

// TestDriverGoes: processes end with the driver.
func TestDriverGoes(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), openTimeout)
	defer cancel()
	p, err := startProcess(ctx, roleServer, memberConfig{Name: "server-1"})
	if err != nil {
		t.Fatal(err)
	}
	listening := false
	err = p.watch(func(e event) {
		if e.Listening != "" {
			listening = true
			_ = p.stdin.Close() // as the kernel does when the driver has died
		}
	})
	if !listening || err == nil || ctx.Err() != nil {
		t.Errorf("listening: %t; it ended with %v", listening, err)
	}
}

// TestProcessGoes: the driver fails at once if a process does.
func TestProcessGoes(t *testing.T) {
	f := newFleet(t.Context())
	defer f.kill()
	if err := f.start("butler", memberConfig{Name: "butler-1"}); err != nil {
		t.Fatal(err)
	}
	err := f.awaitAll(time.Minute, "to listen", func(t *told) bool { return t.listening != "" })
	var e *memberError
	if !errors.As(err, &e) || e.name != "butler-1" {
		t.Errorf("it failed with %v", err)
	}
}
