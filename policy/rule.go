package policy

import (
	"slices"
	"strings"
)

// localPrincipal stands for the Env itself among the principals of a rule.
const localPrincipal = "local"

// rule is one rule. A nil list matches anything.
type rule struct {
	anybody    bool
	local      bool // the Env itself is among the principals
	principals []pattern
	paths      []pattern
	endpoints  []pattern
	headers    []header
}

// header is a header that a rule wants.
type header struct {
	key    string
	values []pattern
}

// matches reports whether all of the rule matches m. Of a header that comes several times grpc-go knows only the values joined by commas; a deny rule
// looks at each of them, too, or it could be got round by a second value.
func (r *rule) matches(m *message, deny bool) bool {
	if !r.matchesSource(m) || r.paths != nil && !matchAny(r.paths, m.path) || r.endpoints != nil && !matchAny(r.endpoints, m.endpoint) {
		return false
	}
	for _, h := range r.headers {
		values, ok := m.headers[h.key]
		if !ok {
			return false
		}
		if !matchAny(h.values, strings.Join(values, ",")) && !(deny && slices.ContainsFunc(values, func(v string) bool { return matchAny(h.values, v) })) {
			return false
		}
	}
	return true
}

func (r *rule) matchesSource(m *message) bool {
	switch {
	case r.anybody:
		return true
	case m.local:
		return r.local
	default:
		return slices.ContainsFunc(m.principals, func(name string) bool { return matchAny(r.principals, name) })
	}
}

// pattern is a value of a rule.
type pattern struct {
	kind kind
	text string // without the star
}

type kind uint8

const (
	exact kind = iota
	prefix
	suffix
	present
)

func newPattern(value string) pattern {
	switch {
	case value == "*":
		return pattern{kind: present}
	case strings.HasSuffix(value, "*"):
		return pattern{prefix, value[:len(value)-1]}
	case strings.HasPrefix(value, "*"):
		return pattern{suffix, value[1:]}
	default:
		return pattern{exact, value}
	}
}

func (p pattern) matches(s string) bool {
	switch p.kind {
	case prefix:
		return strings.HasPrefix(s, p.text)
	case suffix:
		return strings.HasSuffix(s, p.text)
	case present:
		return s != ""
	default:
		return s == p.text
	}
}

func matchAny(patterns []pattern, s string) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool { return p.matches(s) })
}
