package link

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// The tests run in synctest: time is not real, and a goroutine that is left would hang them.

var errClosed = &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "closed by the test"}

func narrow(l *session.Limits) { l.MailboxMessages = 2 }

func TestAskAndReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t)
		w.at[1].got = answer
		w.at[0].got = answer
		for _, l := range []*Link{w.dialler, w.listener} { // both sides ask
			for _, size := range []int{0, 5, 100_000} {
				o := newOutcome()
				payload := bytes.Repeat([]byte("x"), size)
				if err := l.Post(t.Context(), asking(o, "a", payload), PostOptions{}); err != nil {
					t.Fatal(err)
				}
				if r := o.wait(t); r.Err != nil || !bytes.Equal(r.Payload, payload) {
					t.Fatalf("%d bytes: %d bytes came back, %v", size, len(r.Payload), r.Err)
				}
			}
			o := newOutcome()
			if err := l.Lookup(&session.Ask{Done: o}, "", "a", ""); err != nil {
				t.Fatal(err)
			}
			if r := o.wait(t); r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		w.dialler.Close(errClosed)
		w.end(t, false, false)
		if len(w.table.All()) != 1 {
			t.Error("a link takes itself out of the table, which is the owner's task")
		}
	})
}

// TestAskExpires by the timer, and its peer is told.
func TestAskExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t)
		began := time.Now()
		o := newOutcome()
		p := asking(o, "a", nil)
		p.Ask.Expires = began.Add(3 * time.Second)
		if err := w.dialler.Post(t.Context(), p, PostOptions{}); err != nil {
			t.Fatal(err)
		}
		running := &cancelled{}
		synctest.Wait()
		w.listener.Begin(1, func(int) (uint64, Running) { return 1, running })
		r := o.wait(t)
		if r.Err == nil || r.Err.Reason != endpoint.ReasonTimeout || r.Err.Execution != endpoint.MayHaveExecuted || r.Err.Setting == "" {
			t.Errorf("the outcome is %v", r.Err)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("expired after %v, want 3 s", d)
		}
		synctest.Wait()
		if running.times() != 1 {
			t.Errorf("the handler was cancelled %d times, want once", running.times())
		}
		w.listener.Reply(&session.Reply{ID: 1})
		synctest.Wait()
		if c := w.dialler.Counters(); c.LateReplies != 1 {
			t.Errorf("%d late replies, want 1", c.LateReplies)
		}
		w.dialler.Kill(errClosed)
		w.end(t, true, true)
		table := w.dialler.config.Table
		for range 2 {
			if live, all := table.Totals(); len(live) > 1 || all != (Totals{LateReplies: 1}) {
				t.Errorf("%d sessions live, and all have counted %+v, want one late reply", len(live), all)
			}
			table.Remove(w.dialler) // once, however often that is said
			table.Remove(w.dialler)
		}
	})
}

// cancelled is a Running that counts.
type cancelled struct {
	mu sync.Mutex
	n  int
}

func (c *cancelled) CancelCall(error) { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *cancelled) times() int { c.mu.Lock(); defer c.mu.Unlock(); return c.n }

func TestCancelOfNothingA48(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t)
		o := newOutcome()
		p := asking(o, "a", nil)
		w.at[1].got = func(l *Link, ev *session.Event) {
			w.dialler.Abandon(p.Ask, errClosed)
			w.dialler.Abandon(p.Ask, errClosed) // nothing happens
			answer(l, ev)                       // before the cancel is read
		}
		if err := w.dialler.Post(t.Context(), p, PostOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := o.wait(t); r.Err == nil || r.Err.Reason != errClosed.Reason || r.Err.Phase != endpoint.PhaseSent || r.Err.Execution != endpoint.MayHaveExecuted {
			t.Errorf("the outcome is %v", r.Err)
		}
		synctest.Wait()
		if c := w.listener.Counters(); c.LateCancels != 1 {
			t.Errorf("%d late cancels, want 1", c.LateCancels)
		}
		w.dialler.Close(errClosed)
		w.end(t, false, false)
	})
}

func TestPostWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t, narrow)
		post := func(text string, o PostOptions) *endpoint.Error {
			return w.dialler.Post(t.Context(), sending("a", []byte(text)), o)
		}
		for _, text := range []string{"1", "2"} {
			if err := post(text, PostOptions{NoWait: true}); err != nil {
				t.Fatal(err)
			}
		}
		if err := post("x", PostOptions{NoWait: true}); err == nil || err.Reason != endpoint.ReasonOverloaded || err.Execution != endpoint.NotExecuted || err.Phase != endpoint.PhaseQueued {
			t.Fatalf("Post without waiting = %v", err)
		}
		var wg sync.WaitGroup
		for _, text := range []string{"3", "4", "5"} { // one after the other, so that they wait in this order
			wg.Go(func() {
				if err := post(text, PostOptions{QueueTimeout: time.Hour}); err != nil {
					t.Errorf("Post of %s = %v", text, err)
				}
			})
			synctest.Wait()
		}
		for i := range 5 {
			synctest.Wait()
			if n := len(w.at[1].events); n != min(i+2, 5) {
				t.Fatalf("%d messages came after %d were taken", n, i)
			}
			ev := w.at[1].events[i]
			if string(ev.Payload) != string(rune('1'+i)) {
				t.Fatalf("message %d is %q", i, ev.Payload)
			}
			w.listener.Take(ev.Account, ev.Cost)
		}
		wg.Wait()
		w.dialler.Close(errClosed)
		w.end(t, false, false)
	})
}

func TestPostGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t, narrow)
		for range 2 {
			if err := w.dialler.Post(t.Context(), sending("a", nil), PostOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		timed, cancelTimed := context.WithTimeout(t.Context(), time.Second)
		defer cancelTimed()
		ended, cancelEnded := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancelEnded)
		for _, test := range []struct {
			name   string
			ctx    context.Context
			after  time.Duration
			reason endpoint.Reason
		}{
			{"deadline", timed, time.Second, endpoint.ReasonTimeout},
			{"cancelled", ended, time.Second, endpoint.ReasonCancelled}, // a second later
			{"ended before", ended, 0, endpoint.ReasonCancelled},
			{"queue timeout", t.Context(), 5 * time.Second, endpoint.ReasonOverloaded},
		} {
			began := time.Now()
			err := w.dialler.Post(test.ctx, asking(newOutcome(), "a", nil), PostOptions{QueueTimeout: 5 * time.Second})
			if err == nil || err.Reason != test.reason || err.Phase != endpoint.PhaseQueued || err.Execution != endpoint.NotExecuted {
				t.Errorf("%s: Post = %v", test.name, err)
			}
			if d := time.Since(began); d != test.after {
				t.Errorf("%s: gave up after %v, want %v", test.name, d, test.after)
			}
		}
		// Nobody is in the way of the next.
		synctest.Wait()
		for _, ev := range w.at[1].events {
			w.listener.Take(ev.Account, ev.Cost)
		}
		if err := w.dialler.Post(t.Context(), sending("a", nil), PostOptions{QueueTimeout: time.Second}); err != nil {
			t.Error(err)
		}
		w.dialler.Close(errClosed)
		w.end(t, false, false)
	})
}

// TestCloseFlushes: what was accepted arrives, whoever closes; what has no answer then fails.
func TestCloseFlushes(t *testing.T) {
	for side := range 2 {
		synctest.Test(t, func(t *testing.T) {
			w := connect(t)
			l, other := w.dialler, w.at[1]
			if side == 1 {
				l, other = w.listener, w.at[0]
			}
			large := bytes.Repeat([]byte("x"), wire.MostUndivided)
			for _, payload := range [][]byte{nil, large} {
				if err := l.Post(t.Context(), sending("a", payload), PostOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			o := newOutcome()
			if err := l.Post(t.Context(), asking(o, "b", nil), PostOptions{}); err != nil {
				t.Fatal(err)
			}
			l.Close(errClosed)
			if err := l.Post(t.Context(), sending("a", nil), PostOptions{}); err == nil || err.Reason != endpoint.ReasonEnvStopped || err.Execution != endpoint.NotExecuted {
				t.Errorf("Post after Close = %v", err)
			}
			if r := o.wait(t); r.Err == nil || r.Err.Reason != endpoint.ReasonEnvStopped || r.Err.Execution != endpoint.MayHaveExecuted {
				t.Errorf("the outcome of a pending ask is %v", r.Err)
			}
			w.end(t, false, false)
			got := map[int]bool{}
			for _, ev := range other.events {
				got[len(ev.Payload)] = true
			}
			if len(other.events) != 3 || !got[len(large)] {
				t.Errorf("%d messages arrived, want 3, the large one among them", len(other.events))
			}
			if r := other.ends[0]; r.Reason != endpoint.ReasonEnvStopped {
				t.Errorf("the peer was told %v", r)
			}
		})
	}
}

// TestKill fails what is pending, wakes who waits, and cancels what runs.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t, narrow)
		var outcomes []outcome
		for range 2 {
			o := newOutcome()
			outcomes = append(outcomes, o)
			if err := w.dialler.Post(t.Context(), asking(o, "a", nil), PostOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.dialler.Post(t.Context(), sending("a", nil), PostOptions{QueueTimeout: time.Hour}); err == nil || err.Reason != endpoint.ReasonEnvStopped || err.Execution != endpoint.NotExecuted {
				t.Errorf("who waits gets %v", err)
			}
		})
		synctest.Wait()
		running := &cancelled{}
		w.listener.Begin(1, func(int) (uint64, Running) { return 1, running })
		began := time.Now()
		w.dialler.Kill(errClosed)
		w.dialler.Kill(errClosed)
		for _, o := range outcomes {
			if r := o.wait(t); r.Err == nil || r.Err.Reason != endpoint.ReasonEnvStopped || r.Err.Execution != endpoint.MayHaveExecuted || r.Err.Phase != endpoint.PhaseSent {
				t.Errorf("the outcome is %v", r.Err)
			}
		}
		wg.Wait()
		w.end(t, true, true)
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		if running.times() != 1 {
			t.Errorf("the handler at the peer was cancelled %d times, want once", running.times())
		}
		late := &cancelled{}
		w.listener.Begin(1, func(int) (uint64, Running) { return 2, late })
		if late.times() == 0 {
			t.Error("a handler that began after the end was not cancelled")
		}
	})
}

// TestHalfClose: outstanding asks are answered, an unfinished message is aborted, and the stream ends well.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRaw(t)
		s.hello(&parleyv1.Hello{})
		s.frame(wire.Head{Number: 1},
			&wire.Envelope{Kind: wire.KindAsk, ID: 1, Text: true, Target: target("a")},
			&wire.Envelope{Kind: wire.KindAsk, ID: 2, Text: true, Target: target("a"), Encoding: wire.Transfer, Transfer: 1, TransferSize: 100})
		synctest.Wait()
		if err := s.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(s.at.events) != 1 || len(s.at.ends) != 0 {
			t.Fatalf("%d messages, %d ends, want one ask that waits for its answer", len(s.at.events), len(s.at.ends))
		}
		s.link.Reply(&session.Reply{ID: 1, Payload: []byte("late"), Encoding: wire.Proto})
		if got := s.envelope(); got.Kind != wire.KindReply || string(got.Payload) != "late" {
			t.Errorf("the answer is %+v", got)
		}
		s.ends(codes.OK)
		if s.at.broken {
			t.Error("a half-close is told as a break")
		}
	})
}

// TestHalfCloseFailsAsks: what was asked of a dialler that half-closes fails at once, though the dialler still waits for an answer, and so does
// what is asked then: a handler that waits for its caller's answer would otherwise wait as long as the caller waits for its own.
func TestHalfCloseFailsAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRaw(t)
		s.hello(&parleyv1.Hello{})
		s.frame(wire.Head{Number: 1}, &wire.Envelope{Kind: wire.KindAsk, ID: 1, Text: true, Target: target("a")})
		early, late := newOutcome(), newOutcome()
		if err := s.link.Post(t.Context(), asking(early, "b", nil), PostOptions{QueueTimeout: time.Second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := s.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(early) != 1 {
			t.Fatal("the ask waits on")
		}
		if e := early.wait(t).Err; e == nil || e.Reason != endpoint.ReasonSessionEnded || e.Phase != endpoint.PhaseSent || e.Execution != endpoint.MayHaveExecuted {
			t.Errorf("the ask ends with %v", e)
		}
		if e := s.link.Post(t.Context(), asking(late, "b", nil), PostOptions{QueueTimeout: time.Second}); e == nil || e.Reason != endpoint.ReasonSessionEnded {
			t.Errorf("an ask after the half-close: %v", e)
		}
		s.link.Reply(&session.Reply{ID: 1})
		s.ends(codes.OK)
	})
}

// TestHalfCloseOfARetiredStream: a session takes no notice of how a stream ends that carries it no more.
func TestHalfCloseOfARetiredStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := connect(t)
		l := w.listener
		newCarrier(l, nil, nil).readEnded(io.EOF) // the reader may come to it when another stream has the session
		l.mu.Lock()
		if l.halfway {
			t.Error("the session counts as half-closed")
		}
		l.mu.Unlock()
		w.dialler.Close(errClosed)
		w.end(t, false, false)
	})
}

func TestNoHelloA24(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		began := time.Now()
		r.ends(codes.DeadlineExceeded)
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("ended after %v, want 10 s", d)
		}
		if r.at.begun != 0 || len(r.at.ends) != 0 {
			t.Error("the handler was told of a session that never was")
		}
	})
}

func TestStreamEndsBeforeHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		r.ends(codes.Canceled)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		r.cancel()
		r.ends(codes.Canceled)
	})
}

func TestAckComesIn25ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		r.hello(&parleyv1.Hello{})
		began := time.Now()
		r.frame(wire.Head{Number: 1}, &wire.Envelope{Kind: wire.KindSend, Text: true, Target: target("a")})
		for {
			var f wire.Frame
			if err := r.stream.RecvMsg(&f); err != nil {
				t.Fatal(err)
			}
			var h wire.Head
			if err := wire.ParseHead(f.Bytes(), &h); err != nil {
				t.Fatal(err)
			}
			if h.Ack == 1 {
				break
			}
		}
		if d := time.Since(began); d != 25*time.Millisecond {
			t.Errorf("the ack came after %v, want 25 ms", d)
		}
		r.link.Kill(errClosed)
		r.ends(codes.OK)
	})
}

// TestStreamBreaks: each side fails what it has asked, and says that it may have run.
func TestStreamBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		r.hello(&parleyv1.Hello{})
		o := newOutcome()
		if err := r.link.Post(t.Context(), asking(o, "a", nil), PostOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.cancel()
		if got := o.wait(t); got.Err == nil || got.Err.Reason != endpoint.ReasonSessionEnded || got.Err.Execution != endpoint.MayHaveExecuted {
			t.Errorf("the outcome is %v", got.Err)
		}
		r.ends(codes.Canceled)
		if !r.at.broken || len(r.at.ends) != 1 {
			t.Errorf("broken %t, told %d times", r.at.broken, len(r.at.ends))
		}
	})
}

// TestViolationEndsTheSession with the status, and fails what is pending.
func TestViolationEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		r.hello(&parleyv1.Hello{})
		o := newOutcome()
		if err := r.link.Post(t.Context(), asking(o, "a", nil), PostOptions{}); err != nil {
			t.Fatal(err)
		}
		r.frame(wire.Head{Number: 1}, &wire.Envelope{Kind: wire.KindSend, Text: true, Target: target("a")}, &wire.Envelope{Kind: wire.KindWatch, ID: 1})
		if got := o.wait(t); got.Err == nil || got.Err.Reason != endpoint.ReasonSessionEnded {
			t.Errorf("the outcome is %v", got.Err)
		}
		r.ends(codes.Unimplemented)
		if len(r.at.events) != 1 {
			t.Errorf("%d messages arrived, want the one before the violation", len(r.at.events))
		}
	})
}

// TestPeerThatDoesNotRead: the writer is stuck, and a kill gets it out.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRaw(t)
		r.hello(&parleyv1.Hello{})
		for _, name := range []string{"a", "b", "c"} {
			if err := r.link.Post(t.Context(), sending(name, make([]byte, 1<<20)), PostOptions{NoWait: true}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		r.link.Close(errClosed)
		synctest.Wait()
		if len(r.at.ends) != 0 {
			t.Fatal("the session has ended, though not all is written")
		}
		r.link.Kill(errClosed)
		r.ends(codes.OK)
	})
}
