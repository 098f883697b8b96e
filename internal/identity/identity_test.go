package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

func uri(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func shown(c *x509.Certificate) credentials.TLSInfo {
	return credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}, VerifiedChains: [][]*x509.Certificate{{c}}}}
}

// otherLocal is the AuthInfo of grpc-go's credentials for local connections, as far as anybody can see.
type otherLocal struct{}

func (otherLocal) AuthType() string { return "local" }

// TestNames: the kind of name that counts is the most telling one, and the first name is the principal.
func TestNames(t *testing.T) {
	all := &x509.Certificate{
		URIs: []*url.URL{uri(t, "https://a"), uri(t, "https://b")}, DNSNames: []string{"c", "d"}, EmailAddresses: []string{"e@f"},
		IPAddresses: []net.IP{net.IPv4(1, 2, 3, 4)}, Subject: pkix.Name{CommonName: "g"},
	}
	without := func(change func(c *x509.Certificate)) *x509.Certificate {
		c := *all
		change(&c)
		return &c
	}
	unverified := shown(all)
	unverified.State.VerifiedChains = nil
	spiffe := shown(without(func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "spiffe://x/y")} }))
	spiffe.SPIFFEID = uri(t, "spiffe://x/y")
	for _, test := range []struct {
		name string
		info credentials.AuthInfo
		want []string
	}{
		{"all", shown(all), []string{"https://a", "https://b"}},
		{"a SPIFFE id", spiffe, []string{"spiffe://x/y"}},
		{"no URI", shown(without(func(c *x509.Certificate) { c.URIs = nil })), []string{"c", "d"}},
		{"no DNS name", shown(without(func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, nil })), []string{"e@f", "1.2.3.4", "CN=g"}},
		{"a subject", shown(&x509.Certificate{Subject: pkix.Name{CommonName: "g"}}), []string{"CN=g"}},
		{"not verified", unverified, nil},
		{"no certificate", credentials.TLSInfo{}, nil},
		{"local", InProcess{}, nil},
		{"local credentials", otherLocal{}, nil},
		{"plaintext", nil, nil},
	} {
		p := &peer.Peer{AuthInfo: test.info}
		if got := Names(p); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		principal := ""
		if len(test.want) > 0 {
			principal = test.want[0]
		}
		if got := Principal(peer.NewContext(t.Context(), p)); got != principal {
			t.Errorf("%s: the principal is %q, want %q", test.name, got, principal)
		}
		if got, want := IsLocal(p), test.name == "local"; got != want {
			t.Errorf("%s: IsLocal says %t", test.name, got)
		}
	}
	if got := Names(&peer.Peer{AuthInfo: shown(&x509.Certificate{RawSubjectPublicKeyInfo: []byte("key")})}); len(got) != 1 || !strings.HasPrefix(got[0], "key ") {
		t.Errorf("a certificate without names: %q", got)
	}
	if Names(nil) != nil || IsLocal(nil) || IsTLS(nil) || Principal(t.Context()) != "" {
		t.Error("nobody has a name")
	}
}

// TestPrincipal: every verified certificate has one, and nothing else.
func TestPrincipal(t *testing.T) {
	id := &url.URL{Scheme: "spiffe", Host: "x", Path: "/y"}
	for _, test := range []struct {
		certificate x509.Certificate
		want        string
	}{
		{x509.Certificate{URIs: []*url.URL{id}, DNSNames: []string{"d"}}, "spiffe://x/y"},
		{x509.Certificate{DNSNames: []string{"d", "e"}, EmailAddresses: []string{"m@d"}}, "d"},
		{x509.Certificate{EmailAddresses: []string{"m@d"}, IPAddresses: []net.IP{{1, 2, 3, 4}}}, "m@d"},
		{x509.Certificate{IPAddresses: []net.IP{{1, 2, 3, 4}}, Subject: pkix.Name{CommonName: "c"}}, "1.2.3.4"},
		{x509.Certificate{Subject: pkix.Name{CommonName: "c"}}, "CN=c"},
		{x509.Certificate{RawSubjectPublicKeyInfo: []byte("k")}, "key 8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"},
	} {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{&test.certificate}}
		ctx := func() context.Context {
			return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
		}
		if got := Principal(ctx()); got != "" {
			t.Errorf("a certificate that nobody has verified stands for %q", got)
		}
		state.VerifiedChains = [][]*x509.Certificate{{&test.certificate}}
		if got := Principal(ctx()); got != test.want {
			t.Errorf("Principal = %q, want %q", got, test.want)
		}
	}
	if got := Principal(t.Context()); got != "" {
		t.Errorf("nothing stands for %q", got)
	}
}

// TestHost: a port does not make another host, nor do the last 64 bits of an IPv6 address.
func TestHost(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.1:80": "10.0.0.1", "[::ffff:10.0.0.1]:80": "10.0.0.1", "[2001:db8::1]:80": "2001:db8::/64", "[2001:db8::ffff:1]:81": "2001:db8::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "bufconn": "bufconn", "": "",
	} {
		if got := Host(remote); got != want {
			t.Errorf("Host(%q) = %q, want %q", remote, got, want)
		}
	}
}
