// Package tlstest issues certificates to tests of TLS.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"time"

	"google.golang.org/grpc/credentials"
)

// Authority is a certificate authority. It lives in memory, and its certificates for an hour.
type Authority struct {
	// Pool has the certificate of the authority.
	Pool *x509.CertPool

	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns an authority. It panics where there is no randomness, as do its methods.
func NewAuthority() *Authority {
	a := &Authority{Pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.root = template
	certificate := a.sign(template)
	a.key = certificate.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	if a.root, err = x509.ParseCertificate(certificate.Certificate[0]); err != nil {
		panic(err)
	}
	a.Pool.AddCert(a.root)
	return a
}

// sign returns a certificate with a key of its own, signed by that of a, or by itself if a has none yet.
func (a *Authority) sign(template *x509.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, &key.PublicKey, signer)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Principal returns that of the certificates that Issue returns.
func Principal(name string) string { return "spiffe://test/" + name }

// Issue returns a certificate for a client, or a server at localhost, with that name.
func (a *Authority) Issue(name string) tls.Certificate {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs:     []*url.URL{{Scheme: "spiffe", Host: "test", Path: "/" + name}},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
}

// Dialling returns the credentials of a client with that name, or without a certificate if it is empty.
func (a *Authority) Dialling(name string) credentials.TransportCredentials {
	config := &tls.Config{RootCAs: a.Pool, MinVersion: tls.VersionTLS13}
	if name != "" {
		config.Certificates = []tls.Certificate{a.Issue(name)}
	}
	return credentials.NewTLS(config)
}

// Listening returns the credentials of a server with that name, which wants certificates of its clients if auth says so.
func (a *Authority) Listening(name string, auth tls.ClientAuthType) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{a.Issue(name)}, ClientCAs: a.Pool, ClientAuth: auth, MinVersion: tls.VersionTLS13,
	})
}
