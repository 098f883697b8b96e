package parley

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/client"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/rpcstats"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
	"github.com/parley-rpc/parley/server"
)

// Env is a program's membership in Parley: its id, its address or none, its endpoints and its sessions. Its methods may
// be called concurrently.
type Env struct {
	settings settings
	id       string
	server   *server.Server
	client   *client.Client
	table    *link.Table
	outgoing outgoing

	mu      sync.Mutex
	address string       // in normal form; "" in client mode
	grpc    *grpc.Server // the Env's own; nil without a listener
	serving sync.WaitGroup

	shutdown sync.Once
	stopped  error         // set before done is closed
	done     chan struct{} // closed when Shutdown has finished
}

// New returns an Env without a listener (client mode). It can host endpoints all the same: peers that it has dialled call
// them back over the same session.
func New(opts ...Option) (*Env, error) {
	e, err := newEnv(opts)
	if err != nil {
		return nil, err
	}
	if e.settings.advertise != "" {
		a, err := endpoint.ParseAddress(e.settings.advertise)
		if err == nil {
			err = refuseEverywhere(a)
		}
		if err != nil {
			return nil, err
		}
		e.address = a.String()
	}
	return e, nil
}

func newEnv(opts []Option) (*Env, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	e := &Env{settings: apply(opts), id: id.String(), table: link.NewTable(), done: make(chan struct{})}
	if err := e.settings.introspection.check(); err != nil {
		return nil, err
	}
	if e.outgoing, err = newOutgoing(&e.settings); err != nil {
		return nil, err
	}
	config := &link.Config{
		EnvID:   e.id,
		Address: func() string { return e.Address() },
		Limits:  e.settings.limits,
		Resume:  true,

		StreamAge:    e.settings.streamAge,
		PeerSessions: e.settings.peerSessions,

		Handler: handler{e},
		Table:   e.table,
	}
	e.server = server.New(server.Config{
		Link: config, Ref: e.ref, Bind: e.Bind, Logger: e.settings.logger,
		AskTimeout: e.settings.askTimeout, QueueTimeout: e.settings.queueTimeout, Interceptor: chain(e.settings.interceptors),
		StreamInterceptor: chainStream(e.settings.streamInterceptors),
		RelayPolicy:       e.settings.relayPolicy,
		StatsHandler:      rpcstats.Combine(e.settings.statsHandlers),
		Lost:              e.lost(),
	})
	config.Closing = e.server.IsClosed
	e.client = client.New(client.Config{
		Link: config, DialOptions: e.dialOptions(), Go: e.server.Go, Hold: e.server.Hold,
		ConnectTimeout: e.settings.connectTimeout, AskTimeout: e.settings.askTimeout, QueueTimeout: e.settings.queueTimeout,
	})
	return e, nil
}

// ID returns the Env's id, a uuid v7 that is new at each start.
func (e *Env) ID() string { return e.id }

// Name returns the Env's name, which is for log lines only.
func (e *Env) Name() string { return e.settings.name }

// Address returns the address that the Env's Refs name, HOST:PORT; empty in client mode.
func (e *Env) Address() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.address
}

// Register hosts impl under name, with the services that generated code makes of it; the generated Register functions
// call it. It returns when OnStart, if impl has it, has returned. It may be called inside a handler.
//
// Errors: endpoint.ErrInvalid, ErrDuplicate, ErrEnvStopped, ErrTimeout and ErrCancelled if ctx ends first, and what OnStart returned.
func (e *Env) Register(ctx context.Context, name string, impl any, services []endpoint.Service, opts ...endpoint.Option) (endpoint.Bound, error) {
	ref, err := e.server.Register(ctx, name, impl, services, opts...)
	if err != nil {
		return endpoint.Bound{}, err
	}
	return e.Bind(ref)
}

// Stop stops the endpoint of this Env that ref names. The name is free at once; what is queued is still handled, then OnStop
// is called, and Stop returns. If ctx ends first it returns, and the rest goes on; inside a handler of the same endpoint it does not
// wait. Stopping what is stopped already does nothing. Handlers of two endpoints that stop each other's wait for each other, as long as ctx lets them.
//
// Errors: endpoint.ErrInvalid if the endpoint is not one of this Env; ErrTimeout and ErrCancelled.
func (e *Env) Stop(ctx context.Context, ref endpoint.Ref) error {
	if !e.isLocal(ref) {
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "stop", Endpoint: ref.Name(), Text: ref.String() + " is not an endpoint of this Env"}
	}
	done, ok := e.server.Stop(ctx, ref.Name())
	if self, inside := endpoint.Self(ctx); !ok || inside && self == ref {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		err := endpoint.ContextError(ctx)
		err.Verb, err.Endpoint, err.Text = "stop", ref.Name(), "messages are still being handled"
		return err
	}
}

// Lookup binds the Ref that uri stands for, after a check that it exists and implements service (any, if service is
// empty). The check is answered by the peer's transport, not behind mailboxes.
//
// Errors: endpoint.ErrInvalid, ErrEndpointNotFound, ErrMethodNotFound, ErrEnvStopped, ErrUnreachable, ErrNotHere, ErrTimeout, ErrCancelled.
func (e *Env) Lookup(ctx context.Context, uri, service string) (endpoint.Bound, error) {
	ref, err := endpoint.ParseRef(uri)
	if err != nil {
		return endpoint.Bound{}, &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "lookup", Text: strings.TrimPrefix(err.Error(), "parley: "), Execution: endpoint.NotExecuted, Cause: err}
	}
	return e.LookupRef(ctx, ref, service)
}

// LookupRef is Lookup for a Ref.
func (e *Env) LookupRef(ctx context.Context, ref endpoint.Ref, service string) (endpoint.Bound, error) {
	started := time.Now()
	b, err := e.Bind(ref)
	if err != nil {
		return endpoint.Bound{}, err
	}
	var failed *endpoint.Error
	var at endpoint.Caller
	if e.isLocal(ref) {
		failed, at = e.server.Lookup(ref.Name(), service), e.server.Caller(ref.Name())
	} else {
		failed, at = e.client.Lookup(ctx, ref, service), e.client.Caller(ref)
	}
	if failed == nil {
		return b, nil
	}
	d := *failed
	d.Verb, d.Endpoint, d.Method, d.Peer, d.Elapsed = "lookup", ref.String(), service, at.Peer(), time.Since(started)
	return endpoint.Bound{}, &d
}

// Bind binds ref to this Env, without a check: nothing is sent. A client-mode Ref of a peer that this Env has a session with is
// given this Env's address as its via, so that it can be handed to others.
//
// Errors: endpoint.ErrInvalid for the zero Ref.
func (e *Env) Bind(ref endpoint.Ref) (endpoint.Bound, error) {
	if ref.IsZero() {
		return endpoint.Bound{}, &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "bind", Text: "the Ref is empty"}
	}
	if e.isLocal(ref) {
		return e.outgoing.around(ref, e.server.Caller(ref.Name())), nil
	}
	if address := e.Address(); ref.EnvID() != "" && address != "" && e.table.Get(ref.EnvID()) != nil {
		via, err := ref.WithVia(address)
		if err != nil {
			return endpoint.Bound{}, err
		}
		ref = via
	}
	return e.outgoing.around(ref, e.client.Caller(ref)), nil
}

// Conn returns a connection for stock gRPC stubs, whose calls go to the endpoint that ref names; see endpoint.Conn. Like Bind it checks
// nothing, and there is nothing to be closed.
//
// Errors: endpoint.ErrInvalid for the zero Ref.
func (e *Env) Conn(ref endpoint.Ref) (*endpoint.Conn, error) {
	b, err := e.Bind(ref)
	if err != nil {
		return nil, err
	}
	return endpoint.NewConn(b), nil
}

// isLocal reports whether ref is in this Env.
func (e *Env) isLocal(ref endpoint.Ref) bool {
	if ref.EnvID() != "" {
		return ref.EnvID() == e.id
	}
	return ref.Address() == e.Address()
}

// ref returns the Ref of an endpoint of this Env.
func (e *Env) ref(name string) (endpoint.Ref, error) {
	if address := e.Address(); address != "" {
		return endpoint.NewRef(name, address)
	}
	return endpoint.NewClientRef(name, e.id)
}

// UseConn makes the Env reach address by a connection that the program has made, and keeps. Closing it is the program's
// task, after Shutdown.
//
// Errors: endpoint.ErrInvalid, also for a nil cc; ErrDuplicate if the address has a session already.
func (e *Env) UseConn(address string, cc grpc.ClientConnInterface) error {
	a, err := endpoint.ParseAddress(address)
	if err != nil {
		return err
	}
	if made, ok := cc.(*grpc.ClientConn); cc == nil || ok && made == nil {
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "use", Text: "the connection is nil", Peer: a.String()}
	}
	return e.client.Use(a.String(), cc)
}

// Mount puts the Env on a gRPC server that the program has made, before it serves. address is where others reach that
// server: HOST:PORT. Program order at the end: Shutdown of the Env first, then of the server, which would wait for the
// Env's streams.
//
// Errors: endpoint.ErrInvalid; ErrDuplicate if the Env has an address already, or the server an Env.
func (e *Env) Mount(r grpc.ServiceRegistrar, address string) error {
	a, err := endpoint.ParseAddress(address)
	if err == nil {
		err = refuseEverywhere(a)
	}
	if err != nil {
		return err
	}
	if s, ok := r.(interface {
		GetServiceInfo() map[string]grpc.ServiceInfo
	}); ok {
		if _, has := s.GetServiceInfo()[link.Service]; has {
			return &endpoint.Error{Reason: endpoint.ReasonDuplicate, Verb: "mount", Text: "the gRPC server has an Env already"}
		}
	}
	e.mu.Lock()
	taken := e.address != ""
	if !taken {
		e.address = a.String()
	}
	e.mu.Unlock()
	if taken {
		return &endpoint.Error{Reason: endpoint.ReasonDuplicate, Verb: "mount", Text: "the Env has the address " + e.Address()}
	}
	e.server.RegisterOn(r)
	return nil
}

// Counters are totals of an Env since its start, and what is pending now.
type Counters struct {
	// Sessions is the number of sessions that live.
	Sessions int
	// PendingAsks is how many asks to peers wait for a reply, OpenAsks how many of peers have not been answered.
	PendingAsks, OpenAsks int
	// Dropped is how many one-way messages came for nobody, and network events for an endpoint that is stuck.
	Dropped uint64
	// LateReplies is how many replies came when nobody waited any more.
	LateReplies uint64
	// Stalls is how often a message to a peer had to wait for room, as SessionInfo.Stalls says, and Replayed how many frames were written again
	// because a stream broke. Sessions that are over are counted, too.
	Stalls, Replayed uint64
}

// Counters returns the counters. Totals never fall.
func (e *Env) Counters() Counters {
	live, all := e.table.Totals()
	c := Counters{
		Sessions: len(live), Dropped: e.server.Dropped(),
		LateReplies: e.server.LateReplies() + all.LateReplies, Stalls: all.Stalls, Replayed: all.Replayed,
	}
	for _, l := range live {
		own, peers := l.Pending()
		c.PendingAsks += own
		c.OpenAsks += peers
	}
	return c
}

// handler gets what links receive.
type handler struct{ env *Env }

// Begun implements link.Handler.
func (h handler) Begun(l *link.Link) { h.env.connected(l) }

// Deliver implements link.Handler.
func (h handler) Deliver(l *link.Link, frame *wire.Buffer, events []session.Event) {
	h.env.server.Deliver(l, frame, events)
}

// Broken implements link.Handler.
func (h handler) Broken(l *link.Link, reason *endpoint.Error) { h.env.broken(l, reason) }

// Unacknowledged implements link.Handler.
func (h handler) Unacknowledged(l *link.Link, sends []session.Send, reason *endpoint.Error) {
	h.env.unacknowledged(l.Peer(), sends, reason)
}

// Ended implements link.Handler.
func (h handler) Ended(l *link.Link, reason *endpoint.Error, broken bool) {
	h.env.ended(l, reason, broken)
}

var _ endpoint.Env = (*Env)(nil)
