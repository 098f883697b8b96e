package parley

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-rpc/parley/client"
	"github.com/parley-rpc/parley/endpoint"
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
// stock stub: on the goroutine of the caller for a send, on one of their own for an ask. They see the full method, the request (of an ask a
// copy, as they may try again later), the outgoing metadata, and the reply, which of a one-way message stays empty; the call options of the caller
// they do not see. Ask and SendWithReceipt return when the message was handed over for the first time, so what an interceptor waits for before that,
// they wait for. The first is the outermost. The default is none.
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
}

func newOutgoing(unary []grpc.UnaryClientInterceptor, stream []grpc.StreamClientInterceptor) (outgoing, error) {
	if len(unary)+len(stream) == 0 {
		return outgoing{}, nil
	}
	cc, err := grpc.NewClient("passthrough:///parley", grpc.WithTransportCredentials(insecure.NewCredentials()))
	return outgoing{unary: chainClient(unary), stream: chainStreamClient(stream), cc: cc}, err
}

// around returns c with what runs around it.
func (o outgoing) around(c endpoint.Caller) endpoint.Caller {
	return client.Intercept(c, o.unary, o.stream, o.cc)
}

func (o outgoing) close() error {
	if o.cc == nil {
		return nil
	}
	return o.cc.Close()
}
