package server

import (
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Deliver puts what a peer has sent into mailboxes, in order. It never waits: the peer's windows bound what a mailbox
// holds of it.
func (s *Server) Deliver(l *link.Link, events []session.Event) {
	var d delivery
	d.server, d.link, d.now = s, l, time.Now()
	for i := range events {
		ev := &events[i]
		switch {
		case ev.Kind == wire.KindLookup:
			d.lookup(ev)
		case ev.Refused != nil:
			d.refuse(ev, ev.Refused)
		case ev.To.EnvID != "" && ev.To.EnvID != s.config.Link.EnvID:
			d.flush()
			d.relay(ev)
		default:
			d.add(ev)
		}
	}
	d.flush()
}

// delivery is the delivery of the events of one frame. Messages that follow each other into the same mailbox are posted
// at once.
type delivery struct {
	server *Server
	link   *link.Link
	now    time.Time

	to     *session.Destination // of the last message
	hosted *hosted              // to's
	method *endpoint.ServiceMethod
	err    *endpoint.Error // why there is no hosted, or no method
	run    []*call
	into   *hosted // the mailbox of run
}

// add appends a message to the run.
func (d *delivery) add(ev *session.Event) {
	if ev.To != d.to {
		d.resolve(ev.To)
	}
	if d.err != nil {
		d.refuse(ev, d.err)
		return
	}
	if d.into != d.hosted {
		d.flush()
		d.into = d.hosted
	}
	c := &call{
		hosted: d.hosted, method: d.method, during: ev.To.Method, id: ev.ID, payload: ev.Payload, encoding: ev.Encoding,
		link: d.link, account: ev.Account, cost: ev.Cost,
	}
	c.begin(wire.MD(ev.Metadata), d.deadline(ev))
	if ev.Kind == wire.KindAsk {
		d.link.Begin(ev.ID, c)
	}
	d.run = append(d.run, c)
}

func (d *delivery) deadline(ev *session.Event) time.Time {
	const forEver = uint64(1 << 53) // some 285 years, in microseconds
	if ev.RemainingMicros == 0 || ev.RemainingMicros >= forEver {
		return time.Time{}
	}
	return d.now.Add(time.Duration(ev.RemainingMicros) * time.Microsecond)
}

func (d *delivery) resolve(to *session.Destination) {
	d.to = to
	d.method = nil
	d.hosted, d.err = d.server.find(to.Endpoint)
	if d.err != nil {
		return
	}
	if d.method = d.hosted.methods[to.Method]; d.method == nil {
		d.err = failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s does not implement %s", to.Endpoint, to.Method)
	}
}

// flush posts the run.
func (d *delivery) flush() {
	if len(d.run) == 0 {
		return
	}
	n := d.into.box.Post(d.run...)
	for _, c := range d.run[n:] {
		c.refuse(failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "%s was stopped", d.into.name))
	}
	clear(d.run)
	d.run = d.run[:0]
}

// refuse ends a message that has no mailbox.
func (d *delivery) refuse(ev *session.Event, e *endpoint.Error) {
	d.link.Take(ev.Account, ev.Cost)
	if ev.Kind == wire.KindAsk {
		d.link.Reply(&session.Reply{ID: ev.ID, Status: statusOf(e)})
		return
	}
	d.server.drop(ev.To.Endpoint, ev.To.Method, e)
}

func (d *delivery) lookup(ev *session.Event) {
	var e *endpoint.Error
	switch {
	case ev.To.Invalid != nil:
		e = ev.To.Invalid
	case ev.To.EnvID != "" && ev.To.EnvID != d.server.config.Link.EnvID:
		d.relayLookup(ev)
		return
	default:
		e = d.server.Lookup(ev.To.Endpoint, ev.Service)
	}
	r := &session.Reply{ID: ev.ID}
	if e != nil {
		r.Status = statusOf(e)
	}
	d.link.Reply(r)
}

// drop counts and logs a one-way message that nobody gets.
func (s *Server) drop(name, method string, e *endpoint.Error) {
	s.dropped.Add(1)
	s.log.warn("parley: a one-way message was dropped", "endpoint", name, "method", method, "reason", e.Reason.String(), "text", e.Text)
}
