package semantics

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
	"github.com/parley-rpc/parley/internal/tlstest"
)

// showing returns a context whose messages show a secret.
func showing(ctx context.Context, secret string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "bearer "+secret)
}

// checked wants the secret "good".
func checked(ctx context.Context) (context.Context, error) {
	if token, err := auth.AuthFromMD(ctx, "bearer"); err != nil || token != "good" {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	}
	return ctx, nil
}

// secured is a way to keep strangers out: an Env that listens so, who may call it, and who may not.
type secured struct {
	host, friend, stranger *parley.Env
	refused                func(t *testing.T, err error)
}

// unreachable checks that err is what those get who open no session.
func unreachable(t *testing.T, err error) {
	t.Helper()
	if e := wantError(t, err, endpoint.ErrUnreachable); e.Execution != endpoint.NotExecuted {
		t.Errorf("%s, want not executed", e.Execution)
	}
}

func withSecret(t *testing.T) secured {
	caller := newEnv(t)
	return secured{
		host: listen(t, parley.WithUnaryInterceptors(auth.UnaryServerInterceptor(checked))), friend: caller, stranger: caller,
		refused: func(t *testing.T, err error) {
			t.Helper()
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("got the error %v, want Unauthenticated", err)
			}
		},
	}
}

// withCertificates lets friend, with a certificate if it has a name, call an Env whose certificate is trusted by who has that of its authority.
func withCertificates(t *testing.T, clients tls.ClientAuthType, name string) secured {
	ours, theirs := tlstest.NewAuthority(), tlstest.NewAuthority()
	return secured{
		host:     listen(t, parley.WithServerOptions(grpc.Creds(ours.Listening("host", clients)))),
		friend:   newEnv(t, parley.WithDialOptions(grpc.WithTransportCredentials(ours.Dialling(name)))),
		stranger: newEnv(t, parley.WithDialOptions(grpc.WithTransportCredentials(theirs.Dialling(name)))),
		refused:  unreachable,
	}
}

// TestSecurity: what Spark shows of its authentication, of SASL and of AES, by what gRPC has: tokens, TLS and mutual TLS.
func TestSecurity(t *testing.T) {
	for _, way := range []struct {
		send, ask string
		secured   func(t *testing.T) secured
	}{
		{"T26 send with authentication, by a token", "T29 ask with authentication, by a token", withSecret},
		{"T27 send with encryption, by TLS", "T30 ask with encryption, by TLS", func(t *testing.T) secured { return withCertificates(t, tls.NoClientCert, "") }},
		{"T28 send with encryption, by mutual TLS", "T31 ask with encryption, by mutual TLS", func(t *testing.T) secured {
			return withCertificates(t, tls.RequireAndVerifyClientCert, "caller")
		}},
	} {
		// both returns the endpoint as a friend and as a stranger see it.
		both := func(t *testing.T, w secured, p *probe) (friend, stranger parleytestv1parley.ProbeRef) {
			ref := register(t, w.host, "secured", p).Ref()
			return bind(t, w.friend, ref), bind(t, w.stranger, ref)
		}
		run(t, way.send, func(t *testing.T) {
			w, p := way.secured(t), newProbe(t)
			friend, stranger := both(t, w, p)
			// A one-way message that is refused by an interceptor is dropped and counted; one that cannot connect fails.
			if err := stranger.Echo.Send(showing(within(t), "bad"), &parleytestv1.EchoRequest{Text: "bad"}); err != nil {
				w.refused(t, err)
			}
			if err := friend.Echo.Send(showing(within(t), "good"), &parleytestv1.EchoRequest{Text: "hello"}); err != nil {
				t.Fatal(err)
			}
			p.journal.await(t, "hello")
			if n := p.journal.countOf("bad"); n != 0 {
				t.Errorf("%d messages of a stranger arrived", n)
			}
		})
		run(t, way.ask, func(t *testing.T) {
			w, p := way.secured(t), newProbe(t)
			friend, stranger := both(t, w, p)
			_, err := stranger.Echo.AskSync(showing(within(t), "bad"), &parleytestv1.EchoRequest{Text: "bad"})
			w.refused(t, err)
			r, err := friend.Echo.AskSync(showing(within(t), "good"), &parleytestv1.EchoRequest{Text: "hello"})
			if err != nil || r.GetText() != "hello" {
				t.Errorf("AskSync = %q, %v", r.GetText(), err)
			}
			if n := p.journal.countOf("bad"); n != 0 {
				t.Errorf("%d messages of a stranger arrived", n)
			}
		})
	}
}
