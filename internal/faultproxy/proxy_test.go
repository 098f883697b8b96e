package faultproxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPasses: without a fault nothing is noticed of the proxy, not even of a half-closed connection.
func TestPasses(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("long", 100_000)
	go func() { _, _ = w.dialler.Write([]byte(long)) }() // ends when it is read, or the connection closed
	expect(t, w.target, long)
	if err := w.dialler.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := end(t, w.target); got != "" || err != nil {
		t.Fatalf("the target read %q, %v", got, err)
	}
	write(t, w.target, "answer")
	w.target.Close()
	if got, err := end(t, w.dialler); got != "answer" || err != nil {
		t.Fatalf("the dialler read %q, %v", got, err)
	}
}

// TestPassesReset: an end in disorder stays one.
func TestPassesReset(t *testing.T) {
	w := newWorld(t)
	if err := w.dialler.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	w.dialler.Close()
	if _, err := end(t, w.target); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target got %v, want a reset", err)
	}
}

// TestRoundRobin: each connection goes to the target whose turn it is.
func TestRoundRobin(t *testing.T) {
	p := newProxy(t)
	targets := []*net.TCPListener{listen(t), listen(t)}
	p.SetTargets(targets[0].Addr().String(), targets[1].Addr().String())
	for i := range 5 {
		d := dial(t, p)
		write(t, d, "x")
		expect(t, accept(t, targets[i%2]), "x")
	}
}

// TestNoTarget: where nobody listens, and before there is a target, a connection is closed.
func TestNoTarget(t *testing.T) {
	p := newProxy(t)
	if got, _ := end(t, dial(t, p)); got != "" {
		t.Errorf("read %q", got)
	}
	l := listen(t)
	p.SetTargets(l.Addr().String())
	l.Close()
	if got, _ := end(t, dial(t, p)); got != "" {
		t.Errorf("read %q", got)
	}
}

func TestNoRand(t *testing.T) {
	if _, err := Listen("127.0.0.1:0", Config{}); !errors.Is(err, ErrNoRand) {
		t.Errorf("Listen = %v", err)
	}
}

func TestNoConnection(t *testing.T) {
	p := newProxy(t)
	if err := p.Strike(t.Context(), Fault{Kind: Cut}); !errors.Is(err, ErrNoConnection) {
		t.Errorf("Strike = %v", err)
	}
}

// TestOneFaultAtATime: a connection that waits for its fault is given to no other, and can be struck again by ones that it survives.
func TestOneFaultAtATime(t *testing.T) {
	w := newWorld(t)
	wait := w.strike(t.Context(), t, Fault{Kind: Stall, Patience: patience})
	if err := w.proxy.Strike(t.Context(), Fault{Kind: Cut}); !errors.Is(err, ErrNoConnection) {
		t.Errorf("Strike = %v", err)
	}
	write(t, w.dialler, marker)
	expect(t, w.target, marker)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if err := w.proxy.Strike(t.Context(), Fault{Kind: Cut}); err != nil {
		t.Errorf("Strike = %v", err)
	}
}

// TestGone: a connection that ends before its fault does not count as broken.
func TestGone(t *testing.T) {
	for _, k := range []Kind{Cut, Slow} {
		t.Run(k.String(), func(t *testing.T) {
			w := newWorld(t)
			wait := w.strike(t.Context(), t, Fault{Kind: k, Patience: patience, For: patience})
			w.dialler.Close()
			w.target.Close()
			if err := wait(); !errors.Is(err, ErrGone) {
				t.Errorf("Strike = %v", err)
			}
			if c := w.proxy.Counts(); c != (Counts{}) {
				t.Errorf("counts: %s", c)
			}
		})
	}
}

// TestCloseEndsFaults: what waits for a fault does not outlive the proxy.
func TestCloseEndsFaults(t *testing.T) {
	w := newWorld(t)
	wait := w.strike(t.Context(), t, Fault{Kind: Reset, Patience: patience})
	w.proxy.end()
	for _, c := range w.proxy.conns {
		c.close()
	}
	if err := wait(); !errors.Is(err, ErrGone) {
		t.Errorf("Strike = %v", err)
	}
}

// TestContextEndsFaults: a fault that has not struck leaves the connection as it was, whatever its kind; one that has broken it
// already closes it.
func TestContextEndsFaults(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			w := newWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wait := w.strike(ctx, t, Fault{Kind: k, Patience: patience, For: patience, Bytes: 1000})
			cancel()
			if err := wait(); !errors.Is(err, context.Canceled) {
				t.Errorf("Strike = %v", err)
			}
			w.exchange(t)
		})
	}
	t.Run("half-open that has struck", func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wait := w.strike(ctx, t, Fault{Kind: HalfOpen, For: time.Hour})
		awaitCount(t, w.proxy, HalfOpen)
		cancel()
		if err := wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Strike = %v", err)
		}
		_, _ = end(t, w.dialler)
		_, _ = end(t, w.target)
	})
}

// awaitCount waits until a fault of the kind has been counted.
func awaitCount(t *testing.T, p *Proxy, k Kind) {
	t.Helper()
	await(t, func(c *conn) bool { return c.proxy.counts.ByKind[k] > 0 }, p)
}

// TestSeed: the same seed makes the same choices.
func TestSeed(t *testing.T) {
	choose := func() (chosen []int) {
		p := &Proxy{}
		p.random.Rand = rand.New(rand.NewPCG(3, 4))
		for range 20 {
			p.conns = append(p.conns, &conn{})
		}
		for c := p.choose(); c != nil; c = p.choose() {
			for i := range p.conns {
				if p.conns[i] == c {
					chosen = append(chosen, i)
				}
			}
		}
		return chosen
	}
	a, b := choose(), choose()
	if len(a) != 20 {
		t.Errorf("%d of 20 were chosen", len(a))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("chose %v, and then %v", a, b)
		}
	}
}

func TestParseKind(t *testing.T) {
	for _, k := range Kinds() {
		if got, err := ParseKind(k.String()); got != k || err != nil {
			t.Errorf("ParseKind(%q) = %v, %v", k, got, err)
		}
	}
	if _, err := ParseKind("flood"); err == nil || !strings.Contains(err.Error(), `"flood"`) {
		t.Errorf("ParseKind = %v", err)
	}
}
