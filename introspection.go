package parley

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/introspect"
	"github.com/parley-rpc/parley/server"
)

// introspection is what WithIntrospection has asked for.
type introspection struct {
	on        bool
	authorize func(ctx context.Context) error
}

// WithIntrospection has the server of Listen serve parley.v1.Introspection, which lists the endpoints and the sessions of the Env, and gRPC's channelz,
// which lists connections. docs/operations.md shows how to use them by grpcurl. They are ordinary gRPC services: their calls go through no mailbox, so that
// a program that is stuck answers them. The default is not to serve them. New, which has no server, serves nothing: see RegisterIntrospection.
//
// authorize is called for each of their calls with its context, after the interceptors of the server, and may be called concurrently. What it
// returns is what the caller gets: its gRPC status if it has one, codes.PermissionDenied with its text otherwise. LocalOnly takes who is on this
// machine. It must not be nil, or Listen and New fail with endpoint.ErrInvalid: who may see the names of endpoints and the addresses of peers is to
// be decided, not forgotten. Server reflection, which tells that the services are there, asks nobody.
func WithIntrospection(authorize func(ctx context.Context) error) Option {
	return func(s *settings) { s.introspection = introspection{on: true, authorize: authorize} }
}

// RegisterIntrospection puts what WithIntrospection is about on a gRPC server of the program's own, before it serves, whether env is mounted on it or
// not; so a program may serve it at a port that only its operators reach. A server that has channelz already keeps its own, with whatever guards that.
//
// Errors: endpoint.ErrInvalid if authorize is nil; ErrDuplicate if the server has an Env's introspection already.
func RegisterIntrospection(env *Env, r grpc.ServiceRegistrar, authorize func(ctx context.Context) error) error {
	i := introspection{on: true, authorize: authorize}
	if err := i.check(); err != nil {
		return err
	}
	if introspect.Has(r, introspect.Name) {
		return &endpoint.Error{Reason: endpoint.ReasonDuplicate, Verb: "introspect", Text: "the gRPC server has " + introspect.Name + " already"}
	}
	introspect.Register(r, introspected{env}, authorize)
	return nil
}

// check returns why that cannot be served, or nil.
func (i introspection) check() error {
	if i.on && i.authorize == nil {
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "introspect", Text: "authorize is nil; parley.LocalOnly takes callers on this machine"}
	}
	return nil
}

// LocalOnly is an authorization for WithIntrospection: it takes callers whose connection comes from a loopback address or by a Unix socket. That is every user
// of this machine; and everybody for whom something on this machine forwards connections, such as a proxy, a sidecar, or ssh.
func LocalOnly(ctx context.Context) error {
	from := "a caller without an address"
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		switch a := p.Addr.(type) {
		case *net.TCPAddr:
			if a.IP.IsLoopback() {
				return nil
			}
		case *net.UnixAddr:
			return nil
		}
		from = p.Addr.String()
	}
	return status.Errorf(codes.PermissionDenied, "introspection is for this machine only, and the call comes from %s", from)
}

// introspected is an Env as it is looked at.
type introspected struct{ *Env }

// Ignored implements introspect.Source.
func (i introspected) Ignored() (dropped, lateReplies uint64) {
	c := i.Counters()
	return c.Dropped, c.LateReplies
}

// Endpoints implements introspect.Source.
func (i introspected) Endpoints(q server.Query) (infos []endpoint.Info, more bool) {
	return i.server.Endpoints(q)
}

var _ introspect.Source = introspected{}
