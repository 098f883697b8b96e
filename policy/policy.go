// Package policy decides who may call which method of which endpoint. A policy is JSON in the shape of that of grpc-go
// (google.golang.org/grpc/authz), and endpoints beside it:
//
//	{
//	  "name": "greeter",
//	  "deny_rules": [
//	    {"name": "no guests", "source": {"principals": ["spiffe://example.org/guest/*"]}, "request": {"endpoints": ["admin"]}}
//	  ],
//	  "allow_rules": [
//	    {"name": "clients greet", "source": {"principals": ["spiffe://example.org/client"]}, "request": {"endpoints": ["hi"], "paths": ["/sayhi.v1.SayHi/*"]}}
//	  ]
//	}
//
// A message that a deny rule matches is denied; else one that an allow rule matches is allowed; else it is denied. A rule matches if all that it has
// does: of principals, paths and endpoints one each; of each header one value. What a rule does not have, or has an empty list of, matches anything.
//
// A value is what it is compared with, exactly and with case; or begins or ends with "*", which stands for anything, also nothing; or is "*", for
// anything but nothing. Paths are "/package.Service/Method".
//
// Principals are the names in the certificate of the peer, of the most telling kind that it has: the URIs, else the DNS names, else emails, IP
// addresses and the subject ("CN=client,O=example"). Of a peer without a verified certificate the only principal is "", over TLS, and none over
// plaintext. The principal "local" stands for the Env itself, whose messages to its own endpoints nobody has authenticated; it matches no
// certificate, and no other value matches the Env itself. endpoint.Principal has the first of these names.
//
// An Env is given a policy by parley.WithPolicy, which uses it where messages and streaming calls are handled (Unary, Stream) and where messages are
// relayed (Relay). docs/security.md says what it does not do.
package policy

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/identity"
)

// Policy is an authorization policy. It does not change, and may be used concurrently. The zero Policy denies everything.
type Policy struct {
	name        string
	deny, allow []rule
}

// Load is Parse of the file at path. The error is that of os.ReadFile, or of Parse, with the path.
func Load(path string) (*Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	p, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w, in %s", err, path)
	}
	return p, nil
}

// Name returns the name of the policy, which is for people.
func (p *Policy) Name() string { return p.name }

// Unary returns an interceptor for parley.WithUnaryInterceptors, or for any gRPC server. Who is not allowed to call gets codes.PermissionDenied, with
// the endpoint, the method and its own principal, and not which rule it was. A one-way message that is denied is dropped, and its endpoint's OnError
// told, or the log, as with any error of an interceptor. An interceptor that comes before must hand on a context that is made of the one it was
// given, since that has the endpoint and the peer.
//
// With a gRPC server that is not Parley's there is no endpoint, so rules that have endpoints do not match.
func (p *Policy) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := p.check(ctx, info.FullMethod, handledBy(ctx)); err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// Stream is Unary for streaming calls, which are checked once, when they begin.
func (p *Policy) Stream() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx := stream.Context()
		if err := p.check(ctx, info.FullMethod, handledBy(ctx)); err != nil {
			return err
		}
		return handler(srv, stream)
	}
}

// Relay reports whether a message may be passed on to an endpoint of another Env: nil, or the error of Unary. It is for parley.WithRelayPolicy.
func (p *Policy) Relay(ctx context.Context, fullMethod string, to endpoint.Ref) error {
	return p.check(ctx, fullMethod, to.Name())
}

// handledBy returns the name of the endpoint whose handler, or interceptor, has ctx; empty for none.
func handledBy(ctx context.Context) string {
	self, _ := endpoint.Self(ctx)
	return self.Name()
}

// check returns nil if the message may pass.
func (p *Policy) check(ctx context.Context, path, name string) error {
	m := message{path: path, endpoint: name}
	m.headers, _ = metadata.FromIncomingContext(ctx)
	from, _ := peer.FromContext(ctx)
	m.local = identity.IsLocal(from)
	m.principals = identity.Names(from)
	if m.principals == nil && identity.IsTLS(from) {
		m.principals = []string{""}
	}
	for i := range p.deny {
		if p.deny[i].matches(&m, true) {
			return m.denied()
		}
	}
	for i := range p.allow {
		if p.allow[i].matches(&m, false) {
			return nil
		}
	}
	return m.denied()
}

// message is what a policy decides on.
type message struct {
	path, endpoint string
	local          bool
	principals     []string
	headers        metadata.MD
}

// denied returns the same error whatever the reason, which is the policy's own.
func (m *message) denied() error {
	who := "a caller without a principal"
	switch {
	case m.local:
		who = "this Env itself"
	case len(m.principals) > 0 && m.principals[0] != "":
		who = fmt.Sprintf("%.300q", m.principals[0])
	}
	where := fmt.Sprintf("%.300q", m.path)
	if m.endpoint != "" {
		where += fmt.Sprintf(" of the endpoint %q", m.endpoint)
	}
	return status.Errorf(codes.PermissionDenied, "policy: %s may not call %s", who, where)
}
