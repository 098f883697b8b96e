package session

import (
	"bytes"
	"slices"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/wire"
)

// inParts returns a payload in parts.
func inParts(payload []byte) *wire.Parts {
	p := new(wire.Parts)
	p.Append(payload)
	return p
}

// whole returns the payload of an event.
func whole(ev *Event) []byte {
	if ev.Parts != nil {
		return piecewise.Join(ev.Parts)
	}
	return ev.Payload
}

// payloadOf returns the payload of a send that is reported.
func payloadOf(s *Send) []byte {
	if s.Parts != nil {
		return piecewise.Join(s.Parts)
	}
	return s.Payload
}

// TestPartsAreSent: a payload in parts travels as one that is in one piece does, in full chunks; and nothing is left of it.
func TestPartsAreSent(t *testing.T) {
	long := slices.Concat(large(1), large(2), large(3))
	for _, size := range []int{MostWhole + 1, chunkBytes, wire.PartBytes, wire.PartBytes + 1, 1 << 20, len(long)} {
		p := newPair(t, limited(), limited())
		payload := long[:size]
		ask, send := asking("ask", nil), sending("send", nil)
		ask.Parts, send.Parts = inParts(payload), inParts(payload)
		for _, q := range []*Posting{ask, send} {
			p.post(0, q)
		}
		frames := 0
		for p.step(0) {
			frames++
		}
		if most := 1 + 2*((size+chunkBytes-1)/chunkBytes); frames > most {
			t.Errorf("%d bytes twice took %d frames, want %d at the most", size, frames, most)
		}
		p.settle()
		events := p.take(1)
		if len(events) != 2 {
			t.Fatalf("%d events have come", len(events))
		}
		for _, ev := range events {
			if got := whole(&ev); !bytes.Equal(got, payload) {
				t.Errorf("%d bytes have come as %d, or others", size, len(got))
			}
			if ev.Kind == wire.KindAsk {
				p.side[1].Reply(&Reply{ID: ev.ID, Parts: inParts(payload), Encoding: wire.Proto})
			}
		}
		p.settle()
		replies := p.take(0)
		if len(replies) != 1 || !bytes.Equal(whole(&replies[0]), payload) {
			t.Errorf("%d replies of %d bytes", len(replies), size)
		}
		p.idle()
	}
}

// TestStreamedPartsAreSent: the same of messages of streaming calls, by either side.
func TestStreamedPartsAreSent(t *testing.T) {
	long := slices.Concat(large(1), large(2), large(3))
	for caller := range 2 {
		for _, size := range []int{MostWhole + 1, wire.PartBytes + 1, len(long)} {
			p := newStreaming(t, limited(), limited())
			callee := 1 - caller
			a, st := p.open(caller)
			for from, side := range map[int]*Stream{caller: a.Stream, callee: st} {
				parts := inParts(long[:size])
				if ok, err := p.side[from].PostMessage(side, Message{Parts: parts, Encoding: wire.Proto}, nil); !ok || err != nil {
					t.Fatalf("PostMessage of %d bytes in parts = %t, %v", size, ok, err)
				}
				p.settle()
				events := p.taken(1 - from)
				if len(events) != 1 || !bytes.Equal(whole(&events[0]), long[:size]) {
					t.Errorf("%v came, want one message of %d bytes, unchanged", kinds(events), size)
				}
				p.read(1-from, events)
				if n := parts.Len(); n != 0 {
					t.Errorf("%d bytes are left at the sender", n)
				}
			}
			p.side[caller].HalfClose(a.Stream)
			p.side[callee].EndStream(st, nil, nil)
			p.settle()
			p.taken(caller)
			p.taken(callee)
			p.over()
		}
	}
}

// TestMemoryIsGivenBack: the memory that a large payload is in is released when all of it is written.
func TestMemoryIsGivenBack(t *testing.T) {
	payload := large(1)
	inMemory := func() *wire.Buffer {
		b := wire.NewBuffer(len(payload))
		b.Bytes = append(b.Bytes, payload...)
		return b
	}
	p := newStreaming(t, limited(), limited())
	a, _ := p.open(0)
	post, message := inMemory(), inMemory()
	send := sending("x", post.Bytes)
	send.Memory = post
	p.post(0, send)
	if ok, err := p.side[0].PostMessage(a.Stream, Message{Payload: message.Bytes, Memory: message, Encoding: wire.Proto}, nil); !ok {
		t.Fatal(err)
	}
	p.settle()
	for _, ev := range p.take(1) {
		if ev.Kind != wire.KindHeaders && !bytes.Equal(whole(&ev), payload) {
			t.Errorf("%d bytes have come, or others", len(whole(&ev)))
		}
	}
	for name, b := range map[string]*wire.Buffer{"a send": post, "a message of a call": message} {
		if len(b.Bytes) != 0 { // which the last Release makes them
			t.Errorf("the memory of %s is still in use", name)
		}
	}
}

// TestPartsThatAreTooLarge are refused, and so are replies of as many.
func TestPartsThatAreTooLarge(t *testing.T) {
	limits := limited()
	limits.MessageBytes = 100_000
	p := newPair(t, limits, limits)
	q := asking("x", nil)
	q.Parts = inParts(make([]byte, 100_001))
	if ok, err := p.side[0].Post(q); ok || err == nil || err.Reason != endpoint.ReasonTooLarge {
		t.Errorf("accepted: %v, error %v", ok, err)
	}
	p.post(0, asking("x", nil))
	p.settle()
	ask := p.take(1)[0]
	p.side[1].Reply(&Reply{ID: ask.ID, Parts: inParts(make([]byte, 100_001)), Encoding: wire.Proto})
	p.settle()
	if replies := p.take(0); len(replies) != 1 || endpoint.ErrorFromStatus(replies[0].Status).Reason != endpoint.ReasonTooLarge {
		t.Errorf("got %+v, want one error", replies)
	}
	p.idle()
}

// TestUnacknowledgedParts: what is lost of a send in parts is reported whole, as long as it may not have been executed.
func TestUnacknowledgedParts(t *testing.T) {
	payload := slices.Concat(large(1), large(2))
	chunks := (len(payload) + chunkBytes - 1) / chunkBytes
	for _, test := range []struct{ frames, acked int }{{0, 0}, {1, 0}, {1, 1}, {2, 0}, {2, 1}, {2, 2}, {chunks, 1}, {chunks + 1, 0}, {chunks + 1, 1}, {chunks + 1, chunks}} {
		frames := test.frames
		p := newPair(t, limited(), limited())
		s := p.side[0]
		s.Resume()
		q := sending("large", nil)
		q.Parts = inParts(payload)
		if ok, err := s.Post(q); !ok {
			t.Fatal(err)
		}
		for range frames {
			s.out.pace.ahead = 0 // the peer keeps up
			if s.NextFrame(p.now) == nil {
				t.Fatal("there is no further frame")
			}
		}
		s.acknowledge(p.now, uint64(test.acked))
		sends := s.UnacknowledgedSends()
		s.End(errEnded)
		if len(sends) != 1 {
			t.Fatalf("%d sends are reported after %+v", len(sends), test)
		}
		want, execution := payload, endpoint.NotExecuted
		if frames > chunks {
			want, execution = nil, endpoint.MayHaveExecuted
		}
		if got := payloadOf(&sends[0]); !bytes.Equal(got, want) || sends[0].Execution != execution {
			t.Errorf("after %+v %d bytes are reported, %v, want %d, %v", test, len(got), sends[0].Execution, len(want), execution)
		}
	}
}
