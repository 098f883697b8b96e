package link

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// teller is a Handler that ends the session while it is told of something, and notes what it was told in order.
type teller struct {
	recorder
	kill string // while it is told that

	mu   sync.Mutex
	told []string
}

func (h *teller) note(l *Link, what string) {
	if what == h.kill {
		go l.Kill(errClosed)
		<-l.Over()
		<-time.After(time.Second) // for Ended to come early, if it did
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, what)
}

func (h *teller) Begun(l *Link)                            { h.note(l, "begun") }
func (h *teller) Broken(l *Link, _ *endpoint.Error)        { h.note(l, "broken") }
func (h *teller) Ended(l *Link, _ *endpoint.Error, _ bool) { h.note(l, "ended") }

// TestEndIsToldLast: whatever ends a session while its handler is told of something, the end is told after that; and the stream of a
// session that ends while it begins is ended.
func TestEndIsToldLast(t *testing.T) {
	for kill, want := range map[string][]string{"begun": {"begun", "ended"}, "broken": {"begun", "broken", "ended"}} {
		t.Run(kill, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				h := &teller{kill: kill}
				c := newConfig(h)
				c.Resume = true
				l, err := Dial(t.Context(), n, c)
				if err != nil {
					t.Fatal(err)
				}
				if kill == "broken" {
					n.cut()
				}
				l.Wait()
				synctest.Wait()
				if !slices.Equal(h.told, want) {
					t.Errorf("told of %q, want %q", h.told, want)
				}
				if (<-n.accepted).Attached() {
					t.Error("the stream of the session goes on")
				}
				n.killAll()
			})
		})
	}
}

// TestNeverBegun: of a session that has ended before it began nobody hears, and the table forgets it.
func TestNeverBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.late.Store(int64(time.Second))
		own := &recorder{}
		c := resuming(own)
		go func() {
			<-time.After(500 * time.Millisecond) // the listener is about to answer the hello
			for _, l := range n.listening.Table.All() {
				l.Kill(errClosed)
			}
		}()
		l, err := Dial(t.Context(), n, c)
		if err != nil {
			t.Fatal(err)
		}
		n.wg.Wait()
		l.Kill(errClosed)
		l.Wait()
		if n.at.begun != 0 || len(n.at.ends) != 0 || len(n.listening.Table.All()) != 0 {
			t.Errorf("begun %d times, ended %d times, %d in the table; want none", n.at.begun, len(n.at.ends), len(n.listening.Table.All()))
		}
	})
}
