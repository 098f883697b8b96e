package parley_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	"github.com/parley-rpc/parley/policy"
)

func parsePolicy(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const greeters = `{
	"name": "greeters",
	"deny_rules": [
		{"name": "not now", "request": {"headers": [{"key": "maintenance", "values": ["yes"]}]}},
		{"name": "nobody", "request": {"endpoints": ["secret*"]}}
	],
	"allow_rules": [
		{"name": "friends", "source": {"principals": ["spiffe://test/friend", "spiffe://test/hub"]}, "request": {"endpoints": ["hi", "stock"], "paths": ["/sayhi.v1.SayHi/Hi"]}},
		{"name": "itself", "source": {"principals": ["local"]}, "request": {"paths": ["/sayhi.v1.SayHi/*"]}},
		{"name": "admin", "source": {"principals": ["spiffe://test/admin"]}, "request": {"headers": [{"key": "why", "values": ["because-*"]}]}}
	]
}`

// tally is an endpoint that counts the handlers that have run, and gets the errors of sends.
type tally struct {
	sayhiv1parley.UnimplementedSayHi
	ran    atomic.Int64
	errors chan error
}

func (c *tally) Hi(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	c.ran.Add(1)
	return &sayhiv1.HiReply{}, nil
}

func (c *tally) Bye(context.Context, *sayhiv1.ByeRequest) (*sayhiv1.ByeReply, error) {
	c.ran.Add(1)
	return &sayhiv1.ByeReply{}, nil
}

func (c *tally) OnError(_ context.Context, err error) { c.errors <- err }

// TestPolicy: a policy decides by principal, endpoint, method and header, whichever way a message comes; what it does not allow is denied, and no
// handler runs.
func TestPolicy(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	guarded := parley.WithUnaryInterceptors(parsePolicy(t, greeters).Unary())
	hub, behind := a.listen("hub", guarded), a.client("behind", guarded)
	impl := &tally{errors: make(chan error, 10)}
	for _, env := range []*parley.Env{hub, behind} {
		for _, name := range []string{"hi", "HI", "secret-1"} {
			if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, name, impl); err != nil {
				t.Fatal(err)
			}
		}
		sayhiv1.RegisterSayHiServer(env.Endpoint("stock"), &stockHi{})
	}
	at := func(name string) endpoint.Ref {
		ref, err := endpoint.NewRef(name, hub.Address())
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	hidden := func(name string) endpoint.Ref {
		ref, err := endpoint.NewClientRef(name, behind.ID())
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	if _, err := behind.LookupRef(soon(t), at("hi"), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	friend, admin, guest := a.client("friend"), a.client("admin"), a.client("guest")
	for _, test := range []struct {
		name    string
		env     *parley.Env
		ref     endpoint.Ref
		md      []string
		hi, bye codes.Code
	}{
		{"a friend", friend, at("hi"), nil, codes.OK, codes.PermissionDenied},
		{"a friend, of a stock server", friend, at("stock"), nil, codes.OK, codes.PermissionDenied},
		{"a friend, in maintenance", friend, at("hi"), []string{"maintenance", "yes"}, codes.PermissionDenied, codes.PermissionDenied},
		{"a friend, in maintenance, twice", friend, at("hi"), []string{"maintenance", "yes", "maintenance", "no"}, codes.PermissionDenied, codes.PermissionDenied},
		{"a friend, of an endpoint in another case", friend, at("HI"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"a friend, of a secret", friend, at("secret-1"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"a friend who says that it is for another endpoint", friend, at("secret-1"), []string{"parley-endpoint", "hi"}, codes.PermissionDenied, codes.PermissionDenied},
		{"a guest", guest, at("hi"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"the admin, with a reason", admin, at("HI"), []string{"why", "because-I-can"}, codes.OK, codes.OK},
		{"the admin, without", admin, at("HI"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"the admin, of a secret", admin, at("secret-1"), []string{"why", "because-I-can"}, codes.PermissionDenied, codes.PermissionDenied},
		{"a guest with the admin's reason", guest, at("HI"), []string{"why", "because-I-can"}, codes.PermissionDenied, codes.PermissionDenied},
		{"local", hub, at("HI"), nil, codes.OK, codes.OK},
		{"local, of a secret", hub, at("secret-1"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"the hub itself, of who has dialled it", hub, hidden("hi"), nil, codes.OK, codes.PermissionDenied},
		{"the hub, of the other's secret", hub, hidden("secret-1"), nil, codes.PermissionDenied, codes.PermissionDenied},
		{"a guest, in the name of the hub", guest, throughHub(t, hub, hidden("hi")), nil, codes.OK, codes.PermissionDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			ran := impl.ran.Load()
			ref := boundAt(t, test.env, test.ref)
			ctx := metadata.AppendToOutgoingContext(soon(t), test.md...)
			_, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{})
			if status.Code(err) != test.hi {
				t.Errorf("Hi: %v, want %v", err, test.hi)
			}
			if _, err := ref.Bye.AskSync(ctx, &sayhiv1.ByeRequest{}); status.Code(err) != test.bye {
				t.Errorf("Bye: %v, want %v", err, test.bye)
			}
			if test.hi != codes.OK && impl.ran.Load() != ran {
				t.Error("a handler ran")
			}
			if test.hi == codes.PermissionDenied && !strings.Contains(err.Error(), test.ref.Name()) {
				t.Errorf("%v does not name the endpoint", err)
			}
		})
	}
	t.Run("as an ordinary call", func(t *testing.T) {
		for who, want := range map[string]codes.Code{"friend": codes.OK, "guest": codes.PermissionDenied} {
			stub, cc := a.face(hub, who)
			for name, want := range map[string]codes.Code{"hi": want, "stock": want, "HI": codes.PermissionDenied, "secret-1": codes.PermissionDenied} {
				ctx := metadata.AppendToOutgoingContext(soon(t), parley.EndpointKey, name)
				if _, err := stub.Hi(ctx, &sayhiv1.HiRequest{}); status.Code(err) != want {
					t.Errorf("%s, of %s: %v, want %v", who, name, err, want)
				}
			}
			if _, err := stub.Hi(metadata.AppendToOutgoingContext(soon(t), parley.EndpointKey, "secret-1", parley.EndpointKey, "hi"), &sayhiv1.HiRequest{}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("two endpoints are named: %v", err)
			}
			if err := cc.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("one way", func(t *testing.T) {
		ran := impl.ran.Load()
		ref := boundAt(t, guest, at("hi"))
		if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := <-impl.errors; status.Code(err) != codes.PermissionDenied || impl.ran.Load() != ran {
			t.Errorf("OnError got %v", err)
		}
		if err := ref.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{}).Wait(soon(t)); err != nil { // the mailbox has it
			t.Errorf("with a receipt: %v", err)
		}
		if err := <-impl.errors; status.Code(err) != codes.PermissionDenied || impl.ran.Load() != ran {
			t.Errorf("OnError got %v", err)
		}
	})
	end(t, friend, admin, guest, behind, hub)
}

// TestRelayPolicy: a relay passes on what its policy allows, by who has sent it, and nothing else.
func TestRelayPolicy(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	p := parsePolicy(t, `{"name": "relay", "allow_rules": [{"name": "friends", "source": {"principals": ["spiffe://test/friend"]},
		"request": {"endpoints": ["hi"], "paths": ["/sayhi.v1.SayHi/Hi"], "headers": [{"key": "k", "values": ["v"]}]}}]}`)
	hub := a.listen("hub", parley.WithLogger(slog.New(slog.DiscardHandler)), parley.WithRelayPolicy(func(ctx context.Context, fullMethod string, to endpoint.Ref) error {
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("panic")) > 0 {
			panic("asked for")
		}
		return p.Relay(ctx, fullMethod, to)
	}))
	registerWhoever(t, hub, "hi")
	behind := a.client("behind")
	impl := &tally{errors: make(chan error, 10)}
	for _, name := range []string{"hi", "HI"} {
		if _, err := sayhiv1parley.RegisterSayHi(soon(t), behind, name, impl); err != nil {
			t.Fatal(err)
		}
	}
	own, err := endpoint.NewRef("hi", hub.Address())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := behind.LookupRef(soon(t), own, ""); err != nil { // opens the session
		t.Fatal(err)
	}
	through := func(name, envID string) endpoint.Ref {
		ref, err := endpoint.NewClientRef(name, envID)
		if err != nil {
			t.Fatal(err)
		}
		return throughHub(t, hub, ref)
	}
	friend, guest := a.client("friend"), a.client("guest")
	const nobody = "0192f0c1-2b6e-7c3a-8d4e-5f6a7b8c9d0e"
	kv := []string{"k", "v"}
	for _, test := range []struct {
		name string
		env  *parley.Env
		ref  endpoint.Ref
		md   []string
		want codes.Code
	}{
		{"a friend", friend, through("hi", behind.ID()), kv, codes.OK},
		{"a friend, without the header", friend, through("hi", behind.ID()), nil, codes.PermissionDenied},
		{"a friend, of another endpoint", friend, through("HI", behind.ID()), kv, codes.PermissionDenied},
		{"a guest", guest, through("hi", behind.ID()), kv, codes.PermissionDenied},
		{"a guest, who is not to know that nobody is there", guest, through("hi", nobody), kv, codes.PermissionDenied},
		{"a friend, where nobody is", friend, through("hi", nobody), kv, codes.Unavailable},
		{"a policy that panics", friend, through("hi", behind.ID()), []string{"panic", "yes"}, codes.Internal},
		{"what is not relayed", guest, own, nil, codes.OK},
		{"the hub's own id", guest, through("hi", hub.ID()), nil, codes.OK},
	} {
		ran := impl.ran.Load()
		ctx := metadata.AppendToOutgoingContext(soon(t), test.md...)
		if _, err := boundAt(t, test.env, test.ref).Hi.AskSync(ctx, &sayhiv1.HiRequest{}); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if test.want != codes.OK && impl.ran.Load() != ran {
			t.Errorf("%s: a handler ran", test.name)
		}
	}
	ref := boundAt(t, guest, through("hi", behind.ID()))
	if err := ref.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{}).Wait(soon(t)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a send that wants a receipt: %v", err)
	}
	dropped := hub.Counters().Dropped
	if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); status.Code(err) != codes.PermissionDenied { // comes behind it
		t.Error(err)
	}
	if got := hub.Counters().Dropped; got != dropped+1 {
		t.Errorf("%d messages were dropped, want one", got-dropped)
	}
	if n := impl.ran.Load(); n != 1 {
		t.Errorf("%d handlers ran, want that of the first message", n)
	}
	end(t, friend, guest, behind, hub)
}

// TestPolicyOfCarrier: around the streams of a gRPC server a policy decides who may open a session at all.
func TestPolicyOfCarrier(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	p := parsePolicy(t, `{"name": "carrier", "allow_rules": [{"name": "friends", "source": {"principals": ["spiffe://test/friend"]}, "request": {"paths": ["/parley.v1.Parley/Connect"]}}]}`)
	host := newEnv(t)
	listener := listening(t)
	server := grpc.NewServer(append(parley.ServerOptions(host), grpc.Creds(a.Listening("host", tls.RequireAndVerifyClientCert)), grpc.StreamInterceptor(p.Stream()))...)
	if err := host.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	serving(t, server, listener)
	ref := registerWhoever(t, host, "hi")
	friend, guest := a.client("friend"), a.client("guest")
	if _, err := boundAt(t, friend, ref.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Errorf("a friend: %v", err)
	}
	if _, err := boundAt(t, guest, ref.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrUnreachable) || !strings.Contains(err.Error(), "may not call") {
		t.Errorf("a guest: %v", err)
	}
	stub, cc := a.face(host, "friend")
	if _, err := stub.Hi(soon(t), &sayhiv1.HiRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an ordinary call, which no rule allows: %v", err)
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	end(t, friend, guest, host)
}

// TestLimitsOfPeers: the sessions of a peer, and what one session has pending and may send to, are bounded; one too many fails alone.
func TestLimitsOfPeers(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	env := a.listen("host", parley.WithPeerSessions(2), parley.WithMaxPending(2), parley.WithMaxEndpoints(2))
	goOn, entered := make(chan struct{}), make(chan struct{}, 2)
	slow, err := sayhiv1parley.RegisterSayHi(soon(t), env, "slow", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		entered <- struct{}{}
		<-goOn
		return &sayhiv1.HiReply{}, nil
	}), endpoint.Concurrent(2))
	if err != nil {
		t.Fatal(err)
	}
	second, third := registerWhoever(t, env, "second"), registerWhoever(t, env, "third")
	one, two, three, other := a.client("caller"), a.client("caller"), a.client("caller"), a.client("other")
	overloaded := func(what string, err error) {
		t.Helper()
		var failed *endpoint.Error
		if !errors.As(err, &failed) || failed.Reason != endpoint.ReasonOverloaded || failed.Execution != endpoint.NotExecuted {
			t.Errorf("%s: %v, want ErrOverloaded, not executed", what, err)
		}
	}
	ref := boundAt(t, one, slow.Ref())
	var asked []*endpoint.Future[sayhiv1.HiReply]
	for range 2 {
		asked = append(asked, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{}))
	}
	for range 2 {
		<-entered
	}
	_, err = ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
	overloaded("one pending ask too many", err)
	close(goOn)
	for _, f := range asked {
		if _, err := f.Wait(soon(t)); err != nil {
			t.Error(err)
		}
	}
	if _, err := boundAt(t, one, second.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Error(err)
	}
	_, err = boundAt(t, one, third.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
	overloaded("one endpoint too many", err)
	if _, err := boundAt(t, one, second.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Errorf("the session has not survived it: %v", err)
	}

	for _, caller := range []*parley.Env{two, other} {
		if _, err := boundAt(t, caller, third.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := boundAt(t, three, third.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrUnreachable) || !strings.Contains(err.Error(), "WithPeerSessions") {
		t.Errorf("a third session of one peer: %v", err)
	}
	end(t, one, two, three, other, env)
}

// TestRawPolicy: what a program can write that is not made with this library does not get round a policy.
func TestRawPolicy(t *testing.T) {
	p := parsePolicy(t, `{"name": "raw",
		"deny_rules": [{"name": "guests", "request": {"headers": [{"key": "role", "values": ["guest"]}]}}, {"name": "stuck", "request": {"endpoints": ["stuck"]}}],
		"allow_rules": [{"name": "hi", "request": {"paths": ["/sayhi.v1.SayHi/Hi"]}}]}`)
	h := newHost(t, parley.WithPolicy(p))
	r := h.open()
	role := func(value string) *parleyv1.Metadata { return &parleyv1.Metadata{Key: "role", Value: value} }
	another := uuid.NewString()
	json := func(text string) *parleyv1.Ask { return &parleyv1.Ask{Payload: &parleyv1.Ask_Json{Json: text}} }
	for i, test := range []struct {
		name   string
		ask    *parleyv1.Ask
		target *parleyv1.Target
		md     []*parleyv1.Metadata
		want   codes.Code
	}{
		{"in JSON", json("{}"), target("hi", hiMethod), nil, codes.OK},
		{"a guest in JSON", json("{}"), target("hi", hiMethod), []*parleyv1.Metadata{role("guest")}, codes.PermissionDenied},
		{"a guest twice", json("{}"), target("hi", hiMethod), []*parleyv1.Metadata{role("guest"), role("guest")}, codes.PermissionDenied},
		{"a guest in another case", json("{}"), target("hi", hiMethod), []*parleyv1.Metadata{{Key: "Role", Value: "guest"}}, codes.InvalidArgument},
		{"a method that no rule allows", json("{}"), target("hi", "sayhi.v1.SayHi/Bye"), nil, codes.PermissionDenied},
		{"a method with its slash", json("{}"), target("hi", "/"+hiMethod), nil, codes.InvalidArgument},
		{"a method in another case", json("{}"), target("hi", strings.ToLower(hiMethod)), nil, codes.Unimplemented},
		{"a denied endpoint", json("{}"), target("stuck", hiMethod), nil, codes.PermissionDenied},
		{"a denied endpoint that is called another", json("{}"), target("stuck", hiMethod), []*parleyv1.Metadata{{Key: parley.EndpointKey, Value: "hi"}}, codes.PermissionDenied},
		{"a denied endpoint in another case", json("{}"), target("Stuck", hiMethod), nil, codes.NotFound},
		{"a denied endpoint by the id of the Env", json("{}"), &parleyv1.Target{EnvId: h.env.ID(), Endpoint: "stuck", Method: hiMethod}, nil, codes.PermissionDenied},
		{"by the id in another case", json("{}"), &parleyv1.Target{EnvId: strings.ToUpper(h.env.ID()), Endpoint: "stuck", Method: hiMethod}, nil, codes.InvalidArgument},
		{"relayed", json("{}"), &parleyv1.Target{EnvId: another, Endpoint: "hi", Method: hiMethod}, nil, codes.Unavailable},
		{"a guest, relayed", json("{}"), &parleyv1.Target{EnvId: another, Endpoint: "hi", Method: hiMethod}, []*parleyv1.Metadata{role("guest")}, codes.PermissionDenied},
		{"a denied endpoint, relayed", json("{}"), &parleyv1.Target{EnvId: another, Endpoint: "stuck", Method: hiMethod}, nil, codes.PermissionDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.ask.Id = uint64(i + 1)
			test.ask.Destination, test.ask.Metadata = &parleyv1.Ask_Target{Target: test.target}, test.md
			r.put(envelopeOf(test.ask))
			if st := status.FromProto(r.reply(test.ask.GetId()).GetStatus()); st.Code() != test.want {
				t.Errorf("answered %v, want %v", st, test.want)
			}
		})
	}
	r.works(100)
}

// nameless is a stream of which the gRPC server does not say where it comes from.
type nameless struct{ grpc.ServerStream }

func (n nameless) Context() context.Context {
	return peer.NewContext(n.ServerStream.Context(), &peer.Peer{})
}

// TestCallFromNowhere: an ordinary call of an unknown origin is not taken for one of the Env itself.
func TestCallFromNowhere(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.New(parley.WithUnaryInterceptors(parsePolicy(t, `{"name": "p", "allow_rules": [{"name": "itself", "source": {"principals": ["local"]}}]}`).Unary()))
	if err != nil {
		t.Fatal(err)
	}
	listener := listening(t)
	server := grpc.NewServer(append(parley.ServerOptions(host), grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return next(srv, nameless{s})
	}))...)
	if err := host.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	serving(t, server, listener)
	ref := registerWhoever(t, host, "hi")
	if _, err := boundAt(t, host, ref.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Errorf("the Env itself: %v", err)
	}
	cc := dialFace(t, host, "")
	if _, err := sayhiv1.NewSayHiClient(cc).Hi(soon(t), &sayhiv1.HiRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a call from nowhere: %v", err)
	}
	end(t, host)
}
