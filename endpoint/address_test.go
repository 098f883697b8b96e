package endpoint_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
)

const envID = "0198f3a2-7c44-7d10-9a5e-3f2b6c1d8e90"

// TestSemanticsD has the cases D1 to D12 of Spark's address suites, with the schemes of Parley.
func TestSemanticsD(t *testing.T) {
	newAddress := func(t *testing.T, host string, port int) endpoint.Address {
		t.Helper()
		a, err := endpoint.NewAddress(host, port)
		if err != nil {
			t.Fatalf("NewAddress(%q, %d): %v", host, port, err)
		}
		return a
	}
	wantAddress := func(t *testing.T, a endpoint.Address, host string, port int, text string) {
		t.Helper()
		if a.Host() != host || a.Port() != port || a.String() != text {
			t.Errorf("got host %q, port %d, text %q; want %q, %d, %q", a.Host(), a.Port(), a.String(), host, port, text)
		}
	}
	parseRef := func(t *testing.T, uri string) endpoint.Ref {
		t.Helper()
		ref, err := endpoint.ParseRef(uri)
		if err != nil {
			t.Fatalf("ParseRef(%q): %v", uri, err)
		}
		return ref
	}
	wantURI := func(t *testing.T, name string, a endpoint.Address, uri string) {
		t.Helper()
		ref, err := endpoint.NewRef(name, a.String())
		if err != nil {
			t.Fatalf("NewRef(%q, %q): %v", name, a, err)
		}
		if ref.String() != uri {
			t.Errorf("got %q, want %q", ref, uri)
		}
	}
	wantRejected := func(t *testing.T, uri string) {
		t.Helper()
		_, err := endpoint.ParseRef(uri)
		checkInvalid(t, err, "URI", uri)
	}

	t.Run("D1 hostPort", func(t *testing.T) {
		wantAddress(t, newAddress(t, "1.2.3.4", 1234), "1.2.3.4", 1234, "1.2.3.4:1234")
	})
	t.Run("D2 from URI", func(t *testing.T) {
		ref := parseRef(t, "parley://test@1.2.3.4:1234")
		if ref.Name() != "test" || ref.Address() != "1.2.3.4:1234" || ref.EnvID() != "" || ref.Via() != "" {
			t.Errorf("got %+v", ref.Proto())
		}
	})
	t.Run("D3 from URI with a typo", func(t *testing.T) {
		wantRejected(t, "parley://test@1.2. 3.4:1234")
	})
	t.Run("D4 from URI with an invalid scheme", func(t *testing.T) {
		wantRejected(t, "invalid://test@1.2.3.4:1234")
	})
	t.Run("D5 to URI", func(t *testing.T) {
		wantURI(t, "test", newAddress(t, "1.2.3.4", 1234), "parley://test@1.2.3.4:1234")
	})
	t.Run("D6 IPv6 hostPort", func(t *testing.T) {
		wantAddress(t, newAddress(t, "::1", 1234), "[::1]", 1234, "[::1]:1234")
		wantAddress(t, newAddress(t, "[::1]", 1234), "[::1]", 1234, "[::1]:1234")
	})
	t.Run("D7 IPv6 from URI", func(t *testing.T) {
		ref := parseRef(t, "parley://test@[::1]:1234")
		a, err := endpoint.ParseAddress(ref.Address())
		if err != nil {
			t.Fatal(err)
		}
		wantAddress(t, a, "[::1]", 1234, "[::1]:1234")
	})
	t.Run("D8 IPv6 to URI", func(t *testing.T) {
		wantURI(t, "test", newAddress(t, "::1", 1234), "parley://test@[::1]:1234")
	})
	t.Run("D9 IPv6 zeros in the middle", func(t *testing.T) {
		wantURI(t, "test", newAddress(t, "::0:1", 1234), "parley://test@[::1]:1234")
	})
	t.Run("D10 IPv6 zeros at the end", func(t *testing.T) {
		wantURI(t, "test", newAddress(t, "2600::", 1234), "parley://test@[2600::]:1234")
		wantURI(t, "test", newAddress(t, "2600:0:0:0:0:0:0:0", 1234), "parley://test@[2600::]:1234")
	})
	t.Run("D11 Ref to string", func(t *testing.T) {
		wantURI(t, "test", newAddress(t, "localhost", 12345), "parley://test@localhost:12345")
	})
	t.Run("D12 Ref to string in client mode", func(t *testing.T) {
		ref, err := endpoint.NewClientRef("test", envID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ref.String(), "parley-client://test@"+envID; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if ref.Address() != "" || ref.EnvID() != envID {
			t.Errorf("got address %q and Env id %q", ref.Address(), ref.EnvID())
		}
	})
}

func TestParseAddressNormalises(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	longest := strings.Join([]string{label63, label63, label63, label63[:61]}, ".") // 253 bytes
	for _, tc := range []struct{ in, want string }{
		{"LocalHost:1", "localhost:1"},
		{"a:65535", "a:65535"},
		{"my_service.my-net:80", "my_service.my-net:80"},
		{"example.com.:80", "example.com.:80"},
		{"xn--bcher-kva.example:80", "xn--bcher-kva.example:80"},
		{"123456789012:80", "123456789012:80"}, // a container's id
		{"1e100.net:80", "1e100.net:80"},
		{"0.0.0.0:80", "0.0.0.0:80"},
		{"[::]:80", "[::]:80"},
		{"[2001:0DB8::0:1]:80", "[2001:db8::1]:80"},
		{"[2001:db8:0:0:1:0:0:1]:80", "[2001:db8::1:0:0:1]:80"},
		{"[2001:db8:0:1:1:1:1:1]:80", "[2001:db8:0:1:1:1:1:1]:80"}, // one zero field is not shortened
		{"[::ffff:102:304]:80", "[::ffff:1.2.3.4]:80"},
		{longest + ":80", longest + ":80"},
		{longest + ".:80", longest + ".:80"},
	} {
		a, err := endpoint.ParseAddress(tc.in)
		if err != nil {
			t.Errorf("ParseAddress(%q): %v", tc.in, err)
			continue
		}
		if a.String() != tc.want {
			t.Errorf("ParseAddress(%q) = %q, want %q", tc.in, a, tc.want)
		}
		again, err := endpoint.ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("ParseAddress(%q) = %v, %v; want it unchanged", a.String(), again, err)
		}
		built, err := endpoint.NewAddress(a.Host(), a.Port())
		if err != nil || built != a {
			t.Errorf("NewAddress(%q, %d) = %v, %v; want %v", a.Host(), a.Port(), built, err, a)
		}
	}
}

// badAddresses is what must be rejected, with a part of the reason.
var badAddresses = []struct{ name, text, reason string }{
	{"empty", "", "port is missing"},
	{"no port", "localhost", "port is missing"},
	{"no port after colon", "localhost:", "port is missing"},
	{"no host", ":80", "host is missing"},
	{"only a colon", ":", "host is missing"},
	{"only a dot", ".:80", "label"},
	{"port 0", "localhost:0", "port must be"},
	{"port 65536", "localhost:65536", "port must be"},
	{"port beyond 64 bits", "localhost:99999999999999999999", "port must be"},
	{"port with plus", "localhost:+80", "port must be"},
	{"port with minus", "localhost:-80", "port must be"},
	{"port with leading zero", "localhost:080", "port must be"},
	{"port of zeros", "localhost:00", "port must be"},
	{"port in hexadecimal", "localhost:0x50", "port must be"},
	{"port by name", "localhost:http", "port must be"},
	{"port with digits of another script", "localhost:٨٠", "port must be"},
	{"space before", " localhost:80", "' '"},
	{"space after", "localhost:80 ", "port must be"},
	{"space within", "1.2. 3.4:80", "' '"},
	{"tab", "local\thost:80", `'\t'`},
	{"line end", "localhost:80\n", "port must be"},
	{"NUL", "local\x00host:80", `'\x00'`},
	{"user-info", "user@localhost:80", "'@'"},
	{"user-info with password", "user:secret@localhost:80", "colon"},
	{"scheme", "http://localhost:80", "colon"},
	{"path", "localhost:80/path", "port must be"},
	{"query", "localhost:80?q", "port must be"},
	{"fragment", "localhost:80#f", "port must be"},
	{"percent-encoding", "local%68ost:80", "'%'"},
	{"IPv6 without brackets", "::1:80", "brackets"},
	{"full IPv6 without brackets", "1:2:3:4:5:6:7:8:80", "brackets"},
	{"IPv6 without brackets or port", "::1", "colon"},
	{"IPv6 without port", "[::1]", "port is missing"},
	{"IPv6 with nothing between bracket and port", "[::1]80", "bracket"},
	{"IPv6 with the bracket open", "[::1:80", "bracket"},
	{"IPv6 with the bracket closed only", "::1]:80", "bracket"},
	{"IPv6 in two pairs of brackets", "[[::1]]:80", "bracket"},
	{"IPv6 zone", "[fe80::1%eth0]:80", "zone"},
	{"IPv6 zone, percent-encoded", "[fe80::1%25eth0]:80", "zone"},
	{"IPv6 empty zone", "[fe80::1%]:80", "bracket"},
	{"IPv6 with too many fields", "[1:2:3:4:5:6:7:8:9]:80", "bracket"},
	{"IPv4 in brackets", "[1.2.3.4]:80", "bracket"},
	{"host name in brackets", "[localhost]:80", "bracket"},
	{"empty brackets", "[]:80", "bracket"},
	{"IPv4 field above 255", "1.2.3.256:80", "IPv4"},
	{"IPv4 with three fields", "1.2.3:80", "IPv4"},
	{"IPv4 with leading zeros", "1.2.3.04:80", "IPv4"},
	{"IPv4 with a dot at the end", "1.2.3.4.:80", "IPv4"},
	{"non-ASCII host", "bücher.example:80", "punycode"},
	{"full-width letter", "\uFF4Cocalhost:80", "punycode"},
	{"letter that is ASCII in lower case", "\u212Aelvin.example:80", "punycode"}, // the Kelvin sign
	{"invalid UTF-8", "a\xff:80", "punycode"},
	{"empty label", "a..b:80", "label"},
	{"dot first", ".a:80", "label"},
	{"hyphen first", "-a.b:80", "label"},
	{"hyphen last in a label", "a-.b:80", "label"},
	{"label of 64 bytes", strings.Repeat("a", 64) + ":80", "label"},
	{"host of 254 bytes", strings.Repeat("a.", 126) + "ab:80", "254"},
	{"other character", "a,b:80", "','"},
	{"10 kB host", strings.Repeat("a", 10_000) + ":80", "10000"},
	{"10 kB port", "a:" + strings.Repeat("8", 10_000), "port must be"},
}

func TestParseAddressRejects(t *testing.T) {
	for _, tc := range badAddresses {
		t.Run(tc.name, func(t *testing.T) {
			a, err := endpoint.ParseAddress(tc.text)
			checkInvalid(t, err, "address", tc.text)
			checkReason(t, err, tc.reason)
			if !a.IsZero() {
				t.Errorf("got the Address %q with the error", a)
			}
		})
	}
}

func TestNewAddressRejects(t *testing.T) {
	for _, tc := range []struct {
		host   string
		port   int
		reason string
	}{
		{"", 80, "host is missing"},
		{"localhost", 0, "port must be"},
		{"localhost", -1, "port must be"},
		{"localhost", 65536, "port must be"},
		{"localhost", 1<<32 + 80, "port must be"},
		{"localhost:80", 80, "colon"},
		{"[::1]:80", 80, "colon"},
		{"[::1", 80, "bracket"},
		{"fe80::1%eth0", 80, "zone"},
		{"1.2.3.4 ", 80, "' '"},
		{"[1.2.3.4]", 80, "bracket"},
	} {
		a, err := endpoint.NewAddress(tc.host, tc.port)
		checkInvalid(t, err, "address", fmt.Sprintf("%s:%d", tc.host, tc.port))
		checkReason(t, err, tc.reason)
		if !a.IsZero() {
			t.Errorf("NewAddress(%q, %d): got the Address %q with the error", tc.host, tc.port, a)
		}
	}
}

func TestZeroAddress(t *testing.T) {
	var a endpoint.Address
	if !a.IsZero() || a.Host() != "" || a.Port() != 0 || a.String() != "" {
		t.Errorf("got host %q, port %d, text %q, IsZero %t", a.Host(), a.Port(), a.String(), a.IsZero())
	}
	b, err := endpoint.ParseAddress("a:1")
	if err != nil {
		t.Fatal(err)
	}
	if b.IsZero() {
		t.Errorf("%q is zero", b)
	}
}

// TestIPv6SpellingsAreEqual writes random IPv6 addresses in several ways; all must be one Address.
func TestIPv6SpellingsAreEqual(t *testing.T) {
	random := newRandom(t)
	for range 2_000 {
		var b [16]byte
		for i := range b {
			if random.IntN(2) == 0 { // zeros are what spellings differ in
				b[i] = byte(random.Uint32())
			}
		}
		ip := netip.AddrFrom16(b)
		port := 1 + random.IntN(65535)
		want, err := endpoint.NewAddress(ip.String(), port)
		if err != nil {
			t.Fatalf("NewAddress(%q, %d): %v", ip, port, err)
		}
		if want.String() != netip.AddrPortFrom(ip, uint16(port)).String() {
			t.Errorf("got %q, want the text of %v", want, netip.AddrPortFrom(ip, uint16(port)))
		}
		short := make([]string, 8)
		for i := range short {
			short[i] = fmt.Sprintf("%x", uint16(b[2*i])<<8|uint16(b[2*i+1]))
		}
		full := ip.StringExpanded()
		for _, host := range []string{full, strings.ToUpper(full), strings.Join(short, ":"), strings.ToUpper(ip.String())} {
			text := fmt.Sprintf("[%s]:%d", host, port)
			if got, err := endpoint.ParseAddress(text); err != nil || got != want {
				t.Errorf("ParseAddress(%q) = %v, %v; want %v", text, got, err, want)
			}
		}
	}
}

// newRandom returns a source whose seed is printed if the test fails.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// checkInvalid requires that err rejects text as a kind of thing, is ErrInvalid and nothing else, and shows the text in
// one printable line of bounded length.
func checkInvalid(t *testing.T, err error, what, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("%s %.300q was accepted", what, text)
	}
	if !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("errors.Is(err, ErrInvalid) does not hold for %v", err)
	}
	if errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("errors.Is(err, ErrDuplicate) holds for %v", err)
	}
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	if prefix := fmt.Sprintf("parley: invalid %s %q: ", what, text); !strings.HasPrefix(err.Error(), prefix) {
		t.Errorf("got the error\n%s\nwant one that begins\n%s", err, prefix)
	}
	if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r == '\x7f' }); i >= 0 {
		t.Errorf("the error has a control character at byte %d: %q", i, err)
	}
	if len(err.Error()) > 2_000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func checkReason(t *testing.T, err error, reason string) {
	t.Helper()
	if _, got, _ := strings.Cut(err.Error(), `": `); !strings.Contains(got, reason) {
		t.Errorf("got the reason %q, want one with %q", got, reason)
	}
}
