package link

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
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

// slow is a Handler that takes its time to be told of messages, and notes what it was told in order.
type slow struct{ teller }

func (h *slow) Deliver(l *Link, _ *wire.Buffer, _ []session.Event) {
	<-time.After(time.Second) // the reader has no processor
	h.note(l, "delivered")
}

// TestMessagesAreToldBeforeTheEnd: what was taken over, and may be acknowledged, is handed on before the end is told.
func TestMessagesAreToldBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		h := &slow{}
		n.listening.Handler = h
		l, err := Dial(t.Context(), n, resuming(&recorder{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Post(t.Context(), sending("a", nil), PostOptions{}); err != nil {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
		(<-n.accepted).Kill(errClosed)
		l.Kill(errClosed)
		n.killAll()
		if want := []string{"begun", "delivered", "ended"}; !slices.Equal(h.told, want) {
			t.Errorf("told of %q, want %q", h.told, want)
		}
	})
}

// lagging is a Handler that takes its time to be told of the first message.
type lagging struct {
	remover
	mu   sync.Mutex
	late bool
	got  []string
}

func (h *lagging) Deliver(_ *Link, _ *wire.Buffer, events []session.Event) {
	h.mu.Lock()
	late := h.late
	h.late = true
	h.mu.Unlock()
	if !late {
		<-time.After(time.Second) // the reader of the first stream has no processor, and the session moves meanwhile
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		h.got = append(h.got, string(events[i].Payload))
	}
}

// TestReadersHandOnInOrder: the reader of a stream hands nothing on before that of the stream before has handed on all of its own.
func TestReadersHandOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		h := &lagging{remover: n.listening.Handler.(remover)}
		n.listening.Handler = h
		l, err := Dial(t.Context(), n, resuming(&recorder{}))
		if err != nil {
			t.Fatal(err)
		}
		conn := Conn{ClientConnInterface: n, Close: func() {}}
		l.Keep(conn, func(string) (Conn, *endpoint.Error) { return conn, nil })
		for _, text := range []string{"1", "2"} {
			if err := l.Post(t.Context(), sending("a", []byte(text)), PostOptions{}); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
			if text == "1" {
				n.cut()
			}
		}
		<-time.After(5 * time.Second)
		l.Kill(errClosed)
		l.Wait()
		n.killAll()
		if want := []string{"1", "2"}; !slices.Equal(h.got, want) {
			t.Errorf("handed on were %q, want %q", h.got, want)
		}
	})
}

// TestBreakIsToldOnce: a session that has lost its stream, and ends because its dialler opens another one, does not break again.
func TestBreakIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		hello := &parleyv1.Hello{Capabilities: []string{resume}, EnvId: uuid.NewString()}
		n.opens(t.Context(), t, hello)
		n.lose(t)
		n.opens(t.Context(), t, hello)
		synctest.Wait()
		if len(n.at.breaks) != 1 || len(n.at.ends) != 1 || n.at.broken {
			t.Errorf("told of %d breaks and %d ends, the last with a break: %t", len(n.at.breaks), len(n.at.ends), n.at.broken)
		}
		n.killAll()
	})
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
