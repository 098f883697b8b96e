package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// tokens is a PerRPCCredentials that gives another token each time.
type tokens struct {
	mu    sync.Mutex
	given int
	uris  []string
	err   error
}

func (c *tokens) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.given++
	c.uris = append(c.uris, uri...)
	return map[string]string{"Authorization": fmt.Sprint("token ", c.given)}, c.err
}

func (*tokens) RequireTransportSecurity() bool { return false }

// headersSent is a stats.Handler that keeps what it is told to be sent, and of the end.
type headersSent struct {
	mu     sync.Mutex
	sent   []metadata.MD
	events []string
}

func (h *headersSent) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (h *headersSent) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (h *headersSent) HandleConn(context.Context, stats.ConnStats)                       {}

func (h *headersSent) HandleRPC(_ context.Context, s stats.RPCStats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := s.(*stats.DelayedPickComplete); ok { // gRPC had to connect first
		return
	}
	h.events = append(h.events, fmt.Sprintf("%T", s))
	if out, ok := s.(*stats.OutHeader); ok {
		h.sent = append(h.sent, out.Header)
	}
}

// take returns what there is, and forgets it.
func (h *headersSent) take() (sent []metadata.MD, events []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent, events, h.sent, h.events = h.sent, h.events, nil, nil
	return sent, events
}

// TestCredentialsEachAttempt: each attempt has a token of its own, which neither interceptors nor stats handlers see.
func TestCredentialsEachAttempt(t *testing.T) {
	impl := newOptioned(func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); !slices.Equal(got, []string{"token 2"}) {
			return status.Errorf(codes.Unauthenticated, "expired: %q", got)
		}
		return nil
	})
	var saw []string
	look := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		saw = append(saw, md.Get("authorization")...)
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	h := &headersSent{}
	interceptors := []grpc.UnaryClientInterceptor{retry.UnaryClientInterceptor(retry.WithMax(3), retry.WithCodes(codes.Unauthenticated)), look}
	compared(t, impl, h, interceptors, func(t *testing.T, cc grpc.ClientConnInterface) {
		creds := &tokens{}
		stub := grpc_testing.NewTestServiceClient(cc)
		if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}, grpc.PerRPCCredentials(&tokens{err: errors.New("not the last")}), grpc.PerRPCCredentials(creds)); err != nil || creds.given != 2 {
			t.Errorf("%d tokens, %v", creds.given, err)
		}
		stream, err := stub.FullDuplexCall(soon(t), grpc.PerRPCCredentials(creds))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		sent, _ := h.take()
		if len(sent) != 3 || creds.given != 3 || len(saw) > 0 {
			t.Errorf("%d times headers, %d tokens; the interceptor saw %q", len(sent), creds.given, saw)
		}
		for _, md := range sent {
			if got := md.Get("authorization"); len(got) > 0 {
				t.Errorf("the stats handler saw %q", got)
			}
		}
	})
}

// TestCredentialsThatFail: what is told of a call whose credentials could not be had is what gRPC tells, and the error has its code.
func TestCredentialsThatFail(t *testing.T) {
	h := &headersSent{}
	compared(t, newOptioned(nil), h, nil, func(t *testing.T, cc grpc.ClientConnInterface) {
		stub := grpc_testing.NewTestServiceClient(cc)
		for _, c := range []struct {
			err  error
			want codes.Code
		}{
			{errors.New("no token"), codes.Internal},
			{status.Error(codes.PermissionDenied, "no"), codes.PermissionDenied},
			{status.Error(codes.NotFound, "as if by the handler"), codes.Internal},
		} {
			with := grpc.PerRPCCredentials(&tokens{err: c.err})
			if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}, with); status.Code(err) != c.want {
				t.Errorf("a unary call: %v, want %v", err, c.want)
			}
			if _, err := stub.FullDuplexCall(soon(t), with); status.Code(err) != c.want {
				t.Errorf("a streaming call: %v, want %v", err, c.want)
			}
			if _, events := h.take(); !slices.Equal(events, []string{"*stats.Begin", "*stats.End", "*stats.Begin", "*stats.End"}) {
				t.Errorf("%v: told %q", c.err, events)
			}
		}
	})
}

// TestCredentialsAudience: credentials are told the address that was dialled, as by gRPC, and not where that led.
func TestCredentialsAudience(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), newOptioned(nil))
	_, port, err := net.SplitHostPort(host.Address())
	if err != nil {
		t.Fatal(err)
	}
	dialled := "localhost:" + port
	caller := newEnv(t)
	ref, err := endpoint.NewRef("streams", dialled)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	for way, cc := range map[string]grpc.ClientConnInterface{"gRPC": dialing(t, dialled), "Parley": conn} {
		creds := &tokens{}
		if _, err := grpc_testing.NewTestServiceClient(cc).EmptyCall(soon(t), &grpc_testing.Empty{}, grpc.PerRPCCredentials(creds)); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if want := []string{"https://" + dialled + "/grpc.testing.TestService"}; !slices.Equal(creds.uris, want) {
			t.Errorf("%s: the audience is %q, want %q", way, creds.uris, want)
		}
	}
	end(t, caller, host)
}

// TestCredentialsOfVerbs: the verbs of a Ref take credentials, too, and the rest of what stubs do, but for OnFinish, inside interceptors and without them.
func TestCredentialsOfVerbs(t *testing.T) {
	leaktest.Check(t)
	got := make(chan []string, 1)
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		got <- md.Get("authorization")
		return &sayhiv1.HiReply{Msg: "a reply"}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	through := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	for name, opts := range map[string][]parley.Option{"without interceptors": nil, "inside one": {parley.WithUnaryClientInterceptors(through)}} {
		t.Run(name, func(t *testing.T) {
			caller, err := parley.New(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer end(t, caller)
			hi := boundAt(t, caller, far.Ref()).Hi
			req := &sayhiv1.HiRequest{Msg: "hi"}
			for verb, call := range map[string]func(opts ...grpc.CallOption) error{
				"Send":            func(opts ...grpc.CallOption) error { return hi.Send(soon(t), req, opts...) },
				"SendWithReceipt": func(opts ...grpc.CallOption) error { return hi.SendWithReceipt(soon(t), req, opts...).Wait(soon(t)) },
				"Ask": func(opts ...grpc.CallOption) error {
					_, err := hi.Ask(soon(t), req, opts...).Wait(soon(t))
					return err
				},
				"AskSync": func(opts ...grpc.CallOption) error { _, err := hi.AskSync(soon(t), req, opts...); return err },
			} {
				if err := call(grpc.PerRPCCredentials(&tokens{})); err != nil {
					t.Errorf("%s: %v", verb, err)
					continue
				}
				if token := <-got; !slices.Equal(token, []string{"token 1"}) {
					t.Errorf("%s: the token %q", verb, token)
				}
				if err := call(grpc.PerRPCCredentials(&tokens{err: errors.New("no token")})); status.Code(err) != codes.Internal {
					t.Errorf("%s: credentials that fail: %v", verb, err)
				}
				if err := call(grpc.MaxCallSendMsgSize(1)); !errors.Is(err, endpoint.ErrTooLarge) {
					t.Errorf("%s: a request that is too large: %v", verb, err)
				}
				if err := call(grpc.OnFinish(func(error) {})); !errors.Is(err, endpoint.ErrInvalid) {
					t.Errorf("%s: OnFinish: %v", verb, err)
				}
			}
			var e *endpoint.Error
			if _, err := hi.AskSync(soon(t), req, grpc.PerRPCCredentials(&tokens{err: errors.New("no token")})); !errors.As(err, &e) || e.Execution != endpoint.NotExecuted {
				t.Errorf("an ask without a token: %v", err)
			}
			if _, err := hi.AskSync(soon(t), req, grpc.MaxCallRecvMsgSize(1)); !errors.Is(err, endpoint.ErrTooLarge) {
				t.Errorf("a reply that is too large: %v", err)
			}
			<-got
		})
	}
	end(t, host)
}
