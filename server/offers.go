package server

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
)

// offers are the services of an endpoint. They are not changed, but replaced.
type offers struct {
	services []string // in the order in which they came
	methods  map[string]*offered
}

func (o *offers) has(service string) bool { return slices.Contains(o.services, service) }

// with returns o with another service.
func (o *offers) with(service endpoint.Service) (*offers, *endpoint.Error) {
	if o.has(service.Name) {
		return nil, failure(endpoint.ReasonInvalid, endpoint.NotExecuted, "service %s is given twice", service.Name)
	}
	more := &offers{services: append(slices.Clone(o.services), service.Name), methods: maps.Clone(o.methods)}
	if more.methods == nil {
		more.methods = make(map[string]*offered, len(service.Methods))
	}
	methods, tallies := make([]offered, len(service.Methods)), make([]tally, len(service.Methods))
	for i := range methods {
		methods[i] = offered{service.Methods[i], &tallies[i]}
		more.methods[methods[i].Name()] = &methods[i]
	}
	return more, nil
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
	h.offers.Store(o)
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
		names = append(names, h.offers.Load().services...)
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
		for name := range h.offers.Load().methods {
			if of, method, _ := strings.Cut(name, "/"); of == service {
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
