package session

import (
	"math"
	"testing"
	"unsafe"

	"github.com/parley-rpc/parley/internal/wire"
)

func TestRouteIsAnnouncedOnce(t *testing.T) {
	p := newPeer(t, limited(), limited())
	for range 3 {
		p.post(sending("a", nil))
		p.post(asking("b", nil))
	}
	var kinds []wire.Kind
	announced := map[uint32]string{}
	for _, e := range p.drain() {
		kinds = append(kinds, e.Kind)
		switch e.Kind {
		case wire.KindRoute:
			if announced[e.Route] != "" {
				t.Errorf("route %d is announced twice", e.Route)
			}
			announced[e.Route] = e.Target.Endpoint
		case wire.KindSend, wire.KindAsk:
			want := "a"
			if e.Kind == wire.KindAsk {
				want = "b"
			}
			if e.Text || announced[e.Route] != want {
				t.Errorf("%v takes route %d, which is %q, want %q", e.Kind, e.Route, announced[e.Route], want)
			}
		}
	}
	if len(announced) != 2 || announced[1] != "a" || announced[2] != "b" || len(kinds) != 8 {
		t.Fatalf("announced %v, envelopes %v", announced, kinds)
	}
}

func TestRouteOfAnotherMethodOrEnvIsAnother(t *testing.T) {
	p := newPeer(t, limited(), limited())
	targets := []wire.Target{
		{Endpoint: "a", Method: "p.S/M"}, {Endpoint: "a", Method: "p.S/N"}, {Endpoint: "a", Method: "p.S/M", EnvID: someEnv},
	}
	for _, target := range targets {
		p.post(&Posting{Target: target, Encoding: wire.Proto})
	}
	var got []wire.Target
	for _, e := range p.drain() {
		if e.Kind == wire.KindRoute {
			got = append(got, e.Target)
		}
	}
	if len(got) != 3 || got[0] != targets[0] || got[1] != targets[1] || got[2] != targets[2] {
		t.Fatalf("announced %v, want %v", got, targets)
	}
}

// TestRouteOfAnotherSession: who has sent by another session before names a route of that one.
func TestRouteOfAnotherSession(t *testing.T) {
	a, b := newPeer(t, limited(), limited()), newPeer(t, limited(), limited())
	before := sending("a", nil)
	a.post(before)
	again := sending("a", nil)
	again.Route = before.Route
	b.post(again)
	if envelopes := b.drain(); len(envelopes) != 2 || envelopes[0].Kind != wire.KindRoute || again.Route == before.Route {
		t.Errorf("the other session wrote %v, want the announcement of a route of its own first", envelopes)
	}
}

// TestAccountIsFoundOnce: what a route leads to is not looked up with each message.
func TestAccountIsFoundOnce(t *testing.T) {
	p := newPair(t, limited(), limited())
	for range 2 {
		p.post(0, sending("a", nil))
	}
	p.settle()
	r := p.side[1].in.routes.get(1)
	for _, ev := range p.take(1) {
		if ev.Account == nil || r == nil || ev.Account != r.account {
			t.Errorf("a message has the account %p, and its route %+v", ev.Account, r)
		}
	}
}

// TestTextWhenRoutesAreUsedUp: above the peer's limit a message carries its target, and the peer never sees a route more.
func TestTextWhenRoutesAreUsedUp(t *testing.T) {
	few := limited(func(l *Limits) { l.Routes = 2 })
	p := newPair(t, limited(), few)
	for range 2 {
		for _, name := range []string{"a", "b", "c", "d"} {
			p.post(0, sending(name, []byte(name)))
		}
	}
	p.settle()
	events := p.take(1)
	if len(events) != 8 {
		t.Fatalf("%d messages arrived, want 8", len(events))
	}
	for _, ev := range events {
		if ev.To.Endpoint != string(ev.Payload) || ev.To.Method != method {
			t.Errorf("a message for %s arrived at %+v", ev.Payload, ev.To.Target)
		}
	}
	if n := p.side[1].in.routes.len(); n != 2 {
		t.Errorf("%d routes were announced, want 2", n)
	}
	p.settle()
	p.idle()
}

func TestDestinationsByAnyNumbers(t *testing.T) {
	var d destinations
	numbers := []uint32{5, 1, 2, 4, 3, 1 << 31, 7, math.MaxUint32, 6}
	all := map[uint32]*Destination{}
	for i, n := range numbers {
		if d.get(n) != nil {
			t.Errorf("route %d is there before it was announced", n)
		}
		all[n] = new(Destination)
		d.put(n, all[n])
		if d.len() != i+1 {
			t.Errorf("%d routes, want %d", d.len(), i+1)
		}
		for m, want := range all {
			if r := d.get(m); r == nil || r.to != want {
				t.Errorf("after %v, route %d is another", numbers[:i+1], m)
			}
		}
	}
	if d.get(0) != nil || d.get(8) != nil {
		t.Error("a route that was not announced is there")
	}
}

// TestAccountFillsCacheLines: what is received and what is taken is counted by different goroutines.
func TestAccountFillsCacheLines(t *testing.T) {
	if n := unsafe.Sizeof(Account{}); n != 192 {
		t.Errorf("an account has %d bytes, want 192", n)
	}
}
