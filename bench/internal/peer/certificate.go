package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// host is where all servers listen, and what certificates are for.
const host = "127.0.0.1"

// Certificate is the certificate of a server at 127.0.0.1, with its key. It is its own authority, lives in memory, and ends after a
// day. Its methods may be called concurrently.
type Certificate struct {
	pair tls.Certificate
	pool *x509.CertPool
}

// NewCertificate makes a certificate.
func NewCertificate() (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of a certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "parley bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(host)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return newCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
}

func newCertificate(pair tls.Certificate) (*Certificate, error) {
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	c := &Certificate{pair: pair, pool: x509.NewCertPool()}
	c.pool.AddCert(leaf)
	return c, nil
}

// ServerConfig returns what a server listens with. The caller may change it.
func (c *Certificate) ServerConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.pair}, MinVersion: tls.VersionTLS13}
}

// ClientConfig returns what a client connects to that server with. The caller may change it.
func (c *Certificate) ClientConfig() *tls.Config {
	return &tls.Config{RootCAs: c.pool, ServerName: host, MinVersion: tls.VersionTLS13}
}

// MarshalText returns the certificate and its key as PEM, for the process that serves with it.
func (c *Certificate) MarshalText() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of a certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.pair.Certificate[0]})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// UnmarshalText makes c what MarshalText encoded.
func (c *Certificate) UnmarshalText(text []byte) error {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return fmt.Errorf("reading a certificate and its key: %w", err)
	}
	made, err := newCertificate(pair)
	if err != nil {
		return err
	}
	*c = *made
	return nil
}
