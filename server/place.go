package server

import (
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// place is where the messages to one destination go.
type place struct {
	to     *session.Destination
	hosted *hosted
	method *offered
	err    *endpoint.Error // why there is no hosted, or no method
}

// isCall reports whether an event is a message for this Env, which becomes a call unless it has to be refused.
func (s *Server) isCall(ev *session.Event) bool {
	return ev.Refused == nil && ev.Kind != wire.KindLookup && !s.isElsewhere(ev)
}

// locate finds the places of the messages, and counts those. Of many endpoints, what there is of one is far away in memory. A processor waits for several such
// places at the same time, as long as what it does with one does not depend on another and is short: so all that messages are going to need is looked at here, step by step, and each step
// for all of them. One message after the other would wait for its own alone, several times.
func (d *delivery) locate(events []session.Event) {
	var last *session.Destination
	for i := range events {
		ev := &events[i]
		if !d.server.isCall(ev) {
			continue
		}
		d.left++
		if ev.To != last {
			last = ev.To
			p := place{to: last}
			if l, ok := last.Found.(*listing); ok {
				p.hosted = l.hosted.Load()
			}
			d.places = append(d.places, p)
		}
	}
	for i := range d.places {
		if h := d.places[i].hosted; h != nil {
			d.looked += uint64(h.states.Load()) + uint64(h.box.Concurrency()) + uint64(len(h.first.methods)) // as far apart as cache lines are
		}
	}
	for i := range d.places {
		d.places[i].resolve(d.server)
	}
	for i := range d.places {
		if p := &d.places[i]; p.err == nil {
			d.looked += p.method.calls.Load()
		}
	}
}

// resolve finds the method, and the endpoint if it is not the one that messages to the same destination have found before.
func (p *place) resolve(s *Server) {
	listed := p.hosted == nil
	if listed {
		if p.hosted, p.err = s.find(p.to.Endpoint); p.err != nil {
			return
		}
		p.to.Found = p.hosted.listing
	}
	if p.method = p.hosted.offers.Load().method(p.to.Method); p.method == nil {
		p.err = failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s does not implement %s", p.to.Endpoint, p.to.Method)
		return
	}
	if listed {
		p.to.Method = p.method.Name() // the same, in the same memory: to compare it with itself looks at none of its bytes
	}
}

// place returns the place of the next message, whose destination is to.
func (d *delivery) place(to *session.Destination) *place {
	p := &d.places[d.next]
	if p.to != to {
		d.next++
		p = &d.places[d.next]
	}
	return p
}
