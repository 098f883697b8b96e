package server

import (
	"bytes"
	"context"
	"io"
	"math"
	"sync/atomic"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/mailbox"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

const (
	// mostRelays bounds the relays of an Env, and mostRelaysOfLink those for one sender. Idle ones make room for others.
	mostRelays       = 4096
	mostRelaysOfLink = 1024
)

// relayKey names a relay: all that one link sends to one endpoint of another Env.
type relayKey struct {
	from     *link.Link
	envID    string
	endpoint string
}

// relay passes messages on to an endpoint of a client-mode Env, one hop. It is a mailbox, so that it keeps the order, and
// so that a slow receiver holds up only those who send to it.
type relay struct {
	server *Server
	key    relayKey
	box    *mailbox.Box[*relayed]
	held   int             // messages that have not been passed on; guarded by the server's mu
	to     *link.Link      // that the last message took, and the others take while it lives; nil if there was none; used by box alone
	life   context.Context // ends some time after the sender's session
	end    context.CancelFunc
}

// relayed is a message that is passed on.
type relayed struct {
	relay    *relay
	event    session.Event
	deadline time.Time // zero: none
	ask      session.Ask
	stream   *relayedStream // of a streaming call; nil for all else

	to        atomic.Pointer[link.Link] // set before it is handed to that link
	cancelled atomic.Bool
}

// relay posts a message to be passed on.
func (d *delivery) relay(ev *session.Event) {
	if err := d.mayRelay(ev); err != nil {
		d.refuse(ev, err)
		return
	}
	r, err := d.server.relay(relayKey{d.link, ev.To.EnvID, ev.To.Endpoint})
	if err != nil {
		d.refuse(ev, err)
		return
	}
	m := &relayed{relay: r, event: *ev, deadline: d.deadline(ev)}
	if ev.Memory == nil {
		m.event.Payload = bytes.Clone(ev.Payload) // it may be kept for long, and would keep its whole frame
	}
	if ev.Kind == wire.KindHeaders {
		m.newRelayedStream()
	}
	if ev.Kind != wire.KindSend {
		d.link.Begin(1, func(int) (uint64, link.Running) { return ev.ID, m })
	}
	if r.box.Post(m) == 0 {
		r.release()
		if m.stream != nil {
			d.link.Take(ev.Account, ev.Cost)
			m.endStream(errEnvStopped())
			return
		}
		d.refuse(ev, errEnvStopped())
	}
}

// mayRelay returns why a message is not passed on, or nil. The policy comes first: who may not call an Env does not learn that it is here.
func (d *delivery) mayRelay(ev *session.Event) *endpoint.Error {
	if d.server.config.RelayPolicy != nil {
		if err := d.askPolicy(ev); err != nil {
			return err
		}
	}
	if d.server.config.Link.Table.Get(ev.To.EnvID) == nil {
		return notHere(ev.To.EnvID)
	}
	return nil
}

// askPolicy returns why the policy for relays refuses a message, or nil. One that panics has not allowed it, and ends neither the session nor the
// program.
func (d *delivery) askPolicy(ev *session.Event) (refused *endpoint.Error) {
	defer func() {
		if v := recover(); v != nil {
			d.server.log.warn("parley: the policy for relays panicked", "method", ev.To.Method, "panic", v)
			refused = failure(endpoint.ReasonPanic, endpoint.NotExecuted, "the policy for relays panicked")
		}
	}()
	to, err := endpoint.NewClientRef(ev.To.Endpoint, ev.To.EnvID)
	if err != nil {
		return notHere(ev.To.EnvID) // what is no Env id is that of nobody
	}
	ctx := peer.NewContext(d.server.life, d.link.Carrier())
	if len(ev.Metadata) > 0 {
		ctx = metadata.NewIncomingContext(ctx, wire.MD(ev.Metadata))
	}
	if err := d.server.config.RelayPolicy(ctx, "/"+ev.To.Method, to); err != nil {
		return handlerError(err)
	}
	return nil
}

func notHere(envID string) *endpoint.Error {
	return failure(endpoint.ReasonNotHere, endpoint.NotExecuted, "no session with Env %.64s here", envID)
}

// relay returns the relay with that key, made if there is none, for one message, after which it is to be released.
func (s *Server) relay(key relayKey) (*relay, *endpoint.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.relays[key]; r != nil {
		r.held++
		return r, nil
	}
	if s.closed || !key.from.Live() { // nobody would end it, where Forget has been here
		return nil, errEnvStopped()
	}
	if !s.roomForRelayLocked(key.from) {
		return nil, failure(endpoint.ReasonOverloaded, endpoint.NotExecuted, "this Env holds messages for %d endpoints of others, %d of one sender, and for no more", mostRelays, mostRelaysOfLink)
	}
	r := &relay{server: s, key: key, held: 1}
	r.life, r.end = context.WithCancel(s.life)
	r.box = mailbox.New(mailbox.Config{}, func(_ mailbox.Turn, m *relayed) {
		if m != nil {
			m.pass()
			r.release()
		}
	})
	if s.relays == nil {
		s.relays = make(map[relayKey]*relay)
	}
	s.relays[key] = r
	return r, nil
}

// release says that a message has been passed on, or refused.
func (r *relay) release() {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	r.held--
}

// roomForRelayLocked reports whether there may be another relay for what from sends. An idle one is ended if there has to be.
func (s *Server) roomForRelayLocked(from *link.Link) bool {
	own := 0
	var idle, ownIdle *relay
	for key, r := range s.relays {
		if key.from == from {
			own++
		}
		if r.held == 0 {
			idle = r
			if key.from == from {
				ownIdle = r
			}
		}
	}
	switch {
	case own >= mostRelaysOfLink && ownIdle != nil:
		s.endRelayLocked(ownIdle)
	case own >= mostRelaysOfLink:
		return false
	case len(s.relays) >= mostRelays && idle != nil:
		s.endRelayLocked(idle)
	case len(s.relays) >= mostRelays:
		return false
	}
	return true
}

// endRelayLocked ends an idle relay.
func (s *Server) endRelayLocked(r *relay) {
	r.box.Close(nil)
	r.end()
	delete(s.relays, r.key)
}

// pass hands the message to the session with the Env that it is for.
func (m *relayed) pass() {
	s := m.relay.server
	from := m.relay.key.from
	// After the message is passed on, or refused: the sender is held up as long as the receiver holds up the relay.
	defer from.Take(m.event.Account, m.event.Cost)
	to := m.relay.to
	if to == nil || !to.Live() {
		to = s.config.Link.Table.Get(m.relay.key.envID)
		m.relay.to = to
	}
	if to == nil {
		m.refuse(notHere(m.relay.key.envID))
		return
	}
	p := &session.Posting{
		Target:   wire.Target{Endpoint: m.event.To.Endpoint, Method: m.event.To.Method},
		Payload:  m.event.Payload,
		Memory:   m.event.Memory,
		Parts:    m.event.Parts,
		Encoding: m.event.Encoding,
		Metadata: m.event.Metadata,
	}
	ctx := m.relay.life
	// A send was accepted, so it waits for room as long as both sessions live; its sender waits behind it.
	patience := time.Duration(math.MaxInt64)
	switch {
	case m.event.Kind != wire.KindSend:
		patience = s.config.QueueTimeout
		m.ask.Done = m
		p.Ask = &m.ask
	case m.event.ID != 0:
		m.ask.Done = m
		p.Ask, p.Receipt = &m.ask, true
	}
	if !m.deadline.IsZero() {
		now := time.Now()
		if !now.Before(m.deadline) {
			m.refuse(failure(endpoint.ReasonTimeout, endpoint.NotExecuted, "the deadline passed in the relay"))
			return
		}
		p.Started, p.Deadline = now, m.deadline
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, m.deadline)
		defer cancel()
	}
	m.to.Store(to)
	err := to.Post(ctx, p, link.PostOptions{QueueTimeout: patience})
	if err != nil {
		m.refuse(err)
		return
	}
	if m.stream != nil {
		m.passMessages(to)
	}
	m.event.Payload, m.event.Memory, m.event.Parts = nil, nil, nil // its credit returns now, and the answer may take long
	if m.cancelled.Load() {
		m.CancelCall(nil) // the first one may have come too early
	}
}

// refuse ends a message that was not passed on.
func (m *relayed) refuse(e *endpoint.Error) {
	switch {
	case m.stream != nil:
		m.endStream(e)
		return
	case m.event.Kind == wire.KindAsk:
		m.relay.key.from.Reply(&session.Reply{ID: m.event.ID, Status: statusOf(e)})
		return
	case m.event.ID != 0:
		m.relay.key.from.Receipt(m.event.ID, statusOf(e))
		return
	}
	if m.relay.server.config.Lost == nil {
		m.relay.server.drop(m.event.To.Endpoint, m.event.To.Method, e)
		return
	}
	lost := session.Send{
		Target: m.event.To.Target, Metadata: m.event.Metadata, Payload: m.event.Payload, Parts: m.event.Parts, Encoding: m.event.Encoding, Execution: endpoint.NotExecuted,
	}
	m.relay.server.config.Lost(endpoint.Peer{EnvID: m.relay.key.envID}, lost, e)
}

// Complete implements endpoint.Completion: it passes the reply, the receipt or the end back.
func (m *relayed) Complete(r endpoint.Response) {
	if m.stream != nil {
		if r.Err != nil {
			m.stream.replies.End(r.Err, r.Trailer)
		} else {
			m.stream.replies.End(io.EOF, r.Trailer)
		}
		return
	}
	if m.event.Kind == wire.KindSend {
		var st *spb.Status
		if r.Err != nil {
			st = statusOf(r.Err)
		}
		m.relay.key.from.Receipt(m.event.ID, st)
		return
	}
	m.reply(&r)
}

// reply passes the reply back.
func (m *relayed) reply(r *endpoint.Response) {
	reply := &session.Reply{ID: m.event.ID}
	if r.Err != nil {
		reply.Status = statusOf(r.Err)
	} else {
		reply.Payload, reply.Encoding = r.Payload, wire.Proto
		reply.Parts, _ = r.Parts.(*wire.Parts) // as a session has it
		if r.JSON {
			reply.Encoding = wire.JSON
		}
	}
	reply.Header, _ = wire.FromMD(r.Header) // what came by wire is well-formed
	reply.Trailer, _ = wire.FromMD(r.Trailer)
	m.relay.key.from.Reply(reply)
}

// CancelCall implements link.Running: it passes the cancel on.
func (m *relayed) CancelCall(error) {
	m.cancelled.Store(true)
	if to := m.to.Load(); to != nil {
		to.Abandon(&m.ask, failure(endpoint.ReasonCancelled, endpoint.MayHaveExecuted, "the asker gave up"))
	}
	if m.stream != nil { // a message to a caller that reads no more would wait for good
		m.stream.end(nil)
	}
}

// relayLookup passes a lookup on.
func (d *delivery) relayLookup(ev *session.Event) {
	to := d.server.config.Link.Table.Get(ev.To.EnvID)
	m := &relayed{relay: &relay{server: d.server, key: relayKey{from: d.link}}, event: *ev}
	m.event.Kind = wire.KindAsk
	if to == nil {
		m.refuse(notHere(ev.To.EnvID))
		return
	}
	m.to.Store(to)
	m.ask.Done = m
	m.ask.Expires = d.now.Add(d.server.config.AskTimeout)
	if err := to.Lookup(&m.ask, "", ev.To.Endpoint, ev.Service); err != nil {
		m.refuse(err)
	}
}

// Forget ends the relays of a link that is over. What they still hold has the queue timeout to find room, all together.
func (s *Server) Forget(l *link.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.relays {
		if key.from == l || s.config.Link.Table.Get(key.envID) == nil {
			r.box.Close(nil)
			time.AfterFunc(s.config.QueueTimeout, r.end)
			delete(s.relays, key)
		}
	}
}

// endRelays ends all relays and returns what is closed when their goroutines have ended.
func (s *Server) endRelays() []<-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ends []<-chan struct{}
	for key, r := range s.relays {
		r.box.Close(nil)
		ends = append(ends, r.box.Done())
		delete(s.relays, key)
	}
	return ends
}
