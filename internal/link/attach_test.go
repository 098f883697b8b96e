package link

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// numbers returns from to to, as texts.
func numbers(from, to int) []string {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, strconv.Itoa(i))
	}
	return texts
}

// TestReattach: a cut stream is replaced, and what was lost with it is written again: everything arrives, once, in order.
func TestReattach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.send(numbers(1, 3)...)
		synctest.Wait()
		w.mute.Store(true)
		for _, text := range numbers(4, 6) { // in frames of their own, which are lost
			w.send(text)
			synctest.Wait()
			if err := w.listener.Post(t.Context(), sending("b", []byte(text)), PostOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		w.mute.Store(false)
		w.cut()
		w.send(numbers(7, 9)...) // while there is no stream
		w.asks()
		if got := w.at.arrived(); !slices.Equal(got, append(numbers(1, 9), "?")) {
			t.Errorf("%q arrived at the listener", got)
		}
		if got := w.own.arrived(); !slices.Equal(got, append(numbers(4, 6), "?")) {
			t.Errorf("%q arrived at the dialler", got)
		}
		for name, l := range map[string]*Link{"dialler": w.dialler, "listener": w.listener} {
			if c := l.Counters(); c.Breaks != 1 || c.Attaches != 1 || c.Replayed < 3 {
				t.Errorf("%s: %+v, want one break, one attach and 3 replays", name, c)
			}
			if _, all := l.config.Table.Totals(); all.Replayed != l.Counters().Replayed {
				t.Errorf("%s: %d replays in all, want those of the only session", name, all.Replayed)
			}
		}
		if len(w.own.breaks) != 1 || len(w.at.breaks) != 1 || w.own.begun != 1 || w.at.begun != 1 {
			t.Errorf("told of %d and %d breaks, want one each, and no new session", len(w.own.breaks), len(w.at.breaks))
		}
		w.close()
	})
}

// TestReattachManyTimes: cuts at any time, with messages on their way.
func TestReattachManyTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.at.got = answer
		const cuts, between = 50, 20
		var answers []outcome
		for i := range cuts {
			for j := range between {
				o := newOutcome()
				if err := w.dialler.Post(t.Context(), asking(o, "a", []byte(strconv.Itoa(i*between+j+1))), PostOptions{QueueTimeout: time.Minute}); err != nil {
					t.Fatal(err)
				}
				answers = append(answers, o)
			}
			if i%3 == 0 {
				synctest.Wait()
			}
			w.mute.Store(i%2 == 0)
			w.send("-")
			if i%5 == 0 {
				synctest.Wait()
			}
			w.cut()
			w.mute.Store(false)
		}
		for i, o := range answers {
			if r := o.wait(t); r.Err != nil || string(r.Payload) != strconv.Itoa(i+1) {
				t.Errorf("answer %d is %q, %v", i+1, r.Payload, r.Err)
			}
		}
		got := slices.DeleteFunc(w.at.arrived(), func(s string) bool { return s == "-" })
		if !slices.Equal(got, numbers(1, cuts*between)) {
			t.Errorf("%d messages arrived, in another order or not all once", len(got))
		}
		if n, _ := w.listening.Table.parkedNow(); n != 0 {
			t.Errorf("%d sessions count as without a stream", n)
		}
		w.close()
	})
}

// TestExpiry: without a stream a session ends after the time-to-live on both sides, and what is pending says what may have run.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t, func(l *session.Limits) { l.SessionTTL = 20 * time.Second })
		w.send("1")
		synctest.Wait()
		began := time.Now()
		var ends []time.Duration
		outcomes := map[string]outcome{}
		ask := func(name string, l *Link) {
			outcomes[name] = newOutcome()
			if err := l.Post(t.Context(), asking(outcomes[name], "a", nil), PostOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		ask("written by the dialler", w.dialler)
		ask("written by the listener", w.listener)
		synctest.Wait()
		w.down.Store(true)
		w.cut()
		synctest.Wait()
		ask("kept by the dialler", w.dialler)
		ask("kept by the listener", w.listener)
		for _, l := range []*Link{w.dialler, w.listener} {
			<-l.Over()
			ends = append(ends, time.Since(began))
		}
		if ends[0] != 20*time.Second || ends[1] != 20*time.Second {
			t.Errorf("the sides ended after %v, want 20 s", ends)
		}
		for name, o := range outcomes {
			want := endpoint.MayHaveExecuted
			if name[:4] == "kept" {
				want = endpoint.NotExecuted
			}
			if r := o.wait(t); !errors.Is(r.Err, endpoint.ErrSessionEnded) || r.Err.Execution != want {
				t.Errorf("%s: %v, want ErrSessionEnded, %v", name, r.Err, want)
			}
		}
		for _, l := range []*Link{w.dialler, w.listener} {
			if err := l.Post(t.Context(), sending("a", nil), PostOptions{}); err == nil || err.Reason != endpoint.ReasonSessionEnded || err.Execution != endpoint.NotExecuted {
				t.Errorf("Post after the end = %v", err)
			}
		}
		w.end()
	})
}

// TestBackInTime: a session that gets a stream within the time-to-live has all of it again at the next break.
func TestBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t, func(l *session.Limits) { l.SessionTTL = 20 * time.Second })
		for range 5 {
			w.down.Store(true)
			w.cut()
			<-time.After(15 * time.Second)
			w.down.Store(false)
			w.asks()
		}
		w.close()
	})
}

// drain makes the listener's side announce the end of the stream.
func (w *lasting) drain() {
	w.Helper()
	w.listener.mu.Lock()
	stream := w.listener.carrier.stream
	w.listener.mu.Unlock()
	if err := stream.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Drain: &parleyv1.Drain{}}))); err != nil {
		w.Fatal(err)
	}
}

// TestRotation: the stream is replaced while it still works, under load, and nothing is lost or late.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		const rotations, between = 20, 50
		began := time.Now()
		for i := range rotations {
			w.send(numbers(i*between+1, (i+1)*between)...)
			w.drain()
			if i%2 == 0 {
				synctest.Wait()
				continue
			}
			<-time.After(time.Second) // for the pause, as the stream before has carried nothing that was acknowledged
		}
		synctest.Wait()
		if got := w.at.arrived(); !slices.Equal(got, numbers(1, rotations*between)) {
			t.Errorf("%d messages arrived, want %d in order", len(got), rotations*between)
		}
		if len(w.own.breaks) != 0 || len(w.at.breaks) != 0 {
			t.Errorf("told of %d and %d breaks, where there was none", len(w.own.breaks), len(w.at.breaks))
		}
		if a, b := w.dialler.Rotations(), w.listener.Rotations(); a < rotations/2 || a != b {
			t.Errorf("%d and %d rotations of %d in %v", a, b, rotations, time.Since(began))
		}
		w.asks()
		w.close()
	})
}

// TestOvertaken: the listener ends the stream as soon as it has another one. Where that comes to be known before the welcome, nobody is told of a
// break, unless the welcome never comes.
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		w.late.Store(int64(time.Second))
		w.drain()
		<-time.After(500 * time.Millisecond)
		if w.dialler.Attached() || w.listener.Attached() {
			t.Error("the stream before has not ended yet")
		}
		w.asks()
		if len(w.own.breaks) != 0 || len(w.at.breaks) != 0 || w.dialler.Rotations() != 1 || w.listener.Rotations() != 1 {
			t.Errorf("%v and %v, %d and %d rotations, want no breaks and one rotation", w.own.breaks, w.at.breaks, w.dialler.Rotations(), w.listener.Rotations())
		}
		w.late.Store(int64(11 * time.Second))
		w.drain()
		<-time.After(9 * time.Second)
		if n := len(w.breaksOf(w.own)); n != 0 {
			t.Errorf("told of %d breaks while an attach was under way", n)
		}
		<-time.After(5 * time.Second)
		if n := len(w.breaksOf(w.own)); n != 1 {
			t.Errorf("told of %d breaks after the attach has failed, want one", n)
		}
		w.late.Store(0)
		w.asks()
		if n := len(w.breaksOf(w.own)); n != 1 {
			t.Errorf("told of %d breaks in all, want one", n)
		}
		w.close()
	})
}

// TestSilentPeer: a stream that carries nothing any more, but does not end, is found out by the heartbeat, reported, and replaced.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		w.mute.Store(true)
		w.send("lost")
		began := time.Now()
		for len(w.breaksOf(w.own)) == 0 {
			<-time.After(time.Second)
		}
		beat := session.InitialLimits().Heartbeat
		if d := time.Since(began); d < 3*beat || d > 5*beat {
			t.Errorf("found out after %v, want three to five times %v", d, beat)
		}
		w.mute.Store(false)
		w.asks()
		if got := w.at.arrived(); !slices.Contains(got, "lost") || slices.Index(got, "lost") != 1 {
			t.Errorf("%q arrived, want what was lost behind the first ask", got)
		}
		w.close()
	})
}

func (w *lasting) breaksOf(r *recorder) []*endpoint.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.breaks)
}

// TestIdleSessionStays: a heartbeat keeps a session that has nothing to say.
func TestIdleSessionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		<-time.After(time.Hour)
		if c := w.dialler.Counters(); c.Breaks != 0 {
			t.Errorf("%d breaks in an idle hour", c.Breaks)
		}
		w.asks()
		w.close()
	})
}

// TestWrongEnvIsTriedAgain: behind one address there may be several Envs; the session goes on when the right one answers, if that is in time.
func TestWrongEnvIsTriedAgain(t *testing.T) {
	for _, wrong := range []int{1, 10, 1000} {
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLasting(t)
				w.asks()
				other := newNetwork()
				attempts := 0
				w.connect = func() (Conn, *endpoint.Error) {
					attempts++
					if attempts <= wrong {
						return Conn{ClientConnInterface: other, Close: func() {}}, nil
					}
					return w.dialAgain()
				}
				w.at.arrived()
				w.cut()
				if wrong < 1000 {
					w.asks()
					if attempts != wrong+1 {
						t.Errorf("%d attempts, want %d", attempts, wrong+1)
					}
					w.close()
				} else {
					began := time.Now()
					<-w.dialler.Over()
					if d := time.Since(began); d != time.Minute {
						t.Errorf("given up after %v, want the time-to-live", d)
					}
					w.end()
				}
				other.wg.Wait()
				if other.at.begun != 0 {
					t.Error("a session has begun at another Env")
				}
			})
		})
	}
}

// TestCloseWhileDetached: what was accepted arrives with the next stream, then the session ends in good order.
func TestCloseWhileDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		w.at.arrived()
		w.cut()
		w.send(numbers(1, 5)...)
		w.close()
		if got := w.at.arrived(); !slices.Equal(got, numbers(1, 5)) {
			t.Errorf("%q arrived", got)
		}
	})
}
