package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parley-rpc/parley/endpoint"
)

// document is a policy as it is written.
type document struct {
	Name       string         `json:"name"`
	DenyRules  []ruleDocument `json:"deny_rules"`
	AllowRules []ruleDocument `json:"allow_rules"`
}

type ruleDocument struct {
	Name   string `json:"name"`
	Source struct {
		Principals []string `json:"principals"`
	} `json:"source"`
	Request struct {
		Paths     []string         `json:"paths"`
		Endpoints []string         `json:"endpoints"`
		Headers   []headerDocument `json:"headers"`
	} `json:"request"`
}

type headerDocument struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// Parse returns the policy that text is the JSON of. It makes the checks of grpc-go: there are a name and at least one allow rule, each rule has a
// name, each header a key that a policy may look at, and values, and there are no other fields. It also refuses what grpc-go takes in silence, and
// what could only make a rule match less than it seems to: text after the policy, a field that comes twice, two rules of one name, a "*" in the
// middle of a value (but a header's), a path that does not begin with "/", and names that no endpoint can have. The audit_logging_options of grpc-go
// are not supported.
func Parse(text []byte) (*Policy, error) {
	p, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}

func parse(text []byte) (*Policy, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var d document
	if err := decoder.Decode(&d); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is text after the policy")
	}
	if err := refuseRepeated(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, err
	}
	if d.Name == "" {
		return nil, errors.New(`"name" is not present`)
	}
	if len(d.AllowRules) == 0 {
		return nil, errors.New(`"allow_rules" is not present`)
	}
	deny, err := parseRules(d.DenyRules)
	if err != nil {
		return nil, fmt.Errorf(`"deny_rules" %w`, err)
	}
	allow, err := parseRules(d.AllowRules)
	if err != nil {
		return nil, fmt.Errorf(`"allow_rules" %w`, err)
	}
	return &Policy{name: d.Name, deny: deny, allow: allow}, nil
}

// refuseRepeated reads one JSON value, and fails if an object in it has a field twice: encoding/json would keep the last one only. As there, case
// does not make another field. Who calls it has decoded the value, so it is no deeper than encoding/json allows.
func refuseRepeated(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	var seen []string
	for d.More() {
		if opening == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name := key.(string) // or Token would have failed
			if slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, name) }) {
				return fmt.Errorf("the field %q comes twice", name)
			}
			seen = append(seen, name)
		}
		if err := refuseRepeated(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func parseRules(documents []ruleDocument) ([]rule, error) {
	names := map[string]bool{}
	rules := make([]rule, 0, len(documents))
	for i, d := range documents {
		if d.Name == "" {
			return nil, fmt.Errorf(`%d: "name" is not present`, i)
		}
		if names[d.Name] {
			return nil, fmt.Errorf(`%d: there is another rule with the "name" %q`, i, d.Name)
		}
		names[d.Name] = true
		r, err := parseRule(&d)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(d *ruleDocument) (r rule, err error) {
	r.anybody = len(d.Source.Principals) == 0
	var named []string
	for _, name := range d.Source.Principals {
		if name == localPrincipal {
			r.local = true
		} else {
			named = append(named, name)
		}
	}
	if r.principals, err = parsePatterns("principals", named, func(pattern) error { return nil }); err != nil {
		return r, err
	}
	if r.paths, err = parsePatterns("paths", d.Request.Paths, checkPath); err != nil {
		return r, err
	}
	if r.endpoints, err = parsePatterns("endpoints", d.Request.Endpoints, checkEndpoint); err != nil {
		return r, err
	}
	for i, h := range d.Request.Headers {
		parsed, err := parseHeader(h)
		if err != nil {
			return r, fmt.Errorf(`"headers" %d: %w`, i, err)
		}
		r.headers = append(r.headers, parsed)
	}
	return r, nil
}

func parsePatterns(field string, values []string, check func(pattern) error) ([]pattern, error) {
	var patterns []pattern
	for i, value := range values {
		p := newPattern(value)
		if strings.Contains(p.text, "*") {
			return nil, fmt.Errorf(`%q %d: %q has a "*" that is neither its beginning nor its end`, field, i, value)
		}
		if err := check(p); err != nil {
			return nil, fmt.Errorf("%q %d: %w", field, i, err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func checkPath(p pattern) error {
	if (p.kind == exact || p.kind == prefix) && !strings.HasPrefix(p.text, "/") {
		return fmt.Errorf(`%q does not begin with "/", as every method does`, p.text)
	}
	return nil
}

func checkEndpoint(p pattern) error {
	if p.kind == present {
		return nil
	}
	return endpoint.ValidateName(p.text)
}

// unsupported are the headers that no policy may look at, as with grpc-go: they are HTTP's.
var unsupported = map[string]bool{
	"host": true, "connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-authorization": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true,
}

// endpointKey names the endpoint of an ordinary gRPC call, and does not come to where a policy is used.
const endpointKey = "parley-endpoint"

func parseHeader(d headerDocument) (h header, err error) {
	h.key = strings.ToLower(d.Key)
	switch {
	case h.key == "":
		return h, errors.New(`"key" is not present`)
	case h.key[0] == ':' || strings.HasPrefix(h.key, "grpc-") || unsupported[h.key]:
		return h, fmt.Errorf(`unsupported "key" %s`, h.key)
	case h.key == endpointKey:
		return h, fmt.Errorf(`unsupported "key" %s: "endpoints" is for that`, h.key)
	case len(d.Values) == 0:
		return h, errors.New(`"values" is not present`)
	}
	for _, value := range d.Values {
		h.values = append(h.values, newPattern(value))
	}
	return h, nil
}
