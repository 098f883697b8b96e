package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"time"

	"google.golang.org/grpc/credentials"
)

// authority issues certificates. It lives in memory, as do its keys: a real program would have files, or a service that renews them.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	trusted     *x509.CertPool
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := validNow()
	template.Subject = pkix.Name{CommonName: "an authority"}
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, trusted: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.trusted.AddCert(a.certificate)
	return a, nil
}

func validNow() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
}

// issue returns a certificate for spiffe://example.org/NAME, which is what its owner is called in a policy. It is good for clients, and for a
// listener at localhost.
func (a *authority) issue(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := validNow()
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/" + name}}
	template.DNSNames = []string{"localhost"}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// listening returns the credentials of a listener that only talks to clients with a certificate of a.
func (a *authority) listening(name string) (credentials.TransportCredentials, error) {
	certificate, err := a.issue(name)
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientCAs: a.trusted, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}), err
}

// dialling returns the credentials of a client with a certificate of a, which trusts the listeners that trusted has issued one for.
func (a *authority) dialling(name string, trusted *authority) (credentials.TransportCredentials, error) {
	certificate, err := a.issue(name)
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate}, RootCAs: trusted.trusted, MinVersion: tls.VersionTLS13,
	}), err
}
