package main

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
)

// fakeEnv is an endpoint.Env without mailboxes and network: messages are encoded, and handled before Send and Ask return.
type fakeEnv struct {
	hosted map[string]*fakeEndpoint
}

// fakeEndpoint is an endpoint hosted by a fakeEnv, and the Caller of all that is bound to it.
type fakeEndpoint struct {
	impl     any
	options  endpoint.Settings
	services []endpoint.Service
	calls    endpoint.Calls
	sent     []string // the methods of one-way messages
	asked    []string // the methods of asks
}

const fakeAddress = "localhost:5678"

func newFakeEnv() *fakeEnv { return &fakeEnv{hosted: map[string]*fakeEndpoint{}} }

func (e *fakeEnv) Register(_ context.Context, name string, impl any, services []endpoint.Service, opts ...endpoint.Option) (endpoint.Bound, error) {
	if impl == nil {
		return endpoint.Bound{}, &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: "the endpoint is nil"}
	}
	ref, err := endpoint.NewRef(name, fakeAddress)
	if err != nil {
		return endpoint.Bound{}, err
	}
	e.hosted[name] = &fakeEndpoint{impl: impl, options: endpoint.ApplyOptions(opts...), services: services}
	return e.Bind(ref)
}

func (e *fakeEnv) Lookup(_ context.Context, uri, service string) (endpoint.Bound, error) {
	ref, err := endpoint.ParseRef(uri)
	if err != nil {
		return endpoint.Bound{}, err
	}
	hosted, ok := e.hosted[ref.Name()]
	if !ok {
		return endpoint.Bound{}, &endpoint.Error{Reason: endpoint.ReasonEndpointNotFound}
	}
	for _, s := range hosted.services {
		if s.Name == service {
			return e.Bind(ref)
		}
	}
	return endpoint.Bound{}, &endpoint.Error{Reason: endpoint.ReasonMethodNotFound}
}

func (e *fakeEnv) Bind(ref endpoint.Ref) (endpoint.Bound, error) {
	return endpoint.NewBound(ref, e.hosted[ref.Name()]), nil
}

func (f *fakeEndpoint) Send(ctx context.Context, r endpoint.Request) error {
	f.sent = append(f.sent, r.Method)
	f.handle(ctx, r) // the error of a one-way message stays with the endpoint
	return nil
}

func (f *fakeEndpoint) Ask(ctx context.Context, r endpoint.Request, done endpoint.Completion) endpoint.Pending {
	f.asked = append(f.asked, r.Method)
	done.Complete(f.handle(ctx, r))
	return fakePending{}
}

func (f *fakeEndpoint) handle(ctx context.Context, r endpoint.Request) endpoint.Response {
	service, _, _ := strings.Cut(r.Method, "/")
	for _, s := range f.services {
		if s.Name != service {
			continue
		}
		for _, m := range s.Methods {
			if m.Name() == r.Method {
				return call(ctx, m, r.Message)
			}
		}
	}
	return endpoint.Response{Err: &endpoint.Error{Reason: endpoint.ReasonMethodNotFound}}
}

// call runs the handler of m with a copy of message that went through its encoding.
func call(ctx context.Context, m endpoint.ServiceMethod, message proto.Message) endpoint.Response {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return endpoint.Response{Err: endpoint.AsError(err)}
	}
	req := m.NewRequest()
	if err := proto.Unmarshal(encoded, req); err != nil {
		return endpoint.Response{Err: endpoint.AsError(err)}
	}
	res, err := m.Call(ctx, req)
	if err != nil {
		return endpoint.Response{Err: endpoint.AsError(err)}
	}
	payload, err := proto.Marshal(res)
	return endpoint.Response{Received: endpoint.Received{Payload: payload}, Err: endpoint.AsError(err)}
}

func (f *fakeEndpoint) WaitsForItself(context.Context) bool { return false }
func (f *fakeEndpoint) Calls() *endpoint.Calls              { return &f.calls }
func (f *fakeEndpoint) Carried() *peer.Peer                 { return nil }
func (f *fakeEndpoint) StatsHandler() stats.Handler         { return nil }
func (f *fakeEndpoint) Go(run func())                       { run() }
func (f *fakeEndpoint) Peer() string                        { return fakeAddress }

// fakePending is an ask that is complete.
type fakePending struct{}

func (fakePending) Abandon(*endpoint.Error) {}

// Open implements endpoint.Caller.
func (f *fakeEndpoint) Open(context.Context, endpoint.Request) (endpoint.StreamCarrier, *endpoint.Error) {
	return nil, &endpoint.Error{Reason: endpoint.ReasonMethodNotFound}
}

// UnaryInterceptor implements endpoint.Caller.
func (f *fakeEndpoint) UnaryInterceptor() (grpc.UnaryClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}

// StreamInterceptor implements endpoint.Caller.
func (f *fakeEndpoint) StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn) {
	return nil, nil
}
