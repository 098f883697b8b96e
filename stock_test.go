package parley_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// stockHi is a stock gRPC server. What it does, the first word of a request says.
type stockHi struct {
	sayhiv1.UnimplementedSayHiServer
	ended chan error // gets how a call ended that waited for its context
}

func (s *stockHi) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	verb, _, _ := strings.Cut(r.GetMsg(), " ")
	switch verb {
	case "metadata":
		md, _ := metadata.FromIncomingContext(ctx)
		method, _ := grpc.Method(ctx)
		p, hasPeer := peer.FromContext(ctx)
		if err := errors.Join(
			grpc.SetHeader(ctx, metadata.Pairs("h", "1")), grpc.SetHeader(ctx, metadata.Pairs("h", "2", "h-bin", "\x00\xff")),
			grpc.SetTrailer(ctx, metadata.Pairs("t", "3", "t-bin", "\x01")),
		); err != nil {
			return nil, err
		}
		return &sayhiv1.HiReply{Msg: fmt.Sprintf("%q %q %q %s %t", md.Get("k"), md.Get("k-bin"), md.Get("token"), method, hasPeer && p.Addr != nil)}, nil
	case "fail":
		st, err := status.New(codes.FailedPrecondition, "not now, ünicode").WithDetails(&errdetails.RetryInfo{}, &sayhiv1.HiRequest{Msg: "detail"})
		if err != nil {
			return nil, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("t", "of an error")); err != nil {
			return nil, err
		}
		return nil, st.Err()
	case "plain":
		return nil, errors.New("an error without a code")
	case "wait":
		<-ctx.Done()
		s.ended <- ctx.Err()
		return nil, status.FromContextError(ctx.Err()).Err()
	case "empty":
		return &sayhiv1.HiReply{}, nil
	}
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// said is all that a caller can see of a call.
type said struct {
	reply, code, message, details, header, trailer string
}

// calls makes a number of calls by a stock stub, and returns what was seen of each.
func calls(t *testing.T, stub sayhiv1.SayHiClient, impl *stockHi) map[string]said {
	t.Helper()
	seen := map[string]said{}
	ask := func(name string, ctx context.Context, msg string, opts ...grpc.CallOption) {
		var header, trailer metadata.MD
		reply, err := stub.Hi(ctx, &sayhiv1.HiRequest{Msg: msg}, append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
		st := status.Convert(err)
		s := said{code: st.Code().String(), message: st.Message(), header: pairs(header), trailer: pairs(trailer)}
		if err == nil {
			s.reply = fmt.Sprintf("%d bytes: %.300s", len(reply.GetMsg()), reply.GetMsg())
		}
		var e *endpoint.Error
		if errors.As(err, &e) { // of Parley: its text is its own
			s.message = ""
		} else {
			s.details = fmt.Sprint(st.Details())
		}
		seen[name] = s
	}
	ask("echo", soon(t), "echo")
	ask("nothing", soon(t), "")
	ask("an empty reply", soon(t), "empty")
	ask("3 MiB", soon(t), "large "+strings.Repeat("x", 3<<20))
	ask("metadata", metadata.AppendToOutgoingContext(soon(t), "k", "1", "K", "2", "k-bin", "\x00\xfe"), "metadata")
	ask("an error with details", soon(t), "fail")
	ask("an error without a code", soon(t), "plain")
	ask("a reply that is too large", soon(t), "0123456789", grpc.MaxCallRecvMsgSize(5))
	ask("a request that is too large", soon(t), "0123456789", grpc.MaxCallSendMsgSize(5))
	ask("credentials", soon(t), "metadata", grpc.PerRPCCredentials(token{}))
	ask("credentials that need more", soon(t), "metadata", grpc.PerRPCCredentials(token{secure: true}))
	ask("credentials that fail", soon(t), "metadata", grpc.PerRPCCredentials(token{err: errors.New("no token")}))
	ask("credentials that fail with a code", soon(t), "metadata", grpc.PerRPCCredentials(token{err: status.Error(codes.PermissionDenied, "no")}))

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	ask("a deadline", ctx, "wait")
	<-impl.ended // by which clock it ends first is not said
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	ask("a cancel", ctx, "wait")
	if err := <-impl.ended; err != context.Canceled {
		t.Errorf("the handler of a cancelled call has ended with %v", err)
	}
	ask("an ended context", ctx, "echo")
	_, err := stub.Bye(soon(t), &sayhiv1.ByeRequest{})
	seen["a method that is not implemented"] = said{code: status.Code(err).String(), message: status.Convert(err).Message()}

	finished := make(chan error, 1)
	var p peer.Peer
	_, err = stub.Hi(soon(t), &sayhiv1.HiRequest{Msg: "fail"}, grpc.OnFinish(func(err error) { finished <- err }), grpc.Peer(&p))
	if got := <-finished; got == nil || got.Error() != err.Error() || p.Addr == nil {
		t.Errorf("OnFinish got %v and Peer %v, where the call gave %v", got, p.Addr, err)
	}
	return seen
}

// pairs returns metadata as text, without what gRPC adds to a call of its own.
func pairs(md metadata.MD) string {
	var all []string
	for k, v := range md {
		if k != "content-type" && k != "grpc-status-details-bin" {
			all = append(all, fmt.Sprintf("%s=%q", k, v))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// token is a PerRPCCredentials.
type token struct {
	secure bool
	err    error
}

func (t token) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	return map[string]string{"token": info.Method + fmt.Sprint(strings.HasSuffix(uri[0], "/sayhi.v1.SayHi"))}, t.err
}

func (t token) RequireTransportSecurity() bool { return t.secure }

// TestStockStubs: the same calls, by the same stock stub to the same stock server, over gRPC and over an endpoint, look the same: to one that another Env
// hosts, to one of an Env in client mode, by way of a relay.
func TestStockStubs(t *testing.T) {
	leaktest.Check(t)
	listener := listening(t)
	impl := &stockHi{ended: make(chan error, 1)}
	stock := grpc.NewServer()
	sayhiv1.RegisterSayHiServer(stock, impl)
	serving(t, stock, listener)
	want := calls(t, sayhiv1.NewSayHiClient(dialing(t, listener.Addr().String())), impl)

	host, _ := hosting(t)
	caller, behind := newEnv(t), newEnv(t)
	sayhiv1.RegisterSayHiServer(host.Endpoint("stock", endpoint.Concurrent(4)), impl)
	sayhiv1.RegisterSayHiServer(behind.Endpoint("stock", endpoint.Concurrent(4)), impl)
	if _, err := behind.Lookup(soon(t), "parley://hi@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted, err := endpoint.NewRef("stock", host.Address())
	if err != nil {
		t.Fatal(err)
	}
	clientHosted, err := endpoint.NewClientRef("stock", behind.ID())
	if err != nil {
		t.Fatal(err)
	}
	relayed, err := clientHosted.WithVia(host.Address())
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range map[string]struct {
		env *parley.Env
		ref endpoint.Ref
	}{"by an address": {caller, hosted}, "in client mode": {host, clientHosted}, "relayed": {caller, relayed}, "local": {host, hosted}} {
		t.Run(name, func(t *testing.T) {
			conn, err := way.env.Conn(way.ref)
			if err != nil {
				t.Fatal(err)
			}
			got := calls(t, sayhiv1.NewSayHiClient(conn), impl)
			for call, w := range want {
				if name == "local" && call == "credentials that need more" {
					continue // nobody can listen in
				}
				if w.message != "" && got[call].message == "" {
					w.message, w.details = "", "" // an error of Parley, with the same code
				}
				if got[call] != w {
					t.Errorf("%s:\n got %+v\nwant %+v", call, got[call], w)
				}
			}
		})
	}
	t.Run("as an ordinary call", func(t *testing.T) {
		cc := dialFace(t, host, "stock")
		got := calls(t, sayhiv1.NewSayHiClient(cc), impl)
		for call, w := range want {
			w.details, w.message = strings.Replace(w.details, "[]", "", 1), "" // an error of Parley has details
			if g := got[call]; g.code != w.code || g.reply != w.reply || g.header != w.header || g.trailer != w.trailer || !strings.HasPrefix(g.details, strings.TrimSuffix(w.details, "]")) {
				t.Errorf("%s:\n got %+v\nwant %+v", call, g, w)
			}
		}
	})
	end(t, caller, behind, host)
}

// dialFace returns an ordinary connection to env, whose calls name the endpoint if name is not empty.
func dialFace(t *testing.T, env *parley.Env, name string) *grpc.ClientConn {
	t.Helper()
	return dialing(t, env.Address(), grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if name != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, parley.EndpointKey, name)
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}))
}

// TestUnaryFace: which endpoint serves an ordinary call, and what those get that nobody serves.
func TestUnaryFace(t *testing.T) {
	leaktest.Check(t)
	env, first := hosting(t)
	plain := dialFace(t, env, "")
	ask := func(cc *grpc.ClientConn, method string, ctx context.Context) (string, error) {
		reply := &sayhiv1.HiReply{}
		err := cc.Invoke(ctx, method, &sayhiv1.HiRequest{Msg: "hi"}, reply)
		return reply.GetMsg(), err
	}
	const hiMethod = "/sayhi.v1.SayHi/Hi"
	if reply, err := ask(plain, hiMethod, soon(t)); err != nil || reply == "" {
		t.Errorf("the only endpoint: %q, %v", reply, err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "second", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		sender, _ := endpoint.Sender(ctx)
		p, _ := peer.FromContext(ctx)
		if sender.EnvID != "" || sender.Remote == "" || sender.Remote != p.Addr.String() {
			t.Errorf("the sender is %+v, the peer %v", sender, p)
		}
		return &sayhiv1.HiReply{Msg: "second"}, nil
	})); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(plain, hiMethod, soon(t)); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "hi, second") {
		t.Errorf("two endpoints, and none is named: %v", err)
	}
	named := func(name string) context.Context {
		return metadata.AppendToOutgoingContext(soon(t), parley.EndpointKey, name)
	}
	if reply, err := ask(plain, hiMethod, named("second")); err != nil || reply != "second" {
		t.Errorf("the second endpoint: %q, %v", reply, err)
	}
	if err := env.Stop(soon(t), first.Ref()); err != nil {
		t.Fatal(err)
	}
	if reply, err := ask(plain, hiMethod, soon(t)); err != nil || reply != "second" {
		t.Errorf("the one that is left: %q, %v", reply, err)
	}
	for method, want := range map[string]codes.Code{"/sayhi.v1.SayHi/Nothing": codes.Unimplemented, "/nobody.v1.Nobody/Hi": codes.Unimplemented} {
		if _, err := ask(plain, method, soon(t)); status.Code(err) != want {
			t.Errorf("%s: %v, want %v", method, err, want)
		}
	}
	for name, want := range map[string]codes.Code{"nobody": codes.NotFound, "hi": codes.Unavailable} {
		if _, err := ask(plain, hiMethod, named(name)); status.Code(err) != want {
			t.Errorf("endpoint %s: %v, want %v", name, err, want)
		}
	}
	// A call of another kind.
	s, err := plain.NewStream(soon(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, hiMethod)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.SendMsg(&sayhiv1.HiRequest{}); err != nil {
			t.Error(err)
		}
	}
	if err := s.RecvMsg(&sayhiv1.HiReply{}); status.Code(err) != codes.Internal {
		t.Errorf("two messages: %v", err)
	}
	end(t, env)
}

// TestRegisterServer: what is wrong with a registration is said, and a second service joins the first.
func TestRegisterServer(t *testing.T) {
	leaktest.Check(t)
	env, _ := hosting(t)
	if _, err := env.RegisterServer(soon(t), "stock", &sayhiv1.SayHi_ServiceDesc, "no server"); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("an implementation of nothing: %v", err)
	}
	if _, err := env.RegisterServer(soon(t), "hi", &sayhiv1.SayHi_ServiceDesc, &stockHi{}); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("a name that is taken: %v", err)
	}
	r := env.Endpoint("two")
	sayhiv1.RegisterSayHiServer(r, &stockHi{})
	other := grpc.ServiceDesc{ServiceName: "other.v1.Other", Methods: []grpc.MethodDesc{{
		MethodName: "Do",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &sayhiv1.HiRequest{}
			return in, decode(in)
		},
	}}}
	r.RegisterService(&other, nil)
	for _, service := range []string{"sayhi.v1.SayHi", "other.v1.Other"} {
		if _, err := env.Lookup(soon(t), "parley://two@"+env.Address(), service); err != nil {
			t.Error(err)
		}
	}
	ref, err := endpoint.NewRef("two", env.Address())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := env.Conn(ref)
	if err != nil {
		t.Fatal(err)
	}
	reply := &sayhiv1.HiRequest{}
	if err := conn.Invoke(soon(t), "/other.v1.Other/Do", &sayhiv1.HiRequest{Msg: "other"}, reply); err != nil || reply.GetMsg() != "other" {
		t.Errorf("%q, %v", reply.GetMsg(), err)
	}
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, endpoint.ErrInvalid) {
				t.Errorf("the same service again: %v", err)
			}
		}()
		r.RegisterService(&other, nil)
	}()
	end(t, env)
}

// TestInterceptors: every message's handler runs inside the interceptors, whichever way it came, with the metadata and the peer.
func TestInterceptors(t *testing.T) {
	leaktest.Check(t)
	var mu sync.Mutex
	var saw []string
	see := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			p, ok := peer.FromContext(ctx)
			mu.Lock()
			saw = append(saw, fmt.Sprintf("%s %s %s %v %t", name, info.FullMethod, req.(*sayhiv1.HiRequest).GetMsg(), md.Get("k"), ok && p.Addr != nil))
			mu.Unlock()
			if req.(*sayhiv1.HiRequest).GetMsg() == "refused" {
				return nil, status.Error(codes.PermissionDenied, "refused by "+name)
			}
			if err := grpc.SetTrailer(ctx, metadata.Pairs("by", name)); err != nil {
				return nil, err
			}
			return handler(ctx, proto.Clone(req.(proto.Message)))
		}
	}
	interceptors := parley.WithUnaryInterceptors(see("outer"), see("inner"))
	host, err := parley.Listen("127.0.0.1:0", interceptors)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := parley.New(interceptors)
	if err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t)
	for _, env := range []*parley.Env{host, behind} {
		if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "typed", hi{}); err != nil {
			t.Fatal(err)
		}
		sayhiv1.RegisterSayHiServer(env.Endpoint("stock"), &stockHi{})
	}
	if _, err := behind.Lookup(soon(t), "parley://typed@"+host.Address(), ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"typed", "stock"} {
		hosted, _ := endpoint.NewRef(name, host.Address())
		clientHosted, _ := endpoint.NewClientRef(name, behind.ID())
		relayed, _ := clientHosted.WithVia(host.Address())
		for way, bound := range map[string]func() (endpoint.Bound, error){
			"by an address":  func() (endpoint.Bound, error) { return caller.Bind(hosted) },
			"local":          func() (endpoint.Bound, error) { return host.Bind(hosted) },
			"in client mode": func() (endpoint.Bound, error) { return host.Bind(clientHosted) },
			"relayed":        func() (endpoint.Bound, error) { return caller.Bind(relayed) },
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				b, err := bound()
				if err != nil {
					t.Fatal(err)
				}
				ref := sayhiv1parley.NewSayHi(b)
				saw = nil
				var trailer metadata.MD
				ctx := metadata.AppendToOutgoingContext(soon(t), "k", "v")
				if err := ref.Hi.Send(ctx, &sayhiv1.HiRequest{Msg: "sent"}); err != nil {
					t.Error(err)
				}
				if _, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "asked"}, grpc.Trailer(&trailer)); err != nil {
					t.Error(err)
				}
				if _, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "refused"}); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "refused by outer") {
					t.Errorf("what an interceptor refuses: %v", err)
				}
				mu.Lock()
				defer mu.Unlock()
				want := []string{
					"outer /sayhi.v1.SayHi/Hi sent [v] true", "inner /sayhi.v1.SayHi/Hi sent [v] true",
					"outer /sayhi.v1.SayHi/Hi asked [v] true", "inner /sayhi.v1.SayHi/Hi asked [v] true",
					"outer /sayhi.v1.SayHi/Hi refused [v] true",
				}
				if !slices.Equal(saw, want) {
					t.Errorf("the interceptors saw %q, want %q", saw, want)
				}
				if got := trailer.Get("by"); !slices.Equal(got, []string{"outer", "inner"}) {
					t.Errorf("the trailer has %q", got)
				}
			})
		}
	}
	for _, name := range []string{"typed", "stock"} {
		t.Run(name+" as an ordinary call", func(t *testing.T) {
			saw = nil
			cc := dialFace(t, host, name)
			var trailer metadata.MD
			ctx := metadata.AppendToOutgoingContext(soon(t), "k", "v")
			if _, err := sayhiv1.NewSayHiClient(cc).Hi(ctx, &sayhiv1.HiRequest{Msg: "asked"}, grpc.Trailer(&trailer)); err != nil {
				t.Error(err)
			}
			want := []string{"outer /sayhi.v1.SayHi/Hi asked [v] true", "inner /sayhi.v1.SayHi/Hi asked [v] true"}
			mu.Lock()
			defer mu.Unlock()
			if got := trailer.Get("by"); !slices.Equal(saw, want) || !slices.Equal(got, []string{"outer", "inner"}) {
				t.Errorf("the interceptors saw %q, want %q; the trailer has %q", saw, want, got)
			}
		})
	}
	end(t, caller, behind, host)
}
