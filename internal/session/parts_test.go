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
			if ok, err := p.side[0].Post(q); !ok {
				t.Fatal(err)
			}
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
	if ok, err := p.side[0].Post(asking("x", nil)); !ok {
		t.Fatal(err)
	}
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
