package parley_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// optioned is a stock server that does what a test wants.
type optioned struct {
	duplex
	empty func(ctx context.Context) error // EmptyCall
}

func newOptioned(empty func(context.Context) error) *optioned {
	return &optioned{duplex: duplex{full: func(stream duplexServer) error {
		stream.SetTrailer(metadata.Pairs("t", "1"))
		return errors.Join(stream.SetHeader(metadata.Pairs("h", "1")), echoDuplex(stream))
	}}, empty: empty}
}

func (s *optioned) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	if s.empty != nil {
		if err := s.empty(ctx); err != nil {
			return nil, err
		}
	}
	return &grpc_testing.Empty{}, errors.Join(grpc.SetHeader(ctx, metadata.Pairs("h", "1")), grpc.SetTrailer(ctx, metadata.Pairs("t", "1")))
}

// compared runs f over stock gRPC, over an endpoint of another Env, and over one of the same, each with the interceptors and the stats handler, if that is not nil. So what
// f wants is what gRPC does.
func compared(t *testing.T, impl grpc_testing.TestServiceServer, h stats.Handler, interceptors []grpc.UnaryClientInterceptor, f func(t *testing.T, cc grpc.ClientConnInterface)) {
	t.Helper()
	leaktest.Check(t)
	listener := listening(t)
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, impl)
	serving(t, server, listener)
	dial := []grpc.DialOption{grpc.WithChainUnaryInterceptor(interceptors...)}
	opts := []parley.Option{parley.WithUnaryClientInterceptors(interceptors...)}
	if h != nil {
		dial, opts = append(dial, grpc.WithStatsHandler(h)), append(opts, parley.WithClientStatsHandlers(h))
	}
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("there"), impl)
	grpc_testing.RegisterTestServiceServer(caller.Endpoint("here"), impl)
	there, _ := endpoint.NewRef("there", host.Address())
	here, _ := endpoint.NewClientRef("here", caller.ID())
	t.Run("gRPC", func(t *testing.T) { f(t, dialing(t, listener.Addr().String(), dial...)) })
	for way, ref := range map[string]endpoint.Ref{"remote": there, "local": here} {
		conn, err := caller.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(way, func(t *testing.T) { f(t, conn) })
	}
	end(t, caller, host)
}

// TestForeignCallOptions: types of call options that are not gRPC's own concern nobody but interceptors, which get them.
func TestForeignCallOptions(t *testing.T) {
	call := func(t *testing.T, cc grpc.ClientConnInterface, opts ...grpc.CallOption) error {
		t.Helper()
		_, err := grpc_testing.NewTestServiceClient(cc).EmptyCall(soon(t), &grpc_testing.Empty{}, opts...)
		return err
	}
	t.Run("without interceptors", func(t *testing.T) {
		compared(t, newOptioned(nil), nil, nil, func(t *testing.T, cc grpc.ClientConnInterface) {
			if err := call(t, cc, retry.WithMax(3)); err != nil {
				t.Error(err)
			}
			if _, err := grpc_testing.NewTestServiceClient(cc).FullDuplexCall(t.Context(), retry.WithMax(3)); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("for an interceptor", func(t *testing.T) {
		tried := 0
		impl := newOptioned(func(context.Context) error {
			if tried++; tried%3 != 0 {
				return status.Error(codes.Unavailable, "once more")
			}
			return nil
		})
		compared(t, impl, nil, []grpc.UnaryClientInterceptor{retry.UnaryClientInterceptor()}, func(t *testing.T, cc grpc.ClientConnInterface) {
			tried = 0
			if err := call(t, cc, retry.WithMax(3)); err != nil || tried != 3 {
				t.Errorf("with WithMax: tried %d times, %v", tried, err)
			}
			if err := call(t, cc); status.Code(err) != codes.Unavailable || tried != 4 {
				t.Errorf("without: tried %d times, %v", tried, err)
			}
		})
	})
}

// TestInterceptorsOptions: call options that an interceptor adds to a call are those of the call, at each attempt, and what it leaves out is not.
func TestInterceptorsOptions(t *testing.T) {
	var added []grpc.CallOption
	tries := 1
	add := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) (err error) {
		for range tries {
			err = invoke(ctx, method, req, reply, cc, append(opts[:len(opts):len(opts)], added...)...)
		}
		return err
	}
	drop := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return invoke(ctx, method, req, reply, cc)
	}
	var token []string
	impl := newOptioned(func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		token = md.Get("authorization")
		return nil
	})
	t.Run("added", func(t *testing.T) {
		compared(t, impl, nil, []grpc.UnaryClientInterceptor{add}, func(t *testing.T, cc grpc.ClientConnInterface) {
			stub := grpc_testing.NewTestServiceClient(cc)
			var header, trailer metadata.MD
			var p peer.Peer
			finished := 0
			creds := &tokens{}
			tries = 2
			added = []grpc.CallOption{
				grpc.PerRPCCredentials(creds), grpc.Peer(&p), grpc.OnFinish(func(error) { finished++ }), grpc.Header(&header), grpc.Trailer(&trailer), grpc.WaitForReady(true),
			}
			own := 0
			if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}, grpc.OnFinish(func(error) { own++ })); err != nil {
				t.Fatal(err)
			}
			if len(token) != 1 || token[0] != "token 2" || p.Addr == nil || finished != 2 || own != 2 || len(header.Get("h")) != 1 || len(trailer.Get("t")) != 1 {
				t.Errorf("token %q, peer %v, finished %d and %d, header %v, trailer %v", token, p.Addr, finished, own, header, trailer)
			}
			tries, added = 1, []grpc.CallOption{grpc.MaxCallSendMsgSize(1)}
			if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{Payload: body("too large")}); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("a limit: %v", err)
			}
		})
	})
	t.Run("left out", func(t *testing.T) {
		compared(t, impl, nil, []grpc.UnaryClientInterceptor{drop}, func(t *testing.T, cc grpc.ClientConnInterface) {
			var header metadata.MD
			finished := 0
			if _, err := grpc_testing.NewTestServiceClient(cc).EmptyCall(soon(t), &grpc_testing.Empty{}, grpc.Header(&header), grpc.OnFinish(func(error) { finished++ })); err != nil {
				t.Fatal(err)
			}
			if header != nil || finished != 0 {
				t.Errorf("header %v, finished %d", header, finished)
			}
		})
	})
}

// TestRepeatedOptions: of options that want to know something each gets it.
func TestRepeatedOptions(t *testing.T) {
	compared(t, newOptioned(nil), nil, nil, func(t *testing.T, cc grpc.ClientConnInterface) {
		stub := grpc_testing.NewTestServiceClient(cc)
		for kind, call := range map[string]func(opts ...grpc.CallOption) error{
			"unary": func(opts ...grpc.CallOption) error {
				_, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}, opts...)
				return err
			},
			"streaming": func(opts ...grpc.CallOption) error {
				stream, err := stub.FullDuplexCall(soon(t), opts...)
				if err != nil {
					return err
				}
				if err := stream.CloseSend(); err != nil {
					return err
				}
				if _, err = stream.Recv(); errors.Is(err, io.EOF) {
					return nil
				}
				return err
			},
		} {
			var headers, trailers [3]metadata.MD
			var peers [2]peer.Peer
			var opts []grpc.CallOption
			for i := range headers {
				opts = append(opts, grpc.Header(&headers[i]), grpc.Trailer(&trailers[i]))
			}
			if err := call(append(opts, grpc.Peer(&peers[0]), grpc.Peer(&peers[1]))...); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			for i := range headers {
				if len(headers[i].Get("h")) != 1 || len(trailers[i].Get("t")) != 1 {
					t.Errorf("%s: header %d is %v, the trailer %v", kind, i, headers[i], trailers[i])
				}
			}
			if peers[0].Addr == nil || peers[1].Addr == nil {
				t.Errorf("%s: peers %v", kind, peers)
			}
		}
	})
}

// TestClientStreamContext: the context of a stream has the peer, and ends with the call, while that of the caller goes on.
func TestClientStreamContext(t *testing.T) {
	compared(t, newOptioned(nil), nil, nil, func(t *testing.T, cc grpc.ClientConnInterface) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := grpc_testing.NewTestServiceClient(cc).FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&outRequest{Payload: body("x")}); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Error(err)
		}
		if p, ok := peer.FromContext(stream.Context()); !ok || p.Addr == nil {
			t.Errorf("the peer is %v", p)
		}
		if err := stream.Context().Err(); err != nil {
			t.Errorf("before the end: %v", err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		for range 2 { // what is received after the end stays the same
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("the end: %v", err)
			}
		}
		select {
		case <-stream.Context().Done():
		case <-soon(t).Done():
			t.Error("the context of the stream goes on after its end")
		}
		if err := ctx.Err(); err != nil {
			t.Errorf("the context of the caller: %v", err)
		}
		if md, err := stream.Header(); err != nil || len(md.Get("h")) != 1 {
			t.Errorf("headers after the end: %v, %v", md, err)
		}
	})
}

// TestUnlikeGRPC: what docs/grpc.md says is not supported is refused, and not left to wait for ever.
func TestUnlikeGRPC(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), newOptioned(nil))
	caller := newEnv(t)
	ref, err := endpoint.NewRef("streams", host.Address())
	if err != nil {
		t.Fatal(err)
	}
	for way, env := range map[string]*parley.Env{"remote": caller, "local": host} {
		conn, err := env.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.NewStream(soon(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/grpc.testing.TestService/EmptyCall")
		if err == nil {
			err = stream.RecvMsg(&grpc_testing.Empty{})
		}
		if !errors.Is(err, endpoint.ErrMethodNotFound) {
			t.Errorf("%s: a stream of a unary method: %v, want ErrMethodNotFound", way, err)
		}
		duplex, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		var prepared grpc.PreparedMsg
		if err := prepared.Encode(duplex, &outRequest{}); err == nil {
			t.Errorf("%s: a prepared message was encoded", way)
		}
		if err := duplex.SendMsg(&prepared); !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("%s: a prepared message: %v, want ErrInvalid", way, err)
		}
	}
	end(t, caller, host)
}
