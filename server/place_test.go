package server

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestPlaces: each message of a frame gets the endpoint and the method that it names, or the error that there is none, whatever is between the messages, and
// whatever their destinations have found before.
func TestPlaces(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names, methods := []string{"a", "b", "c", "nobody"}, []string{"s/x", "s/y", "other/x", "none/x"}
	s := newServer()
	register := func(name string) {
		if _, err := s.Register(t.Context(), name, struct{}{}, []endpoint.Service{serviceOf("s", "s/x", "s/y")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names[:3] {
		register(name)
	}
	var destinations []*session.Destination
	for _, name := range names {
		for _, method := range methods {
			destinations = append(destinations, &session.Destination{Target: wire.Target{Endpoint: name, Method: method}})
		}
	}
	for frame := range 500 {
		switch frame {
		case 100:
			if done, ok := s.Stop(t.Context(), "a"); !ok {
				t.Fatal("there is no a")
			} else {
				<-done
			}
		case 200:
			register("a")
		case 300:
			if err := s.Offer("b", serviceOf("other", "other/x")); err != nil {
				t.Fatal(err)
			}
		}
		events := make([]session.Event, random.IntN(20))
		for i := range events {
			ev := &events[i]
			ev.Kind, ev.To = wire.KindAsk, destinations[random.IntN(len(destinations))]
			if i > 0 && random.IntN(3) == 0 {
				ev.To = events[i-1].To
			}
			switch random.IntN(5) {
			case 0:
				ev.Refused = &endpoint.Error{}
			case 1:
				ev.Kind = wire.KindLookup
			}
		}
		d := delivery{server: s}
		d.locate(events)
		calls := 0
		for i := range events {
			ev := &events[i]
			if !s.isCall(ev) {
				continue
			}
			calls++
			p := d.place(ev.To)
			h := s.hosted[ev.To.Endpoint]
			reason := endpoint.Reason(0)
			switch {
			case h == nil && ev.To.Endpoint == "nobody":
				reason = endpoint.ReasonEndpointNotFound
			case h == nil:
				reason = endpoint.ReasonEndpointStopped
			case h.offers.Load().method(ev.To.Method) == nil:
				reason = endpoint.ReasonMethodNotFound
			}
			switch {
			case reason != 0:
				if p.err == nil || p.err.Reason != reason {
					t.Fatalf("frame %d: %s of %s: got %v, want %v", frame, ev.To.Method, ev.To.Endpoint, p.err, reason)
				}
			case p.err != nil || p.hosted != h || p.method != h.offers.Load().method(ev.To.Method) || p.method.Name() != ev.To.Method:
				t.Fatalf("frame %d: %s of %s: got %v, or another place", frame, ev.To.Method, ev.To.Endpoint, p.err)
			}
		}
		if d.left != calls {
			t.Fatalf("frame %d: %d messages were counted, of %d", frame, d.left, calls)
		}
	}
}
