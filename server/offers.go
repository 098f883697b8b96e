package server

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
)

// offers are the services of an endpoint: one, and those that it had before. They are not changed, but replaced by others that have them as their
// earlier ones. Nil is none.
type offers struct {
	service string
	methods []offered // in the order of their names, without doubles
	earlier *offers
}

func (o *offers) has(service string) bool {
	for ; o != nil; o = o.earlier {
		if o.service == service {
			return true
		}
	}
	return false
}

// services returns the names of the services, in the order in which they came.
func (o *offers) services() []string {
	var names []string
	for ; o != nil; o = o.earlier {
		names = append(names, o.service)
	}
	slices.Reverse(names)
	return names
}

// method returns the method with that full name, or nil. It is looked for with every message, and few services have so many that a map would find it sooner;
// of a million endpoints each would have one.
func (o *offers) method(name string) *offered {
	for ; o != nil; o = o.earlier {
		from, to := 0, len(o.methods)
		for from < to {
			if middle := (from + to) / 2; o.methods[middle].Name() < name {
				from = middle + 1
			} else {
				to = middle
			}
		}
		if from < len(o.methods) && o.methods[from].Name() == name {
			return &o.methods[from]
		}
	}
	return nil
}

// all returns the methods of all services, in the order of their names.
func (o *offers) all() []*offered {
	var all []*offered
	for of := o; of != nil; of = of.earlier {
		for i := range of.methods {
			if m := &of.methods[i]; o.method(m.Name()) == m { // and not of a later service, too
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b *offered) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

// with returns o with another service.
func (o *offers) with(service endpoint.Service) (offers, *endpoint.Error) {
	if o.has(service.Name) {
		return offers{}, failure(endpoint.ReasonInvalid, endpoint.NotExecuted, "service %s is given twice", service.Name)
	}
	methods, tallies := make([]offered, 0, len(service.Methods)), make([]tally, len(service.Methods))
	for i := range service.Methods {
		methods = append(methods, offered{service.Methods[i], &tallies[i]})
	}
	slices.Reverse(methods) // of doubles the last one counts
	slices.SortStableFunc(methods, func(a, b offered) int { return strings.Compare(a.Name(), b.Name()) })
	methods = slices.CompactFunc(methods, func(a, b offered) bool { return a.Name() == b.Name() })
	return offers{service: service.Name, methods: methods, earlier: o}, nil
}

// Offer makes an endpoint of this Env implement one more service. It fails with endpoint.ErrInvalid if it does so already, and with
// ErrEndpointNotFound, ErrEndpointStopped and ErrEnvStopped.
func (s *Server) Offer(name string, service endpoint.Service) *endpoint.Error {
	h, err := s.find(name)
	if err != nil {
		return err
	}
	s.mu.Lock() // one after the other
	defer s.mu.Unlock()
	o, err := h.offers.Load().with(service)
	if err != nil {
		return err
	}
	h.offers.Store(&o)
	return nil
}

// Offering returns the names of the endpoints that implement a service, in order.
func (s *Server) Offering(service string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, h := range s.hosted {
		if h.offers.Load().has(service) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Services returns the names of all services that endpoints implement, in order.
func (s *Server) Services() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, h := range s.hosted {
		names = append(names, h.offers.Load().services()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ServiceDesc returns the description of a service that endpoints implement, whose every method leads to ServeCall. A gRPC server takes them all for
// streaming methods, which look the same on the wire.
func (s *Server) ServiceDesc(service string) *grpc.ServiceDesc {
	s.mu.Lock()
	defer s.mu.Unlock()
	methods := map[string]bool{}
	for _, h := range s.hosted {
		for _, m := range h.offers.Load().all() {
			if of, method, _ := strings.Cut(m.Name(), "/"); of == service {
				methods[method] = true
			}
		}
	}
	desc := &grpc.ServiceDesc{ServiceName: service}
	for _, method := range slices.Sorted(maps.Keys(methods)) {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: method, Handler: s.ServeCall, ClientStreams: true, ServerStreams: true})
	}
	return desc
}
