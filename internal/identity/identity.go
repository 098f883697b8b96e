// Package identity says who a peer is, by what its carrier has authenticated. All that asks for a principal asks here, so that
// the right to a session, what handlers see, and what a policy decides on cannot differ.
package identity

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// InProcess is the AuthInfo of who is in the same Env: nobody can listen in. No carrier can have it, whatever its credentials say of
// themselves (those of grpc-go for local connections have the same AuthType).
type InProcess struct{}

// AuthType implements credentials.AuthInfo.
func (InProcess) AuthType() string { return "local" }

// GetCommonAuthInfo implements what grpc-go looks for.
func (InProcess) GetCommonAuthInfo() credentials.CommonAuthInfo {
	return credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
}

// IsLocal reports whether p is in the same Env.
func IsLocal(p *peer.Peer) bool {
	if p == nil {
		return false
	}
	_, is := p.AuthInfo.(InProcess)
	return is
}

// Principal returns the name of who is at the other end of ctx: the first one of Names, or "".
func Principal(ctx context.Context) string {
	p, _ := peer.FromContext(ctx)
	if names := Names(p); len(names) > 0 {
		return names[0]
	}
	return ""
}

// Names returns the names in the certificate of p, of the most telling kind that it has: its URIs, a SPIFFE id first; else its DNS names; else
// its emails, IP addresses and subject, or its key where it has none of these, so that no certificate counts as none. It returns nil if there
// is no certificate, or none that crypto/tls has verified.
func Names(p *peer.Peer) []string {
	if p == nil {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	certificate := info.State.PeerCertificates[0]
	var names []string
	if info.SPIFFEID != nil {
		names = append(names, info.SPIFFEID.String())
	}
	for _, uri := range certificate.URIs {
		if name := uri.String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return names
	}
	if len(certificate.DNSNames) > 0 {
		return certificate.DNSNames
	}
	names = append(names, certificate.EmailAddresses...)
	for _, ip := range certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if subject := certificate.Subject.String(); subject != "" {
		names = append(names, subject)
	}
	if len(names) == 0 {
		names = append(names, fmt.Sprintf("key %x", sha256.Sum256(certificate.RawSubjectPublicKeyInfo)))
	}
	return names
}

// IsTLS reports whether p has come by TLS, with a certificate or without.
func IsTLS(p *peer.Peer) bool {
	if p == nil {
		return false
	}
	_, is := p.AuthInfo.(credentials.TLSInfo)
	return is
}

// Host returns the host of a remote address, as those without a principal are told apart: of an IPv6 address the first 64 bits, since whoever
// has one has all of these. An address of another kind is returned as it is.
func Host(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}
