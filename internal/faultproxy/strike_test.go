package faultproxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnacknowledged: a fault waits for traffic, of which at most a part arrives, and it counts as one that struck before the
// sender could know.
func TestUnacknowledged(t *testing.T) {
	for _, k := range []Kind{Cut, Reset, HalfOpen, StallCut} {
		for _, from := range []side{dialler, target} {
			t.Run(k.String(), func(t *testing.T) {
				w := newWorld(t)
				sender, receiver := w.dialler, w.target
				if from == target {
					sender, receiver = receiver, sender
				}
				wait := w.strike(t.Context(), t, Fault{Kind: k, Patience: patience, For: silence})
				w.exchange(t) // which is no traffic
				message := strings.Repeat("message", 10) + marker
				write(t, sender, message)
				if err := wait(); err != nil {
					t.Fatal(err)
				}
				if got, _ := end(t, receiver); !strings.HasPrefix(message, got) {
					t.Errorf("the receiver read %q", got)
				}
				if got, _ := end(t, sender); got != "" {
					t.Errorf("the sender read %q", got)
				}
				if c := w.proxy.Counts(); c.Breaks != 1 || c.Unacknowledged != 1 || c.ByKind[k] != 1 {
					t.Errorf("counts: %s", c)
				}
			})
		}
	}
}

// TestImpatient: where no traffic comes a fault strikes all the same, and does not count as one that struck traffic. Traffic
// before which something was passed back does not count either.
func TestImpatient(t *testing.T) {
	for _, k := range []Kind{Cut, Reset, HalfOpen, CloseAfter, StallCut} {
		t.Run(k.String(), func(t *testing.T) {
			w := newWorld(t)
			write(t, w.dialler, marker)
			expect(t, w.target, marker)
			write(t, w.target, "ack")
			expect(t, w.dialler, "ack")
			if err := w.proxy.Strike(t.Context(), Fault{Kind: k, Patience: time.Millisecond, For: time.Millisecond, Bytes: 10}); err != nil {
				t.Fatal(err)
			}
			_, _ = end(t, w.dialler)
			_, _ = end(t, w.target)
			if c := w.proxy.Counts(); c.Breaks != 1 || c.Unacknowledged != 0 || c.ByKind[k] != 1 {
				t.Errorf("counts: %s", c)
			}
		})
	}
}

func TestReset(t *testing.T) {
	w := newWorld(t)
	if err := w.proxy.Strike(t.Context(), Fault{Kind: Reset}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []error{second(end(t, w.dialler)), second(end(t, w.target))} {
		if !errors.Is(c, syscall.ECONNRESET) {
			t.Errorf("ended with %v, want a reset", c)
		}
	}
}

func second(_ string, err error) error { return err }

func TestCut(t *testing.T) {
	w := newWorld(t)
	if err := w.proxy.Strike(t.Context(), Fault{Kind: Cut}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{second(end(t, w.dialler)), second(end(t, w.target))} {
		if err != nil {
			t.Errorf("ended with %v, want EOF", err)
		}
	}
}

// TestHalfOpen: one side ends, the other one is open and silent, takes whatever is written, and ends when its peer has had enough.
func TestHalfOpen(t *testing.T) {
	w := newWorld(t)
	wait := w.strike(t.Context(), t, Fault{Kind: HalfOpen, For: time.Hour})
	awaitCount(t, w.proxy, HalfOpen)
	kept, lost := w.dialler, w.target
	if isSilent(t, lost) {
		kept, lost = lost, kept
	}
	if _, err := end(t, lost); err != nil {
		t.Errorf("the closed side: %v", err)
	}
	long := strings.Repeat("to nobody", 1<<20)
	if err := kept.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	write(t, kept, long)
	expectSilence(t, kept)
	kept.Close()
	if err := wait(); err != nil {
		t.Errorf("Strike = %v", err)
	}
}

// isSilent reports whether c lives and nothing comes.
func isSilent(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	return isTimeout(err)
}

// TestHalfOpenForAWhile: the kept side is closed in the end.
func TestHalfOpenForAWhile(t *testing.T) {
	w := newWorld(t)
	if err := w.proxy.Strike(t.Context(), Fault{Kind: HalfOpen, For: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	_, _ = end(t, w.dialler)
	_, _ = end(t, w.target)
}

// TestCloseAfter: so many bytes pass, and no more, whatever they are.
func TestCloseAfter(t *testing.T) {
	w := newWorld(t)
	wait := w.strike(t.Context(), t, Fault{Kind: CloseAfter, Patience: patience, Bytes: 7})
	write(t, w.target, "abc")
	expect(t, w.dialler, "abc")
	write(t, w.dialler, "0123456789"+marker)
	if got, _ := end(t, w.target); got != "0123" {
		t.Errorf("the target read %q", got)
	}
	if err := wait(); err != nil {
		t.Errorf("Strike = %v", err)
	}
	if c := w.proxy.Counts(); c.Breaks != 1 || c.Unacknowledged != 1 {
		t.Errorf("counts: %s", c)
	}
}

// TestStall: nothing passes for a while, in both directions, and then everything.
func TestStall(t *testing.T) {
	w := newWorld(t)
	ctx, goOn := context.WithCancel(t.Context())
	defer goOn()
	wait := w.strike(ctx, t, Fault{Kind: Stall, For: time.Hour})
	awaitStalled(t, w.proxy)
	write(t, w.dialler, "there")
	write(t, w.target, "back")
	expectSilence(t, w.target)
	expectSilence(t, w.dialler)
	goOn()
	if err := wait(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	expect(t, w.target, "there")
	expect(t, w.dialler, "back")
}

// TestStallForAWhile: it goes on by itself.
func TestStallForAWhile(t *testing.T) {
	w := newWorld(t)
	started := time.Now()
	if err := w.proxy.Strike(t.Context(), Fault{Kind: Stall, For: silence}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < silence {
		t.Errorf("it took %s", took)
	}
	w.exchange(t)
	if c := w.proxy.Counts(); c.Breaks != 0 || c.ByKind[Stall] != 1 {
		t.Errorf("counts: %s", c)
	}
}

func awaitStalled(t *testing.T, p *Proxy) {
	t.Helper()
	await(t, func(c *conn) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.stalled != nil
	}, p)
}

// TestSlow: bytes take the time that the rate gives them, and then pass at once again.
func TestSlow(t *testing.T) {
	w := newWorld(t)
	started := time.Now()
	wait := w.strike(t.Context(), t, Fault{Kind: Slow, For: time.Second, Bytes: 1000})
	write(t, w.dialler, strings.Repeat("x", 100)) // a tenth of a second
	expect(t, w.target, strings.Repeat("x", 100))
	if took := time.Since(started); took < 80*time.Millisecond {
		t.Errorf("100 bytes took %s at 1,000 a second", took)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	w.exchange(t)
	if c := w.proxy.Counts(); c.Breaks != 0 || c.ByKind[Slow] != 1 {
		t.Errorf("counts: %s", c)
	}
}
