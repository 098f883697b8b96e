package endpoint

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	maxHostBytes  = 253 // of a host name, without the dot that may end it (RFC 1035, 2.3.4)
	maxLabelBytes = 63
	maxPort       = 65535

	digits = "0123456789"

	portProblem = "the port must be a decimal number from 1 to 65535, without sign or leading zeros"
)

// Address is where an Env listens: a host and a port. It is a plain value; the zero Address means none.
//
// The host has one normal form, so that two Addresses are == exactly if their texts are: host names are lower-case, and IPv6
// addresses are in brackets and written as RFC 5952 says. Nothing is resolved, so a name and the IP address that it stands
// for are different Addresses, and so are an IPv4 address and its IPv4-mapped IPv6 form.
type Address struct {
	host string
	port uint16
}

// ParseAddress returns the Address that s, HOST:PORT, stands for. HOST is a host name, an IPv4 address, or an IPv6 address in
// brackets and without a zone, which would have a meaning on one machine only. A host name has at most 253 bytes, in labels of
// 1 to 63 ASCII letters, digits, "-" and "_"; an internationalised one must be given in punycode. PORT is 1 to 65535
// without leading zeros. The error wraps ErrInvalid and quotes s.
func ParseAddress(s string) (Address, error) {
	a, reason := parseAddress(s)
	if reason != "" {
		return Address{}, newInvalidError("address", s, reason)
	}
	return a, nil
}

// NewAddress returns the Address of a host and a port, which obey the rules of ParseAddress, except that the brackets of an
// IPv6 address may be left out. The error wraps ErrInvalid and quotes host:port.
func NewAddress(host string, port int) (Address, error) {
	canonical, reason := canonicalHost(host)
	if reason == "" && (port < 1 || port > maxPort) {
		reason = portProblem
	}
	if reason != "" {
		return Address{}, newInvalidError("address", host+":"+strconv.Itoa(port), reason)
	}
	return Address{host: canonical, port: uint16(port)}, nil
}

// Host returns the host, an IPv6 address in brackets; "" for the zero Address.
func (a Address) Host() string { return a.host }

// Port returns the port, 1 to 65535; 0 for the zero Address.
func (a Address) Port() int { return int(a.port) }

// IsZero reports whether a is the zero Address, which means none.
func (a Address) IsZero() bool { return a == Address{} }

// String returns HOST:PORT, which ParseAddress takes back and a dialler understands; "" for the zero Address.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return a.host + ":" + strconv.Itoa(int(a.port))
}

// parseAddress returns the Address, or what is wrong with s.
func parseAddress(s string) (a Address, reason string) {
	// The last colon, as a port has none: whatever else is wrong with s is then found in the host or in the port.
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.HasSuffix(s, "]") {
		return Address{}, "the port is missing"
	}
	host, port := s[:colon], s[colon+1:]
	bracketed := strings.HasPrefix(host, "[")
	host, reason = canonicalHost(host)
	if reason != "" {
		return Address{}, reason
	}
	if !bracketed && strings.HasPrefix(host, "[") {
		return Address{}, "an IPv6 address must be in brackets"
	}
	if port == "" {
		return Address{}, "the port is missing"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port[0] == '0' {
		return Address{}, portProblem
	}
	return Address{host: host, port: uint16(n)}, ""
}

// normalAddress returns the normal form of s, HOST:PORT, or what is wrong with it. What is in normal form is returned itself: the Refs of a million endpoints
// share the text of their Env's address.
func normalAddress(s string) (normal, reason string) {
	a, reason := parseAddress(s)
	if reason != "" {
		return "", reason
	}
	if s[:strings.LastIndexByte(s, ':')] == a.host { // a port has no other form
		return s, ""
	}
	return a.String(), ""
}

// canonicalHost returns the normal form of a host, or what is wrong with it. The brackets of an IPv6 address are optional.
func canonicalHost(host string) (canonical, reason string) {
	if strings.ContainsAny(host, ":[]") {
		return canonicalIPv6(host)
	}
	if host == "" || strings.IndexByte(digits, host[len(host)-1]) < 0 { // no IP address; to be told so by an error takes memory
		return canonicalName(host)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		var normal [len("255.255.255.255")]byte
		if string(ip.AppendTo(normal[:0])) == host {
			return host, ""
		}
		return ip.String(), ""
	}
	return canonicalName(host)
}

func canonicalName(host string) (canonical, reason string) {
	if reason := hostNameProblem(host); reason != "" {
		return "", reason
	}
	return strings.ToLower(host), ""
}

func canonicalIPv6(host string) (canonical, reason string) {
	inner := host
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		inner = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || !ip.Is6() {
		return "", "the host has a colon or a bracket and is not an IPv6 address"
	}
	if ip.Zone() != "" {
		return "", "an IPv6 zone has a meaning on one machine only"
	}
	return "[" + ip.String() + "]", ""
}

// hostNameProblem returns what is wrong with a host that is not an IP address, or "". The rules are those of RFC 1123, and the
// underscore, which container networks use.
func hostNameProblem(host string) string {
	if host == "" {
		return "the host is missing"
	}
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxHostBytes {
		return fmt.Sprintf("the host has %d bytes, and at most %d are allowed", len(name), maxHostBytes)
	}
	for _, r := range name {
		if r > '\x7f' {
			return "the host is not ASCII; an internationalised name must be given in punycode"
		}
		if !isLetterOrDigit(r) && r != '-' && r != '.' && r != '_' {
			return fmt.Sprintf(`the host has %q, and only letters, digits, "-", "." and "_" are allowed`, r)
		}
	}
	last := strings.LastIndexByte(name, '.')
	if last >= 0 && strings.Trim(name[last+1:], digits) == "" && name[last+1:] != "" {
		return "the host ends in a number and is not an IPv4 address"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelBytes || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Sprintf(`the host has the label %q; a label has 1 to %d bytes and no "-" at its ends`, label, maxLabelBytes)
		}
	}
	return ""
}
