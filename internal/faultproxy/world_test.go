package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/leaktest"
)

const (
	// patience bounds waits that end at once unless something is wrong.
	patience = 10 * time.Second
	// silence is how long nothing must come where nothing is to come.
	silence = 50 * time.Millisecond
	// marker is what traffic carries in these tests.
	marker = "!"
)

// world is a Proxy, and a connection through it: what the dialler has of it, and what the target has.
type world struct {
	proxy           *Proxy
	dialler, target *net.TCPConn
}

// newProxy returns a Proxy without targets.
func newProxy(t *testing.T) *Proxy {
	t.Helper()
	leaktest.Check(t)
	p, err := Listen("127.0.0.1:0", Config{
		Rand:    rand.New(rand.NewPCG(1, 2)),
		Carries: func(chunk []byte) bool { return bytes.Contains(chunk, []byte(marker)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := p.Connections(); n != 0 {
			t.Errorf("after Close there are %d connections", n)
		}
	})
	return p
}

// newWorld returns a Proxy with one connection.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{proxy: newProxy(t)}
	l := listen(t)
	w.proxy.SetTargets(l.Addr().String())
	w.dialler = dial(t, w.proxy)
	w.target = accept(t, l)
	w.exchange(t)
	return w
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func accept(t *testing.T, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange passes a byte each way: the connection works, and nothing is unacknowledged.
func (w *world) exchange(t *testing.T) {
	t.Helper()
	write(t, w.dialler, "a")
	expect(t, w.target, "a")
	write(t, w.target, "b")
	expect(t, w.dialler, "b")
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// expect reads text.
func expect(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got[:n], err, text)
	}
}

// expectSilence checks that c lives and nothing comes.
func expectSilence(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("read %d bytes, %v; want silence", n, err)
	}
}

// end reads until c ends, and returns what came and why it ended; nil for io.EOF.
func end(t *testing.T, c net.Conn) (string, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if isTimeout(err) {
		t.Fatalf("the connection has not ended; %q came", got)
	}
	return string(got), err
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// strike begins a fault, and returns once it waits for traffic. wait waits for its end.
func (w *world) strike(ctx context.Context, t *testing.T, f Fault) (wait func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.proxy.Strike(ctx, f) }() // wait, or else Close of the proxy, sees to its end
	if f.Kind == Slow {
		await(t, func(c *conn) bool { return c.limit() > 0 }, w.proxy)
	} else {
		await(t, func(c *conn) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.trap != nil || c.broken || c.stalled != nil
		}, w.proxy)
	}
	return func() error {
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			t.Fatal("Strike has not returned")
			return nil
		}
	}
}

// await waits until the connection of a proxy is as wanted. There is no event for it, so it looks again and again.
func await(t *testing.T, wanted func(c *conn) bool, p *Proxy) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		ok := len(p.conns) > 0 && wanted(p.conns[0])
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("the connection is not as it should be")
		}
	}
}
