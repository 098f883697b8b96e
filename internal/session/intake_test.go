package session

import (
	"reflect"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/wire"
)

// TestIntakeForgets: a room that is used again has nothing of what it was used for, whether that was taken, is incomplete, or broke the rules.
func TestIntakeForgets(t *testing.T) {
	metadata := []wire.Metadata{{Key: "authorization", Value: "secret"}}
	ask := func(id uint64) *wire.Envelope {
		return &wire.Envelope{Kind: wire.KindAsk, ID: id, Text: true, Target: wire.Target{Endpoint: "a", Method: method}, Metadata: metadata, Encoding: wire.Proto, Payload: []byte("x")}
	}
	unknown := &wire.Envelope{Kind: wire.KindSend, Route: 77, Metadata: metadata, Encoding: wire.Proto, Payload: []byte("x")}
	for name, test := range map[string]struct {
		envelopes []*wire.Envelope
		events    int
		bad       bool
	}{
		"taken":      {[]*wire.Envelope{ask(1), ask(2)}, 2, false},
		"incomplete": {[]*wire.Envelope{ask(1), inChunks(ask(2), 1, 100)}, 1, false},
		"bad":        {[]*wire.Envelope{ask(1), unknown}, 1, true},
	} {
		room := new(Intake)
		events, v := New(limited(), limited()).Receive(room, epoch, frame(wire.Head{Number: 1, AgeMicros: 1}, test.envelopes...))
		if len(events) != test.events || (v != nil) != test.bad {
			t.Fatalf("%s: %d events, %v", name, len(events), v)
		}
		room.Reset()
		slots := room.events[:cap(room.events)]
		for i := range slots {
			if !reflect.ValueOf(slots[i]).IsZero() {
				t.Errorf("%s: event %d is kept: %+v", name, i, slots[i])
			}
		}
		room.events = nil
		if !reflect.ValueOf(*room).IsZero() {
			t.Errorf("%s: kept: %+v", name, room)
		}
	}
}

// TestIntakeStaysSmall: one frame of very many events does not make a room large for good.
func TestIntakeStaysSmall(t *testing.T) {
	var cancels []*wire.Envelope
	for range mostRoom + 1 {
		cancels = append(cancels, &wire.Envelope{Kind: wire.KindCancel, ID: 1})
	}
	room := new(Intake)
	if events, v := New(limited(), limited()).Receive(room, epoch, frame(wire.Head{Number: 1}, cancels...)); len(events) != len(cancels) || v != nil {
		t.Fatalf("%d events, %v", len(events), v)
	}
	room.Reset()
	if room.events != nil {
		t.Errorf("there is room for %d events", cap(room.events))
	}
}

// TestRest: what is needed only for writing is given back when all is written, and when the session is over.
func TestRest(t *testing.T) {
	for _, over := range []bool{false, true} {
		s := New(limited(), limited())
		s.post(t, sending("a", []byte("x")))
		if s.out.scratch == nil {
			t.Fatal("an envelope is made nowhere")
		}
		if over {
			s.End(errEnded)
		} else {
			for s.NextFrame(epoch) != nil {
			}
		}
		if s.out.scratch != nil {
			t.Errorf("over %t: what envelopes are made in is kept", over)
		}
	}
}

// TestExpireWithin: what lowers the time-to-live does not raise it.
func TestExpireWithin(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, time.Minute} {
		s := New(limited(func(l *Limits) { l.SessionTTL = ttl }), limited())
		s.Resume()
		s.Detach(epoch)
		s.ExpireWithin(epoch, 5*time.Second)
		if want := epoch.Add(min(ttl, 5*time.Second)); !s.expiry().Equal(want) {
			t.Errorf("of %v: ends at %v, want %v", ttl, s.expiry(), want)
		}
	}
}
