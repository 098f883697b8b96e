package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
)

// localWindow returns the window of this Env's own senders.
func (h *hosted) localWindow() *localWindow { return h.window(&h.local) }

// faceWindow returns the window of ordinary gRPC calls.
func (h *hosted) faceWindow() *localWindow { return h.window(&h.face) }

// window returns the window that is kept at a place, and makes it if there is none: most of a million endpoints never need it.
func (h *hosted) window(at *atomic.Pointer[localWindow]) *localWindow {
	if w := at.Load(); w != nil {
		return w
	}
	limits := h.server.config.Link.Limits
	w := new(localWindow)
	w.init(limits.MailboxMessages, limits.MailboxBytes, &h.counts.stalls)
	if !at.CompareAndSwap(nil, w) {
		return at.Load()
	}
	if h.box.Stats().Closed { // and closeWindows may not have found it
		w.close()
	}
	return w
}

// closeWindows closes the windows, when the mailbox is closed.
func (h *hosted) closeWindows() {
	for _, at := range []*atomic.Pointer[localWindow]{&h.local, &h.face} {
		if w := at.Load(); w != nil {
			w.close()
		}
	}
}

// localWindow is the window of this Env's own senders into one mailbox.
type localWindow struct {
	mu     sync.Mutex
	window credit.Window
	closed bool

	stalls *atomic.Uint64 // how often somebody had to wait for room; the endpoint's
}

func (w *localWindow) init(messages, bytes uint64, stalls *atomic.Uint64) {
	w.window, w.stalls = credit.NewWindow(messages, bytes), stalls
}

// take waits for room for a message of size bytes.
func (w *localWindow) take(ctx context.Context, size int, noWait bool, timeout time.Duration) *endpoint.Error {
	if w.tryTake(size, nil) {
		return nil
	}
	if noWait {
		return queued(&endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "no room"}, time.Now())
	}
	w.stalls.Add(1)
	waiter := credit.NewWaiter()
	started := time.Now()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	defer w.leave(waiter)
	for !w.tryTake(size, waiter) {
		select {
		case <-waiter.Turn:
		case <-ctx.Done():
			return queued(endpoint.ContextError(ctx), started)
		case <-timer.C:
			return queued(&endpoint.Error{Reason: endpoint.ReasonOverloaded, Text: "no room came free", Setting: queueTimeout}, started)
		}
	}
	return nil
}

// queued completes an error of somebody who has waited for room since started.
func queued(e *endpoint.Error, started time.Time) *endpoint.Error {
	e.Phase, e.Execution, e.Elapsed = endpoint.PhaseQueued, endpoint.NotExecuted, time.Since(started)
	return e
}

func (w *localWindow) tryTake(size int, waiter *credit.Waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A closed mailbox refuses the message; nobody needs to wait for that.
	if !w.closed && (w.window.Waiters.Blocks(waiter) || !w.window.Open()) {
		if waiter != nil {
			w.window.Waiters.Join(waiter)
		}
		return false
	}
	w.window.Charge(1, uint64(size))
	return true
}

func (w *localWindow) leave(waiter *credit.Waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.window.Waiters.Leave(waiter)
	w.wakeLocked()
}

func (w *localWindow) giveBack(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.window.Refund(1, uint64(size))
	w.wakeLocked()
}

func (w *localWindow) wakeLocked() {
	if w.window.Open() {
		w.window.Waiters.WakeHead()
	}
}

func (w *localWindow) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.window.Waiters.WakeAll()
}
