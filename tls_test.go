package parley_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	"github.com/parley-rpc/parley/internal/tlstest"
)

// authority is a certificate authority that starts Envs.
type authority struct {
	*tlstest.Authority
	t *testing.T
}

func newAuthority(t *testing.T) *authority { return &authority{tlstest.NewAuthority(), t} }

// client returns an Env without a listener.
func (a *authority) client(name string, opts ...parley.Option) *parley.Env {
	a.t.Helper()
	env, err := parley.New(append(opts, parley.WithDialOptions(grpc.WithTransportCredentials(a.Dialling(name))))...)
	if err != nil {
		a.t.Fatal(err)
	}
	return env
}

// listen returns an Env with a listener, which wants certificates of its clients.
func (a *authority) listen(name string, opts ...parley.Option) *parley.Env {
	a.t.Helper()
	creds := a.Listening(name, tls.RequireAndVerifyClientCert)
	env, err := parley.Listen("127.0.0.1:0", append(opts, parley.WithServerOptions(grpc.Creds(creds)), parley.WithDialOptions(grpc.WithTransportCredentials(a.Dialling(name))))...)
	if err != nil {
		a.t.Fatal(err)
	}
	return env
}

// face returns the stub of an ordinary gRPC client.
func (a *authority) face(env *parley.Env, name string) (sayhiv1.SayHiClient, *grpc.ClientConn) {
	a.t.Helper()
	cc, err := grpc.NewClient(env.Address(), grpc.WithTransportCredentials(a.Dialling(name)))
	if err != nil {
		a.t.Fatal(err)
	}
	return sayhiv1.NewSayHiClient(cc), cc
}

// whoever is an endpoint that answers with the principal that it sees.
func whoever(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	name, ok := endpoint.Principal(ctx)
	if ok != (name != "") {
		return nil, status.Error(codes.Internal, "a principal without a name")
	}
	return &sayhiv1.HiReply{Msg: name}, nil
}

func registerWhoever(t *testing.T, env *parley.Env, name string) sayhiv1parley.SayHiRef {
	t.Helper()
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, name, hiFunc(whoever))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// throughHub returns a Ref of an endpoint of a client-mode Env which has dialled hub, for those who reach it by hub.
func throughHub(t *testing.T, hub *parley.Env, ref endpoint.Ref) endpoint.Ref {
	t.Helper()
	via, err := ref.WithVia(hub.Address())
	if err != nil {
		t.Fatal(err)
	}
	return via
}

// TestPrincipal: what handlers see of who has sent a message, whichever way it came.
func TestPrincipal(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	hub, caller, behind := a.listen("hub"), a.client("caller"), a.client("behind")
	ref := registerWhoever(t, hub, "who")
	hidden := registerWhoever(t, behind, "hidden")
	if _, err := behind.LookupRef(soon(t), ref.Ref(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	plain, plainRef := hosting(t)
	registerWhoever(t, plain, "who")
	inPlain, err := endpoint.NewRef("who", plainRef.Ref().Address())
	if err != nil {
		t.Fatal(err)
	}
	unsafe := newEnv(t)
	for name, test := range map[string]struct {
		ref  sayhiv1parley.SayHiRef
		want string
	}{
		"by an address":            {boundAt(t, caller, ref.Ref()), tlstest.Principal("caller")},
		"to who has dialled":       {boundAt(t, hub, hidden.Ref()), tlstest.Principal("hub")},
		"relayed, it is the relay": {boundAt(t, caller, throughHub(t, hub, hidden.Ref())), tlstest.Principal("hub")},
		"local":                    {boundAt(t, hub, ref.Ref()), ""},
		"over plaintext":           {boundAt(t, unsafe, inPlain), ""},
	} {
		reply, err := test.ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
		if err != nil || reply.GetMsg() != test.want {
			t.Errorf("%s: %q, %v, want %q", name, reply.GetMsg(), err, test.want)
		}
	}
	stub, cc := a.face(hub, "stock")
	if reply, err := stub.Hi(soon(t), &sayhiv1.HiRequest{}); err != nil || reply.GetMsg() != tlstest.Principal("stock") {
		t.Errorf("an ordinary call: %q, %v", reply.GetMsg(), err)
	}
	if name, ok := endpoint.Principal(t.Context()); ok || name != "" {
		t.Errorf("outside of handlers: %q", name)
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	end(t, caller, unsafe, behind, hub, plain)
}

// TestMutualTLS: who has no certificate, or one of another authority, opens no session, and its messages have not been executed; nor does anybody
// trust a listener with a certificate of another authority.
func TestMutualTLS(t *testing.T) {
	leaktest.Check(t)
	a, other := newAuthority(t), newAuthority(t)
	env := a.listen("host")
	ref := registerWhoever(t, env, "who")
	stranger := a.client("")
	stranger2, err := parley.New(parley.WithDialOptions(grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: a.Pool, Certificates: []tls.Certificate{other.Issue("caller")},
	}))))
	if err != nil {
		t.Fatal(err)
	}
	distrustful, plain := other.client("caller"), newEnv(t)
	for name, caller := range map[string]*parley.Env{"no certificate": stranger, "a certificate of another authority": stranger2, "a listener of another authority": distrustful, "plaintext": plain} {
		var failed *endpoint.Error
		_, err := boundAt(t, caller, ref.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
		if !errors.As(err, &failed) || failed.Reason != endpoint.ReasonUnreachable || failed.Execution != endpoint.NotExecuted {
			t.Errorf("%s: %v, want ErrUnreachable, not executed", name, err)
		}
	}
	if n := len(env.Sessions()); n != 0 {
		t.Errorf("there are %d sessions", n)
	}
	caller := a.client("caller")
	if _, err := boundAt(t, caller, ref.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Error(err)
	}
	end(t, stranger, stranger2, distrustful, plain, caller, env)
}

// bearer is a token that is to be shown with each call, and must not be sent in plaintext.
type bearer struct {
	mu    sync.Mutex
	token string
	shown int
}

func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shown++
	return map[string]string{"authorization": "bearer " + b.token}, nil
}

func (*bearer) RequireTransportSecurity() bool { return true }

func (b *bearer) set(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = token
}

func sessionIDs(env *parley.Env) []string {
	var ids []string
	for _, s := range env.Sessions() {
		ids = append(ids, s.Peer.Session)
	}
	return ids
}

// TestTokenExpires: tokens are shown and checked for each message. One that has expired ends the calls that have it, and neither the session nor
// those beside them; not even a call that runs.
func TestTokenExpires(t *testing.T) {
	leaktest.Check(t)
	a := newAuthority(t)
	var mu sync.Mutex
	valid := map[string]bool{"alice-1": true, "bob-1": true}
	env := a.listen("host", parley.WithUnaryInterceptors(auth.UnaryServerInterceptor(func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		mu.Lock()
		defer mu.Unlock()
		if err == nil && !valid[token] {
			err = status.Error(codes.Unauthenticated, "the token has expired")
		}
		return ctx, err
	})))
	began, goOn := make(chan struct{}), make(chan struct{})
	impl := hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if r.GetMsg() == "long" {
			close(began)
			<-goOn
		}
		return &sayhiv1.HiReply{}, nil
	})
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", impl, endpoint.Concurrent(2))
	if err != nil {
		t.Fatal(err)
	}
	caller := a.client("caller")
	conn, err := caller.Conn(ref.Ref())
	if err != nil {
		t.Fatal(err)
	}
	stub := sayhiv1.NewSayHiClient(conn)
	alice, bob := &bearer{token: "alice-1"}, &bearer{token: "bob-1"}
	call := func(b *bearer, msg string) codes.Code {
		_, err := stub.Hi(soon(t), &sayhiv1.HiRequest{Msg: msg}, grpc.PerRPCCredentials(b))
		return status.Code(err)
	}
	expect := func(name string, b *bearer, want codes.Code) {
		t.Helper()
		if got := call(b, ""); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	expect("alice", alice, codes.OK)
	expect("bob", bob, codes.OK)
	before, atHost := sessionIDs(caller), sessionIDs(env)
	long := make(chan codes.Code, 1)
	go func() { long <- call(alice, "long") }()
	<-began
	mu.Lock()
	delete(valid, "alice-1")
	valid["alice-2"] = true
	mu.Unlock()
	expect("alice, whose token has expired", alice, codes.Unauthenticated)
	expect("bob, beside her", bob, codes.OK)
	if _, err := stub.Hi(soon(t), &sayhiv1.HiRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
	close(goOn)
	if got := <-long; got != codes.OK {
		t.Errorf("the call that ran when the token expired: %v", got)
	}
	alice.set("alice-2")
	expect("alice, with another token", alice, codes.OK)
	if after, atHostAfter := sessionIDs(caller), sessionIDs(env); len(before) != 1 || !slices.Equal(before, after) || !slices.Equal(atHost, atHostAfter) {
		t.Errorf("the sessions were %q and %q, and are %q and %q", before, atHost, after, atHostAfter)
	}
	if alice.shown != 4 || bob.shown != 2 {
		t.Errorf("the tokens were asked for %d and %d times for 4 and 2 calls", alice.shown, bob.shown)
	}
	end(t, caller, env)
}
