package parley_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/validator"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// validated is a request that can say whether it is valid, as generated code of protoc-gen-validate does.
type validated struct{ *outRequest }

// Validate is what go-grpc-middleware's validator looks for.
func (v validated) Validate() error {
	if string(v.GetPayload().GetBody()) == "invalid" {
		return errors.New("not valid")
	}
	return nil
}

// guarded is a stock server whose duplex method takes requests that can be validated, and echoes them.
type guarded struct {
	grpc_testing.UnimplementedTestServiceServer
}

// user is the key of what authentication puts into the context.
type user struct{}

func (guarded) FullDuplexCall(stream grpc.BidiStreamingServer[outRequest, outReply]) error {
	if stream.Context().Value(user{}) == nil {
		return status.Error(codes.Internal, "authentication was bypassed, or its context lost")
	}
	for {
		r := validated{new(outRequest)}
		if err := stream.RecvMsg(r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if string(r.GetPayload().GetBody()) == "panic" {
			panic("asked for")
		}
		if err := stream.Send(&outReply{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

// logged are the lines of a logging.Logger: the message, the component, the method, its kind, and the code.
type logged struct {
	mu    sync.Mutex
	lines []string
	came  chan struct{} // gets one for each line
}

// Log implements logging.Logger.
func (l *logged) Log(_ context.Context, _ logging.Level, msg string, fields ...any) {
	line := msg
	f := logging.Fields(fields)
	for it := f.Iterator(); it.Next(); {
		k, v := it.At()
		switch k {
		case "grpc.component", "grpc.service", "grpc.method", "grpc.code", "grpc.method_type":
			line += " " + v.(string)
		case "peer.address":
			line += " from somewhere"
		}
	}
	l.mu.Lock()
	l.lines = append(l.lines, line)
	l.mu.Unlock()
	l.came <- struct{}{}
}

// TestStreamMiddleware: the stream interceptors of go-grpc-middleware work unchanged, by a stub over an endpoint and as an ordinary call; so does its logging around
// calls that are made.
func TestStreamMiddleware(t *testing.T) {
	leaktest.Check(t)
	atServer, atClient := &logged{came: make(chan struct{}, 100)}, &logged{came: make(chan struct{}, 100)}
	authenticate := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err == nil && token != "right" {
			err = status.Error(codes.Unauthenticated, "a wrong token")
		}
		return context.WithValue(ctx, user{}, token), err
	}
	env, err := parley.Listen("127.0.0.1:0", parley.WithStreamInterceptors(
		logging.StreamServerInterceptor(atServer, logging.WithLogOnEvents(logging.FinishCall)),
		recovery.StreamServerInterceptor(recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.DataLoss, "recovered") })),
		selector.StreamServerInterceptor(auth.StreamServerInterceptor(authenticate), selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool {
			return c.Method != "HalfDuplexCall"
		})),
		ratelimit.StreamServerInterceptor(limiter{}),
		validator.StreamServerInterceptor(),
	))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(env.Endpoint("guarded"), guarded{})
	caller, err := parley.New(parley.WithStreamClientInterceptors(logging.StreamClientInterceptor(atClient, logging.WithLogOnEvents(logging.FinishCall))))
	if err != nil {
		t.Fatal(err)
	}
	bound, err := caller.Lookup(soon(t), "parley://guarded@"+env.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(bound.Ref())
	if err != nil {
		t.Fatal(err)
	}
	cc := dialFace(t, env, "")
	for way, conn := range map[string]grpc.ClientConnInterface{"over an endpoint": conn, "as an ordinary call": cc} {
		t.Run(way, func(t *testing.T) {
			atServer.lines, atClient.lines = nil, nil
			right := metadata.AppendToOutgoingContext(soon(t), "authorization", "bearer right")
			var codesWanted []string
			for _, c := range []struct {
				ctx  context.Context
				msg  string
				want codes.Code
			}{
				{right, "hi", codes.OK},
				{soon(t), "hi", codes.Unauthenticated},
				{metadata.AppendToOutgoingContext(soon(t), "authorization", "bearer wrong"), "hi", codes.Unauthenticated},
				{metadata.AppendToOutgoingContext(right, "full", "yes"), "hi", codes.ResourceExhausted},
				{right, "panic", codes.DataLoss},
				{right, "invalid", codes.InvalidArgument},
			} {
				stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(c.ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&outRequest{Payload: body(c.msg)}); err != nil && !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				if err := stream.CloseSend(); err != nil {
					t.Error(err)
				}
				m, err := stream.Recv()
				if err == nil {
					if string(m.GetPayload().GetBody()) != c.msg {
						t.Errorf("the reply is %v", m)
					}
					_, err = stream.Recv()
				}
				if errors.Is(err, io.EOF) {
					err = nil
				}
				if status.Code(err) != c.want {
					t.Errorf("%q: %v, want %v", c.msg, err, c.want)
				}
				codesWanted = append(codesWanted, c.want.String())
				<-atServer.came
				if conn != grpc.ClientConnInterface(cc) {
					<-atClient.came
				}
			}
			check := func(l *logged, want string) {
				l.mu.Lock()
				defer l.mu.Unlock()
				var lines []string
				for _, code := range codesWanted {
					lines = append(lines, want+code)
				}
				if !slices.Equal(l.lines, lines) {
					t.Errorf("the lines are\n%s\nwant\n%s", strings.Join(l.lines, "\n"), strings.Join(lines, "\n"))
				}
			}
			check(atServer, "finished call server grpc.testing.TestService FullDuplexCall bidi_stream from somewhere ")
			if conn != grpc.ClientConnInterface(cc) {
				check(atClient, "finished call client grpc.testing.TestService FullDuplexCall bidi_stream ")
			}
			stream, err := grpc_testing.NewTestServiceClient(conn).HalfDuplexCall(soon(t))
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("a method that needs no token: %v, want that of its handler", err)
			}
			<-atServer.came
			if conn != grpc.ClientConnInterface(cc) {
				<-atClient.came
			}
		})
	}
	end(t, caller, env)
}
