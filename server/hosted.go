package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/mailbox"
)

// The callbacks that run alone, whatever the concurrency.
const (
	onStart = "OnStart"
	onStop  = "OnStop"
)

// hosted is an endpoint behind its mailbox. There may be a million of them, idle: it has in one piece what all need, and nothing that few do. What every
// message needs comes first, in few cache lines: to fetch one, where there are many endpoints, takes longer than most of what is done with it.
type hosted struct {
	server *Server
	offers atomic.Pointer[offers]
	states atomic.Uint32 // what it has been through
	events atomic.Int32  // network events that wait
	box    mailbox.Box[*call]

	first   offers // those of the first service
	ref     endpoint.Ref
	number  uint64 // of the registration; set under the server's mu
	listing *listing
	impl    any
	local   atomic.Pointer[localWindow] // of this Env's own senders; nil until there was one
	face    atomic.Pointer[localWindow] // of ordinary gRPC calls; the same
	asks    localAsks                   // whose handlers run
	counts  counts
}

// listing is how an endpoint is found again without its name. It is apart, so that who has it keeps nothing of an endpoint that has stopped.
type listing struct {
	hosted atomic.Pointer[hosted] // nil when it has stopped: another may have its name
}

// The states of an endpoint.
const (
	failed  uint32 = 1 << iota // OnStart has failed: nothing is handled
	givenUp                    // the registration ended before OnStart: no message is handled
	ending                     // OnStop has begun: there is no Self any more
)

func (h *hosted) is(state uint32) bool { return h.states.Load()&state != 0 }

func (h *hosted) name() string { return h.ref.Name() }

// Register hosts impl under name, runs its OnStart, and returns its Ref. It fails with endpoint.ErrInvalid, ErrDuplicate
// and ErrEnvStopped, with the error of OnStart, or if ctx ends before OnStart has returned.
func (s *Server) Register(ctx context.Context, name string, impl any, services []endpoint.Service, opts ...endpoint.Option) (endpoint.Ref, error) {
	h, err := s.newHosted(name, impl, services, opts)
	if err != nil {
		return endpoint.Ref{}, registerError(name, err)
	}
	var started chan error // nil without OnStart: there is nothing to wait for then, and no goroutine needed
	if _, ok := impl.(endpoint.Starter); ok {
		started = make(chan error, 1)
	} else {
		h.counts.started()
	}
	s.mu.Lock()
	switch {
	case s.closed:
		err = errEnvStopped()
	case started == nil && ctx.Err() != nil: // with an OnStart, that decides
		err = endpoint.ContextError(ctx)
	case s.hosted[name] != nil:
		err = failure(endpoint.ReasonDuplicate, endpoint.NotExecuted, "there is already an endpoint called %s", name)
	default:
		s.registered++
		h.number = s.registered
		s.hosted[name] = h
		if started != nil {
			h.box.PostControl(h.control(onStart, func(c *call) { h.onStart(c, started) }))
		}
	}
	s.mu.Unlock()
	if err != nil {
		return endpoint.Ref{}, registerError(name, err)
	}
	if started == nil {
		return h.ref, nil
	}
	select {
	case err = <-started:
	case <-ctx.Done():
		err = endpoint.ContextError(ctx)
		h.states.Or(givenUp)
	}
	if err != nil {
		s.stop(h)
		return endpoint.Ref{}, registerError(name, err)
	}
	return h.ref, nil
}

// newHosted makes an endpoint that is not yet known to anybody.
func (s *Server) newHosted(name string, impl any, services []endpoint.Service, opts []endpoint.Option) (*hosted, error) {
	if err := endpoint.ValidateName(name); err != nil {
		return nil, err
	}
	if impl == nil {
		return nil, failure(endpoint.ReasonInvalid, endpoint.NotExecuted, "the endpoint is nil")
	}
	ref, err := s.config.Ref(name)
	if err != nil {
		return nil, err
	}
	h := &hosted{server: s, ref: ref, impl: impl, listing: new(listing)}
	h.listing.hosted.Store(h)
	for i, service := range services {
		o, err := h.offers.Load().with(service)
		switch {
		case err != nil:
			return nil, err
		case i == 0:
			h.first = o
			h.offers.Store(&h.first)
		default:
			h.offers.Store(&o)
		}
	}
	settings := endpoint.ApplyOptions(opts...)
	_, starts := impl.(endpoint.Starter)
	h.box.Init(mailbox.Config{Concurrency: settings.Concurrency, Released: settings.Released, Prepared: !starts}, s.workers)
	return h, nil
}

// notStarted returns why no message is handled, or nil.
func (h *hosted) notStarted() *endpoint.Error {
	switch {
	case h.is(failed):
		return failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "OnStart of %s has failed", h.name())
	case h.is(givenUp):
		return failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "the registration of %s ended before its OnStart", h.name())
	default:
		return nil
	}
}

// Stop stops the endpoint of that name: the name is free at once, what is queued is still handled, then OnStop is called. The channel is
// closed after that. It reports false if there is no such endpoint, or if ctx is that of a handler of an earlier one of that
// name, which means itself.
func (s *Server) Stop(ctx context.Context, name string) (<-chan struct{}, bool) {
	s.mu.Lock()
	h := s.hosted[name]
	s.mu.Unlock()
	if h == nil || h.succeeds(ctx) {
		return nil, false
	}
	s.stop(h)
	return h.box.Done(), true
}

// succeeds reports whether ctx is that of a handler of an earlier endpoint with the name of h.
func (h *hosted) succeeds(ctx context.Context) bool {
	var succeeds bool
	callctx.Use(ctx, func(of any) {
		c := of.(*call)
		succeeds = c.hosted != h && c.hosted.server == h.server && c.hosted.name() == h.name()
	})
	return succeeds
}

func (s *Server) stop(h *hosted) {
	s.mu.Lock()
	if s.hosted[h.name()] == h {
		delete(s.hosted, h.name())
		s.stopped.add(h.name())
		s.drainLocked(h)
	}
	s.mu.Unlock()
}

// drainLocked stops an endpoint that is no longer known, and keeps it until OnStop has been called.
func (s *Server) drainLocked(h *hosted) {
	h.listing.hosted.Store(nil)
	if !h.closeIdle() {
		if s.draining == nil {
			s.draining = make(map[*hosted]struct{})
		}
		s.draining[h] = struct{}{}
		h.close()
	}
}

// closeIdle closes an endpoint that has no OnStop, and no message or handler left, without a goroutine. It reports false if it is not such a one.
func (h *hosted) closeIdle() bool {
	if _, ok := h.impl.(endpoint.Stopper); ok || !h.box.CloseIdle() {
		return false
	}
	h.states.Or(ending)
	h.closeWindows()
	return true
}

// close posts OnStop, behind everything.
func (h *hosted) close() {
	h.box.Close(h.control(onStop, func(c *call) {
		h.states.Or(ending)
		defer func() { // also if OnStop panics
			h.server.mu.Lock()
			defer h.server.mu.Unlock()
			delete(h.server.draining, h)
		}()
		h.onStop(c)
	}))
	h.closeWindows()
}

// find returns the endpoint of that name, or why there is none.
func (s *Server) find(name string) (*hosted, *endpoint.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosted[name]; h != nil {
		return h, nil
	}
	switch {
	case s.closed:
		return nil, errEnvStopped()
	case s.stopped.has(name):
		return nil, failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "%s was stopped", name)
	default:
		return nil, failure(endpoint.ReasonEndpointNotFound, endpoint.NotExecuted, "could not find %s", name)
	}
}

// closedMailbox returns why the mailbox of an endpoint, which was found a moment ago, is closed.
func (s *Server) closedMailbox(name string) *endpoint.Error {
	if s.IsClosed() {
		return errEnvStopped()
	}
	return failure(endpoint.ReasonEndpointStopped, endpoint.NotExecuted, "%s was stopped", name)
}

// Lookup returns why the endpoint does not exist or does not implement service, or nil. An empty service is any.
func (s *Server) Lookup(name, service string) *endpoint.Error {
	h, err := s.find(name)
	if err != nil {
		return err
	}
	if !h.offers.Load().has(service) && service != "" {
		return failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s does not implement %s", name, service)
	}
	return nil
}

// mostEvents is how many network events may wait in one mailbox.
const mostEvents = 1024

// Broadcast posts a network event to every endpoint that has the callback. One that is stuck with mostEvents of them gets no more.
func (s *Server) Broadcast(event func(ctx context.Context, impl any), during string, has func(impl any) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosted {
		if !has(h.impl) {
			continue
		}
		if h.events.Add(1) > mostEvents {
			h.events.Add(-1)
			s.dropped.Add(1)
			s.log.warn("parley: a network event was dropped, because the endpoint takes none", "endpoint", h.name(), "method", during, "waiting", mostEvents)
			continue
		}
		h.box.PostControl(h.control(during, func(c *call) {
			h.events.Add(-1)
			if h.notStarted() == nil {
				event(c.ctx, h.impl)
			}
		}))
	}
}

// onStart runs OnStart, and tells the registration how it went: also if it panics, or ends its goroutine.
func (h *hosted) onStart(c *call, started chan<- error) {
	var err error
	defer func() { started <- err }() // whatever OnError does
	returned := false
	defer func() {
		v := recover()
		if v == nil && !returned {
			v = goexit
		}
		if v != nil {
			err = newPanic(v, onStart)
		}
		if err != nil {
			h.states.Or(failed)
			h.onError(c, err)
		}
	}()
	if s, ok := h.impl.(endpoint.Starter); ok {
		err = s.OnStart(c.ctx)
	}
	if err == nil {
		h.counts.started()
	}
	returned = true
}

func (h *hosted) onStop(c *call) {
	if s, ok := h.impl.(endpoint.Stopper); ok && !h.is(failed) {
		if err := s.OnStop(c.ctx); err != nil {
			h.onError(c, err)
		}
	}
}

// onError tells the endpoint of an error that nobody else is told of. What goes wrong in OnError itself is only logged.
func (h *hosted) onError(c *call, err error) {
	defer func() {
		if v := recover(); v != nil {
			h.server.log.warn("parley: OnError panicked", "endpoint", h.name(), "method", c.during(), "error", err, "panic", v)
		}
	}()
	if e, ok := h.impl.(endpoint.ErrorHandler); ok {
		e.OnError(c.context(), err)
		return
	}
	h.server.log.warn("parley: endpoint failed", "endpoint", h.name(), "method", c.during(), "error", err)
}

func registerError(name string, err error) error {
	var e *endpoint.Error
	if !errors.As(err, &e) {
		reason := endpoint.ReasonHandler
		if errors.Is(err, endpoint.ErrInvalid) {
			reason = endpoint.ReasonInvalid
		}
		e = &endpoint.Error{Reason: reason, Text: err.Error(), Cause: err}
	}
	d := *e
	d.Verb, d.Endpoint = "register", fmt.Sprintf("%.255s", name)
	return &d
}
