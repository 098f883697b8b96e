package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// Query says which endpoints Endpoints is to return. The zero Query is all.
type Query struct {
	// Contains is a part of their names.
	Contains string
	// AfterName and AfterNumber are of the endpoint after which to go on; empty and 0 to begin.
	AfterName   string
	AfterNumber uint64
	// Most is how many to return; 0 for no limit.
	Most int
}

// Endpoints returns endpoints, also those that are stopping, in the order of their names, and of their numbers where those are the same. more says
// that there are others after them. It waits for no handler.
func (s *Server) Endpoints(q Query) (infos []endpoint.Info, more bool) {
	s.mu.Lock()
	all := make([]*hosted, 0, len(s.hosted)+len(s.draining))
	for _, h := range s.hosted {
		all = append(all, h)
	}
	for h := range s.draining {
		all = append(all, h)
	}
	s.mu.Unlock()
	all = slices.DeleteFunc(all, func(h *hosted) bool {
		return h.compare(q.AfterName, q.AfterNumber) <= 0 || !strings.Contains(h.name(), q.Contains)
	})
	slices.SortFunc(all, func(a, b *hosted) int { return a.compare(b.name(), b.number) })
	if more = q.Most > 0 && len(all) > q.Most; more {
		all = all[:q.Most]
	}
	infos = make([]endpoint.Info, 0, len(all))
	for _, h := range all {
		infos = append(infos, h.info())
	}
	return infos, more
}

// compare compares the place of h with that of the endpoint of that name and number.
func (h *hosted) compare(name string, number uint64) int {
	return cmp.Or(strings.Compare(h.name(), name), cmp.Compare(h.number, number))
}

// info returns what is known of h.
func (h *hosted) info() endpoint.Info {
	o := h.offers.Load()
	methods := o.all()
	box := h.box.Stats()
	i := endpoint.Info{
		Name: h.name(), Number: h.number, Services: o.services(), Concurrency: h.box.Concurrency(),
		Waiting: box.Queued, Running: box.Running, Released: box.Released,
		Errors: h.counts.callbacks.Load(), Stalls: h.counts.stalls.Load(), LastError: h.counts.last.Load(),
		Methods: make([]endpoint.MethodInfo, 0, len(methods)),
	}
	if at := h.counts.startedAt.Load(); at != 0 {
		i.State, i.Started = endpoint.StateRunning, time.Unix(0, at)
	}
	h.box.Oldest(func(c *call) {
		if c.arrived != 0 {
			i.OldestWait = h.server.clock(time.Now()) - c.arrived
		}
	})
	if box.Closed {
		i.State = endpoint.StateStopping
	}
	for _, m := range methods {
		errors := m.errors.Load() // before the calls, of which they are some
		i.Methods = append(i.Methods, endpoint.MethodInfo{Name: m.Name(), Calls: m.calls.Load(), Errors: errors})
		i.Errors += errors
		i.Calls += i.Methods[len(i.Methods)-1].Calls
	}
	return i
}
