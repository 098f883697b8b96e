package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMalformed: what is no policy is said, with the place.
func TestMalformed(t *testing.T) {
	rule := func(text string) string { return `{"name": "p", "allow_rules": [` + text + `]}` }
	request := func(text string) string { return rule(`{"name": "r", "request": {` + text + `}}`) }
	header := func(text string) string { return request(`"headers": [{` + text + `}]`) }
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "EOF"},
		{"half", `{"name": "p"`, "EOF"},
		{"null", `null`, `"name" is not present`},
		{"no object", `[]`, "cannot unmarshal"},
		{"no name", `{"allow_rules": [{"name": "r"}]}`, `"name" is not present`},
		{"no allow rules", `{"name": "p", "deny_rules": [{"name": "r"}]}`, `"allow_rules" is not present`},
		{"empty allow rules", rule(``), `"allow_rules" is not present`},
		{"a rule without a name", rule(`{"name": "r"}, {}`), `"allow_rules" 1: "name" is not present`},
		{"a deny rule without a name", `{"name": "p", "deny_rules": [{}], "allow_rules": [{"name": "r"}]}`, `"deny_rules" 0: "name" is not present`},
		{"rules of one name", rule(`{"name": "r"}, {"name": "r"}`), `1: there is another rule with the "name" "r"`},
		{"an unknown field", `{"name": "p", "allow_rules": [{"name": "r"}], "allow": []}`, `unknown field "allow"`},
		{"an unknown field of a rule", rule(`{"name": "r", "principals": []}`), `unknown field "principals"`},
		{"an unknown field of a source", rule(`{"name": "r", "source": {"principal": []}}`), `unknown field "principal"`},
		{"an unknown field of a request", request(`"path": []`), `unknown field "path"`},
		{"an unknown field of a header", header(`"key": "k", "value": "v"`), `unknown field "value"`},
		{"audit logging", `{"name": "p", "allow_rules": [{"name": "r"}], "audit_logging_options": {}}`, "unknown field"},
		{"another type", `{"name": "p", "allow_rules": {}}`, "cannot unmarshal"},
		{"no list", request(`"paths": "/a/b"`), "cannot unmarshal"},
		{"text after it", rule(`{"name": "r"}`) + `{}`, "text after"},
		{"a brace after it", rule(`{"name": "r"}`) + `}`, "text after"},
		{"a field twice", `{"name": "p", "deny_rules": [{"name": "r"}], "deny_rules": [], "allow_rules": [{"name": "r"}]}`, `"deny_rules" comes twice`},
		{"a field twice, in another case", `{"name": "p", "deny_rules": [{"name": "r"}], "Deny_Rules": [], "allow_rules": [{"name": "r"}]}`, `"Deny_Rules" comes twice`},
		{"a field twice, in other letters", `{"name": "p", "deny_rules": [{"name": "r"}], "deny_rule\u017f": [], "allow_rules": [{"name": "r"}]}`, `comes twice`},
		{"a field of a rule twice", request(`"paths": ["/a/b"], "paths": []`), `"paths" comes twice`},
		{"a star in a principal", rule(`{"name": "r", "source": {"principals": ["a", "a*b"]}}`), `"principals" 1: "a*b" has a "*"`},
		{"stars around a path", request(`"paths": ["*Hi*"]`), `"paths" 0: "*Hi*" has a "*"`},
		{"two stars", request(`"endpoints": ["**"]`), `"endpoints" 0: "**" has a "*"`},
		{"a path without its slash", request(`"paths": ["sayhi.v1.SayHi/Hi"]`), `"paths" 0: "sayhi.v1.SayHi/Hi" does not begin with "/"`},
		{"a prefix without the slash", request(`"paths": ["sayhi.*"]`), `does not begin with "/"`},
		{"an empty path", request(`"paths": [""]`), `does not begin with "/"`},
		{"an empty endpoint", request(`"endpoints": [""]`), `the name is empty`},
		{"a URI for an endpoint", request(`"endpoints": ["parley://hi@localhost:1"]`), `"endpoints" 0`},
		{"a header without a key", header(`"values": ["v"]`), `"headers" 0: "key" is not present`},
		{"a header without values", header(`"key": "k"`), `"headers" 0: "values" is not present`},
		{"a header with no values", header(`"key": "k", "values": []`), `"headers" 0: "values" is not present`},
		{"a pseudo-header", header(`"key": ":path", "values": ["v"]`), `unsupported "key" :path`},
		{"a header of gRPC", header(`"key": "GRPC-timeout", "values": ["v"]`), `unsupported "key" grpc-timeout`},
		{"a header of HTTP", header(`"key": "Host", "values": ["v"]`), `unsupported "key" host`},
		{"the header of an endpoint", header(`"key": "Parley-Endpoint", "values": ["v"]`), `"endpoints" is for that`},
	} {
		if p, err := Parse([]byte(test.text)); err == nil || p != nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "policy: ") {
			t.Errorf("%s: %v, want an error with %s", test.name, err, test.want)
		}
	}
}

// TestLoad: a policy comes from a file, and an error says which.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{`{"name": "p", "allow_rules": [{"name": "r"}]}`: "", `{}`: path} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Load(path)
		if want == "" && (err != nil || p.Name() != "p") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
