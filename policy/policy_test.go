package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/identity"
)

func parsed(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// from returns the context of a message whose sender has shown that certificate.
func from(c *x509.Certificate, md ...string) context.Context {
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs(md...))
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}},
	}}})
}

func named(dns ...string) *x509.Certificate { return &x509.Certificate{DNSNames: dns} }

const method = "/sayhi.v1.SayHi/Hi"

// TestDecisions: what a policy allows and denies.
func TestDecisions(t *testing.T) {
	id := &url.URL{Scheme: "spiffe", Host: "x", Path: "/y"}
	local := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: identity.InProcess{}})
	noCertificate := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{}})
	unverified := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{named("a")}}}})
	const anybody = `{"name": "anybody"}`
	principals := func(list string) string { return `{"name": "r", "source": {"principals": [` + list + `]}}` }
	request := func(list string) string { return `{"name": "r", "request": {` + list + `}}` }
	for _, test := range []struct {
		name        string
		deny, allow string // rules
		ctx         context.Context
		path, to    string
		allowed     bool
	}{
		{"anybody", "", anybody, t.Context(), method, "hi", true},
		{"deny comes first", anybody, anybody, from(named("a")), method, "hi", false},

		{"a principal", "", principals(`"a"`), from(named("a")), method, "hi", true},
		{"another principal", "", principals(`"a"`), from(named("b")), method, "hi", false},
		{"one of several names", "", principals(`"b"`), from(named("a", "b")), method, "hi", true},
		{"one of several principals", "", principals(`"b", "a"`), from(named("a")), method, "hi", true},
		{"another case", "", principals(`"A"`), from(named("a")), method, "hi", false},
		{"a prefix", "", principals(`"spiffe://x/*"`), from(&x509.Certificate{URIs: []*url.URL{id}}), method, "hi", true},
		{"a prefix of something else", "", principals(`"spiffe://x/*"`), from(named("not.spiffe://x/")), method, "hi", false},
		{"a suffix", "", principals(`"*.example.org"`), from(named("a.example.org")), method, "hi", true},
		{"not a suffix", "", principals(`"*.example.org"`), from(named("example.org")), method, "hi", false},
		{"a DNS name beside a URI", "", principals(`"a"`), from(&x509.Certificate{URIs: []*url.URL{id}, DNSNames: []string{"a"}}), method, "hi", false},
		{"a subject", "", principals(`"CN=a"`), from(&x509.Certificate{Subject: pkix.Name{CommonName: "a"}}), method, "hi", true},
		{"a subject beside an email", "", principals(`"CN=a"`), from(&x509.Certificate{EmailAddresses: []string{"e@x"}, Subject: pkix.Name{CommonName: "a"}}), method, "hi", true},
		{"anybody with a certificate", "", principals(`"*"`), from(named("a")), method, "hi", true},
		{"nobody is not anybody", "", principals(`"*"`), noCertificate, method, "hi", false},
		{"nobody, over TLS", "", principals(`""`), noCertificate, method, "hi", true},
		{"nobody, over plaintext", "", principals(`"", "*"`), t.Context(), method, "hi", false},
		{"a certificate that nobody has verified", "", principals(`"a"`), unverified, method, "hi", false},
		{"somebody is not nobody", "", principals(`""`), from(named("a")), method, "hi", false},
		{"no principals", "", `{"name": "r", "source": {"principals": []}}`, t.Context(), method, "hi", true},

		{"this Env", "", principals(`"local"`), local, method, "hi", true},
		{"this Env is not anybody with a certificate", "", principals(`"*", "l*", "*l", ""`), local, method, "hi", false},
		{"nobody has the name of this Env", "", principals(`"local"`), from(named("local")), method, "hi", false},
		{"without a certificate, neither", "", principals(`"local"`), noCertificate, method, "hi", false},
		{"this Env is anybody", "", anybody, local, method, "hi", true},

		{"a path", "", request(`"paths": ["` + method + `"]`), t.Context(), method, "hi", true},
		{"another path", "", request(`"paths": ["` + method + `"]`), t.Context(), method + "s", "hi", false},
		{"a path in another case", "", request(`"paths": ["` + method + `"]`), t.Context(), strings.ToLower(method), "hi", false},
		{"a service", "", request(`"paths": ["/sayhi.v1.SayHi/*"]`), t.Context(), method, "hi", true},
		{"a method of any service", "", request(`"paths": ["*/Hi"]`), t.Context(), method, "hi", true},
		{"an endpoint", "", request(`"endpoints": ["hi"]`), t.Context(), method, "hi", true},
		{"another endpoint", "", request(`"endpoints": ["hi"]`), t.Context(), method, "hi2", false},
		{"an endpoint in another case", "", request(`"endpoints": ["hi"]`), t.Context(), method, "Hi", false},
		{"endpoints by prefix", "", request(`"endpoints": ["hi-*"]`), t.Context(), method, "hi-2", true},
		{"endpoints by suffix", "", request(`"endpoints": ["*-hi"]`), t.Context(), method, "2-hi", true},
		{"any endpoint", "", request(`"endpoints": ["*"]`), t.Context(), method, "hi", true},
		{"no endpoint", "", request(`"endpoints": ["*"]`), t.Context(), method, "", false},
		{"endpoint and path", "", request(`"endpoints": ["hi"], "paths": ["/x/y"]`), t.Context(), method, "hi", false},

		{"a header", "", request(`"headers": [{"key": "Role", "values": ["a", "b"]}]`), from(named("a"), "role", "b"), method, "hi", true},
		{"another value", "", request(`"headers": [{"key": "role", "values": ["a"]}]`), from(named("a"), "role", "A"), method, "hi", false},
		{"no header", "", request(`"headers": [{"key": "role", "values": ["*"]}]`), from(named("a")), method, "hi", false},
		{"an empty header", "", request(`"headers": [{"key": "role", "values": ["*"]}]`), from(named("a"), "role", ""), method, "hi", false},
		{"all headers", "", request(`"headers": [{"key": "k", "values": ["1"]}, {"key": "l", "values": ["2"]}]`), from(named("a"), "k", "1", "l", "2"), method, "hi", true},
		{"one header of two", "", request(`"headers": [{"key": "k", "values": ["1"]}, {"key": "l", "values": ["2"]}]`), from(named("a"), "k", "1"), method, "hi", false},
		{"a second value is not allowed", "", request(`"headers": [{"key": "role", "values": ["a"]}]`), from(named("a"), "role", "a", "role", "b"), method, "hi", false},
		{"values are joined", "", request(`"headers": [{"key": "role", "values": ["a,b"]}]`), from(named("a"), "role", "a", "role", "b"), method, "hi", true},
		{"a second value is denied", request(`"headers": [{"key": "role", "values": ["guest"]}]`), anybody, from(named("a"), "role", "guest", "role", "x"), method, "hi", false},
		{"a binary header", request(`"headers": [{"key": "role-bin", "values": ["*"]}]`), anybody, from(named("a"), "role-bin", "a\nb"), method, "hi", false},

		{"a denied endpoint", request(`"endpoints": ["admin"]`), anybody, local, method, "admin", false},
		{"beside a denied endpoint", request(`"endpoints": ["admin"]`), anybody, local, method, "hi", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := parsed(t, `{"name": "p", "deny_rules": [`+test.deny+`], "allow_rules": [`+test.allow+`]}`)
			err := p.check(test.ctx, test.path, test.to)
			if allowed := err == nil; allowed != test.allowed || !allowed && status.Code(err) != codes.PermissionDenied {
				t.Errorf("%v, want that it is allowed: %t", err, test.allowed)
			}
		})
	}
	if err := new(Policy).check(local, method, "hi"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the zero Policy: %v", err)
	}
}

// TestDeniedSaysNothingOfThePolicy: an error names what the caller knows, and is the same for every reason.
func TestDeniedSaysNothingOfThePolicy(t *testing.T) {
	p := parsed(t, `{"name": "secret", "deny_rules": [{"name": "secret", "source": {"principals": ["a"]}}], "allow_rules": [{"name": "secret", "source": {"principals": ["c"]}}]}`)
	messages := map[string]string{}
	for _, who := range []string{"a", "b"} {
		err := p.check(from(named(who)), method, "hi")
		message := status.Convert(err).Message()
		for _, has := range []string{`"` + who + `"`, method, `"hi"`} {
			if !strings.Contains(message, has) {
				t.Errorf("%q does not have %s", message, has)
			}
		}
		if strings.Contains(message, "secret") {
			t.Errorf("%q tells of the policy", message)
		}
		messages[strings.Replace(message, `"`+who+`"`, "X", 1)] = who
	}
	if len(messages) != 1 {
		t.Errorf("the messages differ: %q", messages)
	}
	if message := status.Convert(p.check(from(named(strings.Repeat("x", 1<<20))), strings.Repeat("y", 1<<20), "hi")).Message(); len(message) > 1000 {
		t.Errorf("%d bytes of message", len(message))
	}
	if message := status.Convert(p.check(t.Context(), method, "")).Message(); !strings.Contains(message, "without a principal") {
		t.Errorf("%q", message)
	}
}

// stream is a grpc.ServerStream of which only the context is used.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }

// TestInterceptors: both run what they are around where the policy allows it, and only there; so does Relay with the name of the Ref.
func TestInterceptors(t *testing.T) {
	p := parsed(t, `{"name": "p", "deny_rules": [{"name": "d", "request": {"endpoints": ["admin"]}}],
		"allow_rules": [{"name": "a", "source": {"principals": ["a"]}, "request": {"paths": ["`+method+`"]}}]}`)
	for who, want := range map[string]codes.Code{"a": codes.OK, "b": codes.PermissionDenied} {
		ran := 0
		reply, err := p.Unary()(from(named(who)), "request", &grpc.UnaryServerInfo{FullMethod: method}, func(_ context.Context, req any) (any, error) {
			ran++
			return req, nil
		})
		if status.Code(err) != want || (err == nil) != (reply == "request") {
			t.Errorf("unary by %s: %v, %v", who, reply, err)
		}
		err = p.Stream()(nil, stream{ctx: from(named(who))}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
			ran++
			return nil
		})
		if status.Code(err) != want {
			t.Errorf("stream by %s: %v", who, err)
		}
		if wanted := map[codes.Code]int{codes.OK: 2}[want]; ran != wanted {
			t.Errorf("handlers ran %d times for %s", ran, who)
		}
	}
	for name, want := range map[string]codes.Code{"hi": codes.OK, "admin": codes.PermissionDenied} {
		to, err := endpoint.NewClientRef(name, "0192f0c1-2b6e-7c3a-8d4e-5f6a7b8c9d0e")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Relay(from(named("a")), method, to); status.Code(err) != want {
			t.Errorf("relayed to %s: %v", name, err)
		}
	}
}
