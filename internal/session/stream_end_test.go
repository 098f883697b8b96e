package session

import (
	"slices"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestWithdrawCall: a call that is given up before its headers are in a frame leaves nothing behind, with all that follows them.
func TestWithdrawCall(t *testing.T) {
	follow := map[string]func(p *pair, st *Stream){
		"headers alone": func(*pair, *Stream) {},
		"messages":      func(p *pair, st *Stream) { p.say(0, st, []byte("1")); p.say(0, st, []byte("2")) },
		"a half-close":  func(p *pair, st *Stream) { p.side[0].HalfClose(st) },
		"a large message": func(p *pair, st *Stream) {
			p.say(0, st, large(1))
		},
		"all of it": func(p *pair, st *Stream) {
			p.say(0, st, []byte("1"))
			p.say(0, st, large(1))
			p.side[0].HalfClose(st)
		},
		"several batches": func(p *pair, st *Stream) {
			for range 20 {
				p.say(0, st, make([]byte, 10_000))
			}
		},
	}
	for name, f := range follow {
		t.Run(name, func(t *testing.T) {
			for _, bye := range []bool{false, true} {
				p := newStreaming(t, limited(), limited())
				s := p.side[0].Session
				before, q, after := opening("a"), opening("a"), opening("a")
				for _, posting := range []*Posting{before, q, after} {
					if accepted, err := s.Post(posting); !accepted || err != nil {
						t.Fatal(accepted, err)
					}
					if posting == q {
						f(p, q.Ask.Stream)
					} else {
						p.say(0, posting.Ask.Stream, []byte("stays"))
					}
				}
				if bye {
					s.Bye(errEnded)
				}
				if u, pending := s.Abandon(q.Ask); !pending || u.Phase != endpoint.PhaseQueued || u.Execution != endpoint.NotExecuted {
					t.Fatalf("it ends as %+v, %t; want queued, not executed", u, pending)
				}
				if accepted, err := s.PostMessage(q.Ask.Stream, Message{Encoding: wire.Proto}, nil); accepted || err == nil {
					t.Error("a message was accepted after the end")
				}
				s.HalfClose(q.Ask.Stream)
				p.settle()
				var came []uint64
				for _, ev := range p.taken(1) {
					if ev.Kind != wire.KindBye {
						came = append(came, ev.ID)
					}
					p.read(1, []Event{ev})
					if ev.Kind == wire.KindHeaders {
						defer p.side[1].EndStream(ev.Stream, nil, nil)
					}
				}
				if len(came) != 4 || came[0] != 1 || came[1] != 1 || came[2] != 3 || came[3] != 3 {
					t.Fatalf("what came is of the calls %d, want 1, 1, 3 and 3", came)
				}
				if c := p.side[1].Counters(); c.LateMessages+c.LateChunks+c.LateCancels != 0 {
					t.Errorf("counters %+v", c)
				}
				for _, st := range p.side[1].in.streams {
					p.side[1].EndStream(st, nil, nil)
				}
				if p.settle(); !bye {
					p.over()
				}
			}
		})
	}
}

// TestCancelCall: from the first frame on a call is cancelled. It is pending until its end, and its large message is aborted.
func TestCancelCall(t *testing.T) {
	p := newStreaming(t, limited(), limited())
	a, st := p.open(0)
	p.say(0, a.Stream, large(1))
	p.side[0].HalfClose(a.Stream)
	p.step(0)
	p.step(0)
	if u, pending := p.side[0].Abandon(a); !pending || u.Phase != endpoint.PhaseSent || u.Execution != endpoint.MayHaveExecuted {
		t.Fatalf("it ends as %+v, %t; want sent, may have executed", u, pending)
	}
	p.settle()
	events := p.taken(1)
	if len(events) != 2 || events[0].Kind != wire.KindMessage || events[0].Refused == nil || events[1].Kind != wire.KindCancel || events[1].ID != st.ID() {
		t.Fatalf("%+v came, want an aborted message and a cancel", events)
	}
	p.read(1, events)
	p.say(1, st, large(3)) // the handler has not looked yet
	p.step(1)
	p.side[1].EndStream(st, nil, nil)
	if n := p.side[1].out.underway; n != 0 {
		t.Error("the large message of a cancelled call goes on")
	}
	if p.side[0].asks.unanswered != 1 {
		t.Error("the call is not pending until its end")
	}
	p.over()
}

// TestCancelBehindReturn: the handler has returned, and its large message, which the end waits for, is still under way.
func TestCancelBehindReturn(t *testing.T) {
	p := newStreaming(t, limited(), limited())
	a, st := p.open(0)
	p.say(1, st, large(1))
	p.side[1].EndStream(st, nil, nil)
	p.step(1)
	p.step(1)
	p.side[0].Abandon(a)
	p.step(0)
	if n := p.side[1].out.underway; n != 0 {
		t.Error("the large message goes on, though nobody waits for it")
	}
	p.over()
}

// TestEndAbortsCaller: the end of a call aborts the large message of its caller, whose half-close, which waits for it, is not sent any more.
func TestEndAbortsCaller(t *testing.T) {
	for frames := range 4 {
		p := newStreaming(t, limited(), limited())
		a, st := p.open(0)
		p.say(0, a.Stream, large(1))
		p.side[0].HalfClose(a.Stream)
		for range frames {
			p.step(0)
		}
		p.side[1].EndStream(st, &spb.Status{Code: int32(codes.Aborted)}, nil)
		p.step(1)
		events := p.taken(0)
		if len(events) != 1 || events[0].Kind != wire.KindEnd || events[0].Ask != a || events[0].Status.GetCode() != int32(codes.Aborted) {
			t.Fatalf("%+v came, want the end", events)
		}
		before := p.side[1].Counters()
		p.over()
		if c := p.side[1].Counters(); c.LateMessages != before.LateMessages && frames > 0 || c.LateChunks != 0 {
			t.Errorf("after %d frames and the end something is sent: %+v", frames, c)
		}
	}
}

// TestEndOfSessionWithCalls: callers are told, those who wait are woken, and handlers end what is left; whether they have done so before or not.
func TestEndOfSessionWithCalls(t *testing.T) {
	for _, returned := range []bool{false, true} {
		p := newStreaming(t, limited(streamWindow(100)), limited(streamWindow(100)))
		a, st := p.open(0)
		q := opening("b")
		if accepted, err := p.side[0].Post(q); !accepted || err != nil {
			t.Fatal(accepted, err)
		}
		p.fillCall(0, a.Stream)
		p.say(1, st, large(1))
		waiters := []*credit.Waiter{credit.NewWaiter(), credit.NewWaiter()}
		for i, side := range []*Stream{a.Stream, st} {
			if accepted, err := p.side[i].PostMessage(side, Message{Encoding: wire.Proto}, waiters[i]); accepted || err != nil {
				t.Fatal(accepted, err)
			}
		}
		if returned {
			p.side[1].LeaveStream(st, waiters[1])
			p.side[1].EndStream(st, nil, nil)
		}
		for i, s := range p.side {
			ended := s.End(errEnded)
			if want := 2 - 2*i; len(ended) != want || s.Pending() != 0 {
				t.Errorf("%s: %d calls ended, and %d are pending; want %d and none", s.name, len(ended), s.Pending(), want)
			}
			for j, u := range ended {
				if want := []endpoint.Execution{endpoint.MayHaveExecuted, endpoint.NotExecuted}[j]; u.Execution != want {
					t.Errorf("call %d ends as %v, want %v", j+1, u.Execution, want)
				}
			}
		}
		for i, w := range waiters {
			if i == 1 && returned {
				break
			}
			if !turn(w) {
				t.Errorf("who waits at %s was not woken", p.side[i].name)
			}
			side := []*Stream{a.Stream, st}[i]
			if accepted, err := p.side[i].PostMessage(side, Message{Encoding: wire.Proto}, w); accepted || err == nil {
				t.Errorf("a message is accepted after the end: %t, %v", accepted, err)
			}
		}
		if !returned {
			p.side[1].EndStream(st, nil, nil)
		}
		p.side[1].EndStream(st, nil, nil)
		if n, m := p.side[1].OpenAsks(), len(p.side[1].in.streams); n != 0 || m != 0 {
			t.Errorf("returned %t: %d calls count as open, and %d are kept", returned, n, m)
		}
	}
}

// TestByeBehindEnd: what was sent before a bye comes before it, with an end that waits for a large message.
func TestByeBehindEnd(t *testing.T) {
	p := newStreaming(t, limited(), limited())
	a, st := p.open(0)
	p.say(1, st, large(1))
	p.side[1].EndStream(st, nil, nil)
	p.side[1].Bye(errEnded)
	p.settle()
	events := p.taken(0)
	if len(events) != 3 || events[1].Kind != wire.KindEnd || events[1].Ask != a || events[2].Kind != wire.KindBye {
		t.Fatalf("%v came, want a message, the end and the bye", kinds(events))
	}
	if !p.side[1].ByeWritten() || p.side[1].OpenAsks() != 0 {
		t.Errorf("the bye is written: %t; %d calls are open", p.side[1].ByeWritten(), p.side[1].OpenAsks())
	}
}

// TestHalfClosedCalls: the dialler's half-close of a stream half-closes its calls, and lifts the windows that it could not raise any more; one whose
// large message is not whole is aborted, not half-closed.
func TestHalfClosedCalls(t *testing.T) {
	p := newPeer(t, limited(streamWindow(1000)), limited(streamWindow(10)))
	p.s.CarryStreams()
	first, closed, cutOff := p.send(headers(1, "a"))[0].Stream, p.send(headers(2, "a"))[0].Stream, p.send(headers(3, "a"))[0].Stream
	p.send(&wire.Envelope{Kind: wire.KindHalfClose, ID: 2})
	p.send(inChunks(says(3, ""), 1, 100_000), chunk(1, "some"))
	if ok, err := p.s.PostMessage(first, Message{Payload: make([]byte, 50), Encoding: wire.Proto}, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w := credit.NewWaiter()
	if ok, err := p.s.PostMessage(first, Message{Payload: []byte("more"), Encoding: wire.Proto}, w); ok || err != nil {
		t.Fatal(ok, err)
	}
	events, _ := p.s.HalfClosed(errEnded)
	if len(events) != 2 || events[0].Kind != wire.KindMessage || events[0].Stream != cutOff || events[0].Refused == nil ||
		events[1].Kind != wire.KindHalfClose || events[1].Stream != first {
		t.Fatalf("%+v, want an aborted message of call 3, and the half-close of call 1", events)
	}
	if !p.s.TakeMessage(cutOff, events[0].Cost) {
		t.Error("the transfer window of the aborted message is not to be stated")
	}
	if !turn(w) {
		t.Fatal("nobody was woken")
	}
	for range 50 {
		if ok, err := p.s.PostMessage(first, Message{Payload: []byte("more"), Encoding: wire.Proto}, w); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for _, st := range []*Stream{first, closed, cutOff} {
		p.s.EndStream(st, nil, nil)
	}
	if n := p.s.OpenAsks(); n != 0 {
		t.Errorf("%d calls are open", n)
	}
	if _, bytes := p.s.in.transfer.Outstanding(); bytes != 0 {
		t.Errorf("%d bytes of the transfer window have not come back", bytes)
	}
}

// TestHalfClosedCallee: what was asked of a peer that sends no more fails at once, whatever it is and however far it has come; so does what is asked
// then, and what waits for room.
func TestHalfClosedCallee(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.MailboxMessages = 4 }))
	p.s.CarryStreams()
	p.s.GiveReceipts()
	call, large1, answered, receipt := opening("a"), asking("a", large(1)), asking("b", nil), asking("b", nil)
	receipt.Receipt = true
	for _, q := range []*Posting{call, answered, receipt, large1} {
		p.post(q)
	}
	p.drain()
	looked, queued, late := &Ask{Done: noReply{}}, asking("b", nil), asking("c", large(1))
	if err := p.s.Lookup(looked, "", "a", ""); err != nil {
		t.Fatal(err)
	}
	p.post(queued)
	p.post(late)
	p.send(inChunks(reply(2, ""), 1, 100_000), chunk(1, "some"))
	p.post(sending("b", nil))
	waiting, sends := asking("b", nil), sending("b", nil)
	for _, q := range []*Posting{waiting, sends} {
		q.Waiter = credit.NewWaiter()
		if ok, err := p.s.Post(q); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	events, asks := p.s.HalfClosed(errEnded)
	if len(events) != 0 {
		t.Errorf("%+v came", events)
	}
	may, not := endpoint.MayHaveExecuted, endpoint.NotExecuted
	want := []Unanswered{
		{call.Ask, endpoint.PhaseSent, may}, {answered.Ask, endpoint.PhaseSent, may}, {receipt.Ask, endpoint.PhaseSent, may}, {large1.Ask, endpoint.PhaseSent, may},
		{looked, endpoint.PhaseQueued, not}, {queued.Ask, endpoint.PhaseQueued, not}, {late.Ask, endpoint.PhaseQueued, not},
	}
	if !slices.Equal(asks, want) {
		t.Errorf("what ends is %+v, want %+v", asks, want)
	}
	if !turn(waiting.Waiter) {
		t.Error("who waits for room was not woken")
	}
	for _, q := range []*Posting{waiting, asking("a", nil), opening("a")} {
		if ok, err := p.s.Post(q); ok || err == nil || err.Reason != endpoint.ReasonSessionEnded || err.Execution != not {
			t.Errorf("an ask is taken: %t, %v", ok, err)
		}
	}
	if err := p.s.Lookup(&Ask{Done: noReply{}}, "", "a", ""); err == nil || err.Reason != endpoint.ReasonSessionEnded {
		t.Errorf("a lookup: %v", err)
	}
	p.head(wire.Head{Credits: []wire.Credit{{Endpoint: "b", Messages: 100}}})
	if ok, err := p.s.Post(sends); !ok || err != nil {
		t.Errorf("a send: %t, %v; want it to be taken", ok, err)
	}
	if p.s.Pending() != 0 || len(p.s.in.transfers) != 0 || p.s.in.replyBytes != 0 {
		t.Errorf("%d asks are pending, %d messages are partial, with %d bytes of replies", p.s.Pending(), len(p.s.in.transfers), p.s.in.replyBytes)
	}
}

// TestHalfClosedTakesLargeMessages: the transfer window, which the peer can raise no more, holds up no call either.
func TestHalfClosedTakesLargeMessages(t *testing.T) {
	p := newPeer(t, limited(), limited(func(l *Limits) { l.TransferBytes = 10 }))
	p.s.CarryStreams()
	st := p.send(headers(1, "a"))[0].Stream
	w := credit.NewWaiter()
	for i := range 3 {
		ok, err := p.s.PostMessage(st, Message{Payload: large(byte(i)), Encoding: wire.Proto}, w)
		if i == 1 {
			if ok || err != nil {
				t.Fatal(ok, err)
			}
			if p.s.HalfClosed(errEnded); !turn(w) {
				t.Error("nobody was woken")
			}
			ok, err = p.s.PostMessage(st, Message{Payload: large(byte(i)), Encoding: wire.Proto}, w)
		}
		if !ok || err != nil {
			t.Fatalf("message %d: %t, %v", i+1, ok, err)
		}
		p.drain()
	}
}

// TestReplayedCall: a stream that is cut in the middle of a call, with what was written on it lost, changes nothing.
func TestReplayedCall(t *testing.T) {
	for lost := range 6 {
		p := newStreaming(t, limited(streamWindow(2000)), limited(streamWindow(2000)))
		for _, s := range p.side {
			s.Resume()
		}
		a, st := p.open(0)
		p.say(0, a.Stream, []byte("1"))
		p.say(0, a.Stream, make([]byte, 3*MostWhole))
		p.side[0].HalfClose(a.Stream)
		p.say(1, st, make([]byte, 3*MostWhole))
		for range lost {
			p.side[0].NextFrame(p.now)
			p.side[1].NextFrame(p.now)
		}
		p.side[1].EndStream(st, nil, nil)
		over := st.over // then it listens no more
		for _, s := range p.side {
			s.Detach(p.now)
		}
		for i, s := range p.side {
			if v := s.Attach(p.now, p.side[1-i].Received()); v != nil {
				t.Fatal(v)
			}
		}
		p.settle()
		atA, atB := p.taken(0), p.taken(1)
		if len(atA) != 2 || atA[1].Kind != wire.KindEnd || len(atA[0].Payload) != 3*MostWhole {
			t.Errorf("%d frames lost: %v came to the caller, want a message and the end", lost, kinds(atA))
		}
		if got := kinds(atB); !over && (len(got) < 2 || string(atB[0].Payload) != "1" || got[1] != wire.KindMessage) || over && len(got) > 0 {
			t.Errorf("%d frames lost: %v came to the callee, which had ended the call: %t", lost, got, over)
		}
		p.read(0, atA)
		p.read(1, atB)
		p.now = p.now.Add(time.Second)
		for _, s := range p.side {
			s.Tick(p.now)
		}
		p.over()
	}
}
