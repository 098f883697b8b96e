package endpoint_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"

func TestValidateName(t *testing.T) {
	for _, name := range []string{"a", "-", ".", "..", "~", "say-hi-service", unreserved, strings.Repeat("n", 255)} {
		if err := endpoint.ValidateName(name); err != nil {
			t.Errorf("ValidateName(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("n", 256), strings.Repeat("n", 10_000), "a\xff", "ä", "a\u200bb"} {
		checkInvalid(t, endpoint.ValidateName(name), "endpoint name", name)
	}
	for b := range 256 {
		name := "a" + string([]byte{byte(b)}) + "z"
		err := endpoint.ValidateName(name)
		if strings.IndexByte(unreserved, byte(b)) < 0 {
			checkInvalid(t, err, "endpoint name", name)
		} else if err != nil {
			t.Errorf("ValidateName(%q): %v", name, err)
		}
	}
}

func TestParseRefRejects(t *testing.T) {
	type rejection struct{ name, uri, reason string }
	rejections := []rejection{
		{"empty", "", "scheme"},
		{"no scheme", "test@localhost:80", "scheme"},
		{"other scheme", "spark://test@localhost:80", "scheme"},
		{"longer scheme", "parleys://test@localhost:80", "scheme"},
		{"scheme in upper case", "PARLEY://test@localhost:80", "scheme"},
		{"scheme without slashes", "parley:test@localhost:80", "scheme"},
		{"scheme with one slash", "parley:/test@localhost:80", "scheme"},
		{"scheme with three slashes", "parley:///test@localhost:80", "path"},
		{"space first", " parley://test@localhost:80", "scheme"},
		{"line end last", "parley://test@localhost:80\n", "port must be"},
		{"scheme only", "parley://", "name"},
		{"@ only", "parley://@", "name is empty"},
		{"no name", "parley://@localhost:80", "name is empty"},
		{"no name and no @", "parley://localhost:80", `"@"`},
		{"no place", "parley://test@", "port is missing"},
		{"user-info", "parley://user:secret@localhost:80", "':'"},
		{"user-info before the name", "parley://user@test@localhost:80", `one "@"`},
		{"@ last", "parley://test@localhost:80@", `one "@"`},
		{"slash last", "parley://test@localhost:80/", "path"},
		{"path", "parley://test@localhost:80/path", "path"},
		{"path before the place", "parley://test/path@localhost:80", "path"},
		{"query", "parley://test@localhost:80?via=a:1", "query"},
		{"fragment", "parley://test@localhost:80#f", "fragment"},
		{"empty fragment", "parley://test@localhost:80#", "fragment"},
		{"percent-encoded name", "parley://te%73t@localhost:80", "'%'"},
		{"space in the name", "parley://te st@localhost:80", "' '"},
		{"NUL in the name", "parley://te\x00st@localhost:80", `'\x00'`},
		{"non-ASCII name", "parley://tést@localhost:80", "'é'"},
		{"name of 256 bytes", "parley://" + strings.Repeat("n", 256) + "@localhost:80", "256"},
		{"10 kB name", "parley://" + strings.Repeat("n", 10_000) + "@localhost:80", "10000"},
		{"10 kB of NUL", "parley://" + strings.Repeat("\x00", 10_000) + "@localhost:80", "10000"},
		{"address with the client scheme", "parley-client://test@localhost:80", "uuid"},
		{"Env id with the address scheme", "parley://test@" + envID, "port is missing"},
		{"client, no place", "parley-client://test", `"@"`},
		{"client, no name", "parley-client://@" + envID, "name is empty"},
		{"client, empty Env id", "parley-client://test@", "uuid"},
		{"client, Env id with a port", "parley-client://test@" + envID + ":80", "uuid"},
		{"client, path", "parley-client://test@" + envID + "/", "path"},
		{"client, second @", "parley-client://test@" + envID + "@a:1", `one "@"`},
	}
	for _, bad := range badEnvIDs {
		rejections = append(rejections, rejection{"client, Env id " + bad.name, "parley-client://test@" + bad.id, ""})
	}
	for _, bad := range badAddresses {
		rejections = append(rejections, rejection{"address, " + bad.name, "parley://test@" + bad.text, ""})
	}
	for _, tc := range rejections {
		t.Run(tc.name, func(t *testing.T) {
			ref, err := endpoint.ParseRef(tc.uri)
			checkInvalid(t, err, "URI", tc.uri)
			checkReason(t, err, tc.reason)
			if !ref.IsZero() {
				t.Errorf("got the Ref %q with the error", ref)
			}
		})
	}
}

// badEnvIDs are texts that are no Env id, though uuid.Parse takes some of them.
var badEnvIDs = []struct{ name, id string }{
	{"in upper case", strings.ToUpper(envID)},
	{"as a URN", "urn:uuid:" + envID},
	{"in braces", "{" + envID + "}"},
	{"without hyphens", strings.ReplaceAll(envID, "-", "")},
	{"too short", envID[:35]},
	{"too long", envID + "0"},
	{"with a space", envID[:35] + " "},
	{"not hexadecimal", envID[:35] + "g"},
	{"with hyphens misplaced", "-" + strings.Replace(envID, "-", "", 1)},
	{"of any text", "env"},
}

func TestNewClientRefRejects(t *testing.T) {
	for _, bad := range badEnvIDs {
		_, err := endpoint.NewClientRef("test", bad.id)
		checkInvalid(t, err, "Env id", bad.id)
	}
	_, err := endpoint.NewClientRef("test", "")
	checkInvalid(t, err, "Env id", "")
	_, err = endpoint.NewClientRef("te st", envID)
	checkInvalid(t, err, "endpoint name", "te st")
}

func TestNewRefRejects(t *testing.T) {
	_, err := endpoint.NewRef("te st", "localhost:80")
	checkInvalid(t, err, "endpoint name", "te st")
	_, err = endpoint.NewRef("", "localhost:80")
	checkInvalid(t, err, "endpoint name", "")
	_, err = endpoint.NewRef("test", "")
	checkInvalid(t, err, "address", "")
	_, err = endpoint.NewRef("test", "local host:80")
	checkInvalid(t, err, "address", "local host:80")
}

func TestRefEquality(t *testing.T) {
	a := mustRef(t)(endpoint.NewRef("test", "LOCALHOST:80"))
	if b := mustRef(t)(endpoint.ParseRef("parley://test@localhost:80")); a != b || !a.Same(b) {
		t.Errorf("%q and %q differ", a, b)
	}
	client := mustRef(t)(endpoint.NewClientRef("test", envID))
	for _, other := range []endpoint.Ref{
		{},
		mustRef(t)(endpoint.NewRef("test", "localhost:81")),
		mustRef(t)(endpoint.NewRef("Test", "localhost:80")),
		client,
	} {
		if a == other || a.Same(other) || other.Same(a) {
			t.Errorf("%q and %q are equal", a, other)
		}
	}
	// Two programs without a listener may have endpoints of one name.
	elsewhere := mustRef(t)(endpoint.NewClientRef("test", "0198f3a2-7c44-7d10-9a5e-3f2b6c1d8e91"))
	if client == elsewhere || client.Same(elsewhere) {
		t.Errorf("%q and %q are equal", client, elsewhere)
	}
	var zero, none endpoint.Ref
	if zero != none || !zero.Same(none) {
		t.Error("two zero Refs differ")
	}
}

func TestRefWithVia(t *testing.T) {
	client := mustRef(t)(endpoint.NewClientRef("test", envID))
	via := mustRef(t)(client.WithVia("[0::1]:80"))
	if client.Via() != "" {
		t.Errorf("WithVia changed its receiver to have via %q", client.Via())
	}
	if via.Via() != "[::1]:80" || via.Name() != "test" || via.EnvID() != envID || via.Address() != "" {
		t.Errorf("got %+v", via.Proto())
	}
	if via == client || !via.Same(client) || !client.Same(via) {
		t.Error("a via must count for == and not for Same")
	}
	if via.String() != client.String() {
		t.Errorf("got the URI %q, want %q", via, client)
	}
	if replaced := mustRef(t)(via.WithVia("other:81")); replaced.Via() != "other:81" || !replaced.Same(via) {
		t.Errorf("got %+v", replaced.Proto())
	}

	_, err := client.WithVia("localhost")
	checkInvalid(t, err, "address", "localhost")
	_, err = client.WithVia("")
	checkInvalid(t, err, "address", "")
	_, err = mustRef(t)(endpoint.NewRef("test", "localhost:80")).WithVia("relay:80")
	checkInvalid(t, err, "via", "relay:80")
	checkReason(t, err, "parley://test@localhost:80")
	_, err = endpoint.Ref{}.WithVia("relay:80")
	checkInvalid(t, err, "via", "relay:80")
}

func TestZeroRef(t *testing.T) {
	var ref endpoint.Ref
	if !ref.IsZero() || ref.Name() != "" || ref.Address() != "" || ref.EnvID() != "" || ref.Via() != "" || ref.String() != "" {
		t.Errorf("got %+v", ref)
	}
	if pb := ref.Proto(); pb != nil {
		t.Errorf("got the message %v, want nil", pb)
	}
	if mustRef(t)(endpoint.NewRef("test", "localhost:80")).IsZero() {
		t.Error("a Ref with an address is zero")
	}
}

func TestRefFromProtoRejects(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, tc := range []struct {
		name             string
		pb               *parleyv1.Ref
		what, text, want string
	}{
		{"nil", nil, "Ref", "", "nil"},
		{"empty", &parleyv1.Ref{}, "Ref", "", "neither"},
		{"name only", &parleyv1.Ref{Endpoint: "test"}, "Ref", "test", "neither"},
		{"via only", &parleyv1.Ref{Endpoint: "test", Via: "relay:80"}, "Ref", "test", "neither"},
		{"both", &parleyv1.Ref{Endpoint: "test", Address: "localhost:80", EnvId: envID}, "Ref", "test", `"localhost:80"`},
		{"both, 10 kB", &parleyv1.Ref{Endpoint: long, Address: long, EnvId: long}, "Ref", long, "both"},
		{"no name", &parleyv1.Ref{Address: "localhost:80"}, "endpoint name", "", "empty"},
		{"bad name", &parleyv1.Ref{Endpoint: "a/b", EnvId: envID}, "endpoint name", "a/b", "'/'"},
		{"bad address", &parleyv1.Ref{Endpoint: "test", Address: "localhost"}, "address", "localhost", "port"},
		{"bad Env id", &parleyv1.Ref{Endpoint: "test", EnvId: "env"}, "Env id", "env", "uuid"},
		{"bad via", &parleyv1.Ref{Endpoint: "test", EnvId: envID, Via: "relay"}, "address", "relay", "port"},
		{"via with address", &parleyv1.Ref{Endpoint: "test", Address: "a:1", Via: "relay:80"}, "via", "relay:80", "client mode"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref, err := endpoint.RefFromProto(tc.pb)
			checkInvalid(t, err, tc.what, tc.text)
			checkReason(t, err, tc.want)
			if !ref.IsZero() {
				t.Errorf("got the Ref %q with the error", ref)
			}
		})
	}
}

func TestRefFromProtoNormalises(t *testing.T) {
	ref := mustRef(t)(endpoint.RefFromProto(&parleyv1.Ref{Endpoint: "test", Address: "[0::1]:80"}))
	if ref.Address() != "[::1]:80" {
		t.Errorf("got the address %q", ref.Address())
	}
	ref = mustRef(t)(endpoint.RefFromProto(&parleyv1.Ref{Endpoint: "test", EnvId: envID, Via: "RELAY:80"}))
	if ref.Via() != "relay:80" {
		t.Errorf("got via %q", ref.Via())
	}
}

func TestRefAsText(t *testing.T) {
	type config struct {
		Worker endpoint.Ref
		Spare  endpoint.Ref `json:",omitzero"`
		ByRef  map[endpoint.Ref]int
	}
	ref := mustRef(t)(endpoint.NewRef("test", "[::1]:80"))
	const text = `{"Worker":"parley://test@[::1]:80","ByRef":{"parley://test@[::1]:80":1}}`
	encoded, err := json.Marshal(config{Worker: ref, ByRef: map[endpoint.Ref]int{ref: 1}})
	if err != nil || string(encoded) != text {
		t.Fatalf("got %s, %v; want %s", encoded, err, text)
	}
	var decoded config
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		t.Fatal(err)
	}
	if decoded.Worker != ref || !decoded.Spare.IsZero() || decoded.ByRef[ref] != 1 {
		t.Errorf("got %+v", decoded)
	}

	err = json.Unmarshal([]byte(`{"Worker":"spark://test@a:1"}`), &decoded)
	checkInvalid(t, err, "URI", "spark://test@a:1")
	if decoded.Worker != ref {
		t.Errorf("a failed decoding changed the Ref to %q", decoded.Worker)
	}
	if err := json.Unmarshal([]byte(`{"Worker":""}`), &decoded); err != nil || !decoded.Worker.IsZero() {
		t.Errorf("the empty text gave %q, %v; want the zero Ref", decoded.Worker, err)
	}

	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	var worker endpoint.Ref
	flags.TextVar(&worker, "worker", endpoint.Ref{}, "")
	if err := flags.Parse([]string{"-worker", ref.String()}); err != nil || worker != ref {
		t.Errorf("the flag gave %q, %v; want %q", worker, err, ref)
	}
}

// TestRefRoundTrips sends random Refs through every form that they have.
func TestRefRoundTrips(t *testing.T) {
	random := newRandom(t)
	for range 2_000 {
		ref := randomRef(t, random)
		if err := roundTrip(t, ref); err != nil {
			t.Fatalf("%q: %v", ref, err)
		}
	}
}

func randomRef(t *testing.T, random *rand.Rand) endpoint.Ref {
	t.Helper()
	text := func(characters string, longest int) string {
		b := make([]byte, 1+random.IntN(longest))
		for i := range b {
			b[i] = characters[random.IntN(len(characters))]
		}
		return string(b)
	}
	address := func() string {
		host := text("abcXYZ", 63)
		switch random.IntN(3) {
		case 0:
			var b [4]byte
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			host = netip.AddrFrom4(b).String()
		case 1:
			var b [16]byte
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			host = netip.AddrFrom16(b).String()
		}
		a, err := endpoint.NewAddress(host, 1+random.IntN(65535))
		if err != nil {
			t.Fatal(err)
		}
		return a.String()
	}
	name := text(unreserved, 255)
	if random.IntN(2) == 0 {
		return mustRef(t)(endpoint.NewRef(name, address()))
	}
	var id uuid.UUID
	for i := range id {
		id[i] = byte(random.Uint32())
	}
	ref := mustRef(t)(endpoint.NewClientRef(name, id.String()))
	if random.IntN(2) == 0 {
		return ref
	}
	return mustRef(t)(ref.WithVia(address()))
}

// roundTrip requires that every form of a valid Ref gives the Ref again, and that its parts are valid.
func roundTrip(t *testing.T, ref endpoint.Ref) error {
	t.Helper()
	parsed, err := endpoint.ParseRef(ref.String())
	if err != nil {
		return err
	}
	if !parsed.Same(ref) || parsed.Via() != "" || parsed.String() != ref.String() {
		t.Errorf("%q: the URI gave %q", ref, parsed)
	}
	if ref.Via() == "" && parsed != ref {
		t.Errorf("%q: the URI gave %q, which is not ==", ref, parsed)
	}

	wire, err := proto.Marshal(ref.Proto())
	if err != nil {
		return err
	}
	var pb parleyv1.Ref
	if err := proto.Unmarshal(wire, &pb); err != nil {
		return err
	}
	received, err := endpoint.RefFromProto(&pb)
	if err != nil {
		return err
	}
	if received != ref {
		t.Errorf("%+v: the message gave %+v", ref.Proto(), received.Proto())
	}

	text, err := ref.MarshalText()
	if err != nil {
		return err
	}
	var unmarshalled endpoint.Ref
	if err := unmarshalled.UnmarshalText(text); err != nil {
		return err
	}
	if unmarshalled != parsed {
		t.Errorf("%q: the text gave %q", ref, unmarshalled)
	}

	if err := endpoint.ValidateName(ref.Name()); err != nil {
		return err
	}
	if (ref.Address() == "") == (ref.EnvID() == "") {
		t.Errorf("got address %q and Env id %q", ref.Address(), ref.EnvID())
	}
	for _, address := range []string{ref.Address(), ref.Via()} {
		if address == "" {
			continue
		}
		a, err := endpoint.ParseAddress(address)
		if err != nil {
			return err
		}
		if a.String() != address || a.Host() == "" || a.Port() < 1 || a.Port() > 65535 {
			t.Errorf("the address %q has host %q, port %d, text %q", address, a.Host(), a.Port(), a.String())
		}
	}
	if ref.EnvID() != "" {
		if id, err := uuid.Parse(ref.EnvID()); err != nil || id.String() != ref.EnvID() {
			t.Errorf("the Env id %q is no uuid in its usual form", ref.EnvID())
		}
	}
	return nil
}

func mustRef(t *testing.T) func(endpoint.Ref, error) endpoint.Ref {
	return func(ref endpoint.Ref, err error) endpoint.Ref {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
}

func FuzzParseRef(f *testing.F) {
	for _, uri := range []string{
		"", "parley://", "parley://test@localhost:12345", "parley://test@[::0:1]:1234", "parley://a.b-c_d~e@EXAMPLE.com.:65535",
		"parley://test@[fe80::1%25eth0]:1", "parley://test@[::ffff:1.2.3.4]:1", "parley://test@1.2. 3.4:1234",
		"parley://u:p@test@a:1/p?q#f", "parley-client://test@" + envID, "parley-client://test@{" + envID + "}",
		"spark://test@localhost:12345", "parley://t\x00st@\xff:080",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		ref, err := endpoint.ParseRef(uri)
		if err != nil {
			checkInvalid(t, err, "URI", uri)
			if !ref.IsZero() {
				t.Errorf("got the Ref %q with the error", ref)
			}
			return
		}
		// A URI has one normal form, which differs from what was accepted in the spelling of the host only.
		if !strings.EqualFold(ref.String(), uri) && !strings.Contains(uri, "[") {
			t.Errorf("%q became %q", uri, ref)
		}
		if err := roundTrip(t, ref); err != nil {
			t.Errorf("%q became %q: %v", uri, ref, err)
		}
	})
}

// TestRefsShareTheTextOfTheirAddress: an address in normal form is kept as it is given, so that many Refs to one Env hold it once.
func TestRefsShareTheTextOfTheirAddress(t *testing.T) {
	for address, want := range map[string]float64{"localhost:1234": 0, "10.1.2.3:1234": 0, "LocalHost:1234": 3} {
		var ref endpoint.Ref
		got := testing.AllocsPerRun(100, func() {
			var err error
			if ref, err = endpoint.NewRef("test", address); err != nil {
				t.Error(err)
			}
		})
		if got > want || ref.Address() != strings.ToLower(address) {
			t.Errorf("%s: %v allocations, want %v; the Ref has %s", address, got, want, ref.Address())
		}
	}
}
