package parley

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley/client"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/rpcstats"
)

// WithUnaryInterceptors has the interceptors run around the handler of every message to an endpoint of this Env, whatever way it came: from a peer,
// relayed, from this Env itself, as an ordinary gRPC call. They run where the handler does, in the turn of its mailbox, so what they wait for
// the endpoint waits for. They see the full method, the incoming metadata, the peer (peer.FromContext) and the decoded request; of a one-way
// message they see a call whose reply is dropped. The first is the outermost. The default is none.
//
// Interceptors of the gRPC server itself (WithServerOptions) see the stream that carries all messages, once.
func WithUnaryInterceptors(interceptors ...grpc.UnaryServerInterceptor) Option {
	return func(s *settings) { s.interceptors = append(s.interceptors, interceptors...) }
}

// WithUnaryClientInterceptors has the interceptors run around every message that this Env sends, to whatever endpoint, by a verb of a Ref or by a
// stock stub: on the goroutine of the caller for a stub and for a send, on one of their own for an ask by a verb. They see the full method, the request (of such an
// ask a copy, as they may try again later), the outgoing metadata without what credentials add, the call options of the caller, and the reply, which of a one-way message stays
// empty. The call options that they hand on are those that count, at each attempt. Ask and SendWithReceipt return when the message was handed over for the first time, so what
// an interceptor waits for before that, they wait for. The first is the outermost. The default is none.
//
// The connection that they are given is for its Target only, which is "parley". Those among WithDialOptions see the carrier.
func WithUnaryClientInterceptors(interceptors ...grpc.UnaryClientInterceptor) Option {
	return func(s *settings) { s.clientSide = append(s.clientSide, interceptors...) }
}

// WithStreamInterceptors has the interceptors run around the handler of every streaming call to an endpoint of this Env, whatever way it came. They see
// the full method, the incoming metadata, the peer and the stream. The first is the outermost. The default is none.
func WithStreamInterceptors(interceptors ...grpc.StreamServerInterceptor) Option {
	return func(s *settings) { s.streamInterceptors = append(s.streamInterceptors, interceptors...) }
}

// WithStreamClientInterceptors has the interceptors run around the opening of every streaming call that this Env makes, to whatever endpoint, by a generated
// Ref or by a stock stub. The first is the outermost. The default is none.
//
// The connection that they are given is for its Target only, which is "parley".
func WithStreamClientInterceptors(interceptors ...grpc.StreamClientInterceptor) Option {
	return func(s *settings) { s.streamClientSide = append(s.streamClientSide, interceptors...) }
}

// WithStatsHandlers has the handlers told of the handling of every message and streaming call to an endpoint of this Env, whatever way it came: once, by the Env that
// has the endpoint, and not by one that relays. They see what those of a gRPC server see of a call, in the same order: TagRPC, InHeader, Begin, InPayload, OutHeader,
// OutPayload, OutTrailer, End. The context that TagRPC returns is the interceptors' and the handler's. A call begins when its turn in the mailbox comes; of what is
// refused before, nothing is told. Of a one-way message there is no answer, and its End has the error that nobody gets. The default is none.
//
// TagConn and HandleConn are not called: there is no connection of a call's own. Those of the gRPC server itself (WithServerOptions) see the
// connections, and the streams that carry all messages.
func WithStatsHandlers(handlers ...stats.Handler) Option {
	return func(s *settings) { s.statsHandlers = append(s.statsHandlers, handlers...) }
}

// WithClientStatsHandlers has the handlers told of every call that this Env makes, to whatever endpoint, by a verb or by a stock stub, inside the client interceptors:
// TagRPC, Begin, OutHeader, OutPayload, InHeader, InPayload, InTrailer, End. The outgoing metadata of the context that TagRPC returns is what is sent. A send ends
// when it is accepted, one with a receipt when that comes. Of a call that is refused before anything is tried, because its context has ended or an option is not
// known, nothing is told. Answers of asks are told on goroutines of their own. The default is none.
//
// TagConn and HandleConn are not called. Those among WithDialOptions see the connections, and the streams that carry all messages.
func WithClientStatsHandlers(handlers ...stats.Handler) Option {
	return func(s *settings) { s.clientStatsHandlers = append(s.clientStatsHandlers, handlers...) }
}

// chain returns one interceptor that stands for all; nil for none.
func chain(interceptors []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	switch len(interceptors) {
	case 0:
		return nil
	case 1:
		return interceptors[0]
	}
	first, rest := interceptors[0], chain(interceptors[1:])
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return first(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return rest(ctx, req, info, handler)
		})
	}
}

// chainClient returns one interceptor that stands for all; nil for none.
func chainClient(interceptors []grpc.UnaryClientInterceptor) grpc.UnaryClientInterceptor {
	switch len(interceptors) {
	case 0:
		return nil
	case 1:
		return interceptors[0]
	}
	first, rest := interceptors[0], chainClient(interceptors[1:])
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return first(ctx, method, req, reply, cc, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
			return rest(ctx, method, req, reply, cc, invoker, opts...)
		}, opts...)
	}
}

// chainStream returns one interceptor that stands for all; nil for none.
func chainStream(interceptors []grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	switch len(interceptors) {
	case 0:
		return nil
	case 1:
		return interceptors[0]
	}
	first, rest := interceptors[0], chainStream(interceptors[1:])
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return first(srv, stream, info, func(srv any, stream grpc.ServerStream) error {
			return rest(srv, stream, info, handler)
		})
	}
}

// chainStreamClient returns one interceptor that stands for all; nil for none.
func chainStreamClient(interceptors []grpc.StreamClientInterceptor) grpc.StreamClientInterceptor {
	switch len(interceptors) {
	case 0:
		return nil
	case 1:
		return interceptors[0]
	}
	first, rest := interceptors[0], chainStreamClient(interceptors[1:])
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return first(ctx, desc, cc, method, func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return rest(ctx, desc, cc, method, streamer, opts...)
		}, opts...)
	}
}

// outgoing has what runs around the messages that an Env sends. Its zero value is nothing.
type outgoing struct {
	unary  grpc.UnaryClientInterceptor
	stream grpc.StreamClientInterceptor
	cc     *grpc.ClientConn // for interceptors to look at; it never connects
	stats  stats.Handler
}

func newOutgoing(s *settings) (outgoing, error) {
	o := outgoing{stats: rpcstats.Combine(s.clientStatsHandlers)}
	if len(s.clientSide)+len(s.streamClientSide) == 0 {
		return o, nil
	}
	cc, err := grpc.NewClient("passthrough:///parley", grpc.WithTransportCredentials(insecure.NewCredentials()))
	o.unary, o.stream, o.cc = chainClient(s.clientSide), chainStreamClient(s.streamClientSide), cc
	return o, err
}

// around returns ref bound to c, with what runs around that.
func (o outgoing) around(ref endpoint.Ref, c endpoint.Caller) endpoint.Bound {
	return endpoint.NewBound(ref, client.Intercept(client.Observe(c, ref, o.stats), o.unary, o.stream, o.cc))
}

func (o outgoing) close() error {
	if o.cc == nil {
		return nil
	}
	return o.cc.Close()
}
