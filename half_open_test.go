package parley_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// halves carries connections of which either half can be cut without a word to the other.
type halves struct {
	net.Listener
	to string
	wg sync.WaitGroup

	mu          sync.Mutex
	down        bool
	near, far   []net.Conn
	acceptError error
}

func newHalves(t *testing.T, to string) *halves {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &halves{Listener: l, to: to}
	h.wg.Go(h.carry)
	return h
}

func (h *halves) carry() {
	for {
		near, err := h.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		down := h.down
		h.mu.Unlock()
		if down {
			if h.acceptError = near.Close(); h.acceptError != nil {
				return
			}
			continue
		}
		far, err := net.Dial("tcp", h.to)
		if err != nil {
			h.acceptError = errors.Join(err, near.Close())
			return
		}
		h.mu.Lock()
		h.near, h.far = append(h.near, near), append(h.far, far)
		h.mu.Unlock()
		// How a copy ends is of no interest: the test cuts connections.
		h.wg.Go(func() { _, _ = io.Copy(near, far) })
		h.wg.Go(func() { _, _ = io.Copy(far, near) })
	}
}

// setDown says whether new connections are cut at once.
func (h *halves) setDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

// cutNear cuts the diallers' halves.
func (h *halves) cutNear(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.near {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	h.near = nil
}

// cutFar cuts the listener's halves.
func (h *halves) cutFar(t *testing.T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.far {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	h.far = nil
}

func (h *halves) end(t *testing.T) {
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	h.cutNear(t)
	h.cutFar(t)
	h.wg.Wait()
	if h.acceptError != nil {
		t.Error(h.acceptError)
	}
}

// TestHalfOpen: a connection that breaks on the dialler's side only is replaced at once, and the session goes on.
func TestHalfOpen(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	between := newHalves(t, host.Address())
	env := newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		between.cutNear(t)
		if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "there"}); err != nil {
			t.Fatalf("after cut %d: %v", n+1, err)
		}
		if got := host.Counters().Sessions; got != 1 {
			t.Errorf("after cut %d the listener has %d sessions, want 1", n+1, got)
		}
	}
	end(t, env)
	between.end(t)
	end(t, host)
}
