package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/inbox"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Deliver puts what a peer has sent into mailboxes, in order. It never waits: the peer's windows bound what a mailbox
// holds of it.
func (s *Server) Deliver(l *link.Link, frame *wire.Buffer, events []session.Event) {
	d := deliveries.Get().(*delivery)
	defer d.end()
	d.server, d.link, d.frame, d.now = s, l, frame, time.Now()
	d.at = s.clock(d.now)
	d.locate(events)
	for i := range events {
		ev := &events[i]
		switch {
		case ev.Refused != nil:
			d.refuse(ev, ev.Refused)
		case ev.Kind == wire.KindLookup:
			d.lookup(ev)
		case s.isElsewhere(ev):
			d.flush()
			d.relay(ev)
		default:
			d.add(ev)
			d.left--
		}
	}
	d.flush()
}

// end keeps d for the next delivery, with nothing but room.
func (d *delivery) end() {
	clear(d.places)
	*d = delivery{places: d.places[:0], run: d.run[:0], wanted: d.wanted[:0]}
	deliveries.Put(d)
}

// isElsewhere reports whether the endpoint is that of another Env, which this one relays to.
func (s *Server) isElsewhere(ev *session.Event) bool {
	return ev.To.EnvID != "" && ev.To.EnvID != s.config.Link.EnvID
}

// delivery is the delivery of the events of one frame. Messages that follow each other into the same mailbox are posted
// at once.
type delivery struct {
	server *Server
	link   *link.Link
	frame  *wire.Buffer
	now    time.Time
	at     time.Duration   // now, as calls keep it
	life   context.Context // the parent of the contexts of all; nil until it is needed

	places []place // of the messages; those to one destination that follow each other have one
	next   int     // the place of the message before; of the first message, its own
	looked uint64  // what locate has looked at, for no other use than that it does
	run    []*call
	size   int     // bytes of payloads of the run that are in the frame
	shared int     // how many those are
	into   *hosted // the mailbox of run
	wanted []receipt
	copies []byte // room for payloads that are not to keep the frame
	calls  []call // not used yet
	left   int    // the most calls that are still to be made
}

// receipt is one that a message of a run wants.
type receipt struct {
	at int // in the run
	id uint64
}

// deliveries keeps the room for runs.
var deliveries = sync.Pool{New: func() any { return new(delivery) }}

// add appends a message to the run.
func (d *delivery) add(ev *session.Event) {
	p := d.place(ev.To)
	if p.err != nil {
		d.refuse(ev, p.err)
		return
	}
	if d.into != p.hosted {
		d.flush()
		d.into = p.hosted
	}
	if opens := ev.Kind == wire.KindHeaders; opens != p.method.IsStreaming() {
		d.refuse(ev, wrongKind(p.method))
		return
	}
	c := d.newCall()
	c.hosted, c.method, c.id, c.arrived = p.hosted, p.method, ev.ID, d.at
	if ev.Kind == wire.KindHeaders {
		c.stream = &stream{ctx: c.ctx, in: inbox.New(), answers: peerAnswers{d.link, ev.Stream}, oneOnly: p.method.TakesOne()}
		ev.Stream.Owner = c.stream
	}
	if ev.Kind == wire.KindSend && ev.ID != 0 {
		c.id = 0
		d.wanted = append(d.wanted, receipt{len(d.run), ev.ID})
	}
	c.payload, c.parts, c.encoding = ev.Payload, ev.Parts, ev.Encoding
	if c.frame = ev.Memory; c.frame == nil {
		d.size += len(ev.Payload)
		d.shared++
	}
	c.link, c.account, c.cost = d.link, ev.Account, ev.Cost
	if d.life == nil {
		d.life = peer.NewContext(d.server.life, d.link.Carrier())
	}
	c.begin(d.life, wire.MD(ev.Metadata), d.deadline(ev))
	d.run = append(d.run, c)
}

// wrongKind returns the error of a message to a streaming method, or of a streaming call of another one.
func wrongKind(m *offered) *endpoint.Error {
	if m.IsStreaming() {
		return failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s is a streaming method", m.Name())
	}
	return failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s is no streaming method", m.Name())
}

// newCall returns a call. Those of one frame are made some at a time: a context that somebody keeps after its handler has
// returned keeps no more than that alive.
func (d *delivery) newCall() *call {
	if len(d.calls) == 0 {
		d.calls = newCalls(d.left)
	}
	c := &d.calls[0]
	d.calls = d.calls[1:]
	return c
}

func (d *delivery) deadline(ev *session.Event) time.Time {
	const forEver = uint64(1 << 53) // some 285 years, in microseconds
	if ev.RemainingMicros == 0 || ev.RemainingMicros >= forEver {
		return time.Time{}
	}
	return d.now.Add(time.Duration(ev.RemainingMicros) * time.Microsecond)
}

// flush posts the run.
func (d *delivery) flush() {
	if len(d.run) == 0 {
		return
	}
	d.link.Begin(len(d.run), func(i int) (uint64, link.Running) { return d.run[i].id, d.run[i].ctx })
	d.detach()
	countRun(d.run)
	n := d.into.box.Post(d.run...)
	for _, w := range d.wanted {
		if w.at < n {
			d.link.Receipt(w.id, nil)
		} else {
			d.link.Receipt(w.id, statusOf(d.server.closedMailbox(d.into.name())))
		}
	}
	d.wanted = d.wanted[:0]
	for _, c := range d.run[n:] {
		c.refuse(d.server.closedMailbox(d.into.name()))
	}
	clear(d.run)
	d.run = d.run[:0]
	d.size, d.shared = 0, 0
}

// detach retains the frame for a run, or copies the payloads of one that is a small part of its frame, which they would keep alive as a whole: a slow
// endpoint holds no more than four times its window of what the others were sent.
func (d *delivery) detach() {
	const part = 4
	if d.size*part >= len(d.frame.Bytes) {
		d.frame.Retain(d.shared)
		for _, c := range d.run {
			if c.frame == nil {
				c.frame = d.frame
			}
		}
		return
	}
	if cap(d.copies)-len(d.copies) < d.size || cap(d.copies) > d.size*part {
		room := d.size
		if d.left > 0 { // some of the runs that follow have room there, too
			room *= part
		}
		d.copies = make([]byte, 0, room)
	}
	for _, c := range d.run {
		if c.frame != nil {
			continue // it came in chunks
		}
		start := len(d.copies)
		d.copies = append(d.copies, c.payload...)
		c.payload = d.copies[start:len(d.copies):len(d.copies)]
	}
}

// refuse ends a message that has no mailbox.
func (d *delivery) refuse(ev *session.Event, e *endpoint.Error) {
	d.link.Take(ev.Account, ev.Cost)
	switch {
	case ev.Kind == wire.KindHeaders:
		d.link.EndStream(ev.Stream, statusOf(e), nil)
		return
	case ev.Kind != wire.KindSend:
		d.link.Reply(&session.Reply{ID: ev.ID, Status: statusOf(e)})
		return
	case ev.ID != 0:
		d.link.Receipt(ev.ID, statusOf(e))
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
	s.log.warn("parley: a one-way message was dropped", "endpoint", name, "method", method, "reason", e.Reason.String(), "error", e.Text)
}
