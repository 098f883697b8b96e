package endpoint

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

const (
	addressScheme = "parley://"
	clientScheme  = "parley-client://"
)

// Ref says where an endpoint is: its name, and either the address of the Env that hosts it or, if that Env has no listener
// (client mode), the Env's id and perhaps the address of an Env that relays to it. It is a plain value, holds no connection, and
// says nothing about whether the endpoint exists. The zero Ref means none.
//
// Its parts are valid and in normal form, so Refs can be compared with == and be keys of a map; Same leaves the relay out.
type Ref struct {
	name    string
	address string // "" in client mode
	envID   string // "" unless in client mode
	via     string // "" unless in client mode and known
}

// NewRef returns the Ref of the endpoint of that name at address, HOST:PORT, which is normalised. The rules are those of
// ValidateName and ParseAddress; the error wraps ErrInvalid and quotes the part that is wrong.
func NewRef(name, address string) (Ref, error) {
	if err := ValidateName(name); err != nil {
		return Ref{}, err
	}
	normal, reason := normalAddress(address)
	if reason != "" {
		return Ref{}, newInvalidError("address", address, reason)
	}
	return Ref{name: name, address: normal}, nil
}

// NewClientRef returns the Ref of the endpoint of that name in the Env with the id envID, which has no listener. The id is a
// uuid in its usual form: 36 characters, lower-case. The error wraps ErrInvalid and quotes the part that is wrong.
func NewClientRef(name, envID string) (Ref, error) {
	if err := ValidateName(name); err != nil {
		return Ref{}, err
	}
	if reason := envIDProblem(envID); reason != "" {
		return Ref{}, newInvalidError("Env id", envID, reason)
	}
	return Ref{name: name, envID: envID}, nil
}

// ParseRef returns the Ref that a URI stands for: parley://NAME@HOST:PORT, or parley-client://NAME@ENV_ID in client mode.
// Nothing may be added, left out or percent-encoded, and schemes are lower-case. The error wraps ErrInvalid and quotes the
// URI.
func ParseRef(uri string) (Ref, error) {
	ref, reason := parseRef(uri)
	if reason != "" {
		return Ref{}, newInvalidError("URI", uri, reason)
	}
	return ref, nil
}

// RefFromProto returns the Ref that a message carries, after all the checks that NewRef, NewClientRef and WithVia make.
// Exactly one of address and env_id must be set, and via only with env_id. A nil message is an error, as is an empty one. The
// error wraps ErrInvalid.
func RefFromProto(pb *parleyv1.Ref) (Ref, error) {
	switch {
	case pb == nil:
		return Ref{}, newInvalidError("Ref", "", "the message is nil")
	case pb.GetAddress() != "" && pb.GetEnvId() != "":
		return Ref{}, newInvalidError("Ref", pb.GetEndpoint(), fmt.Sprintf("address %q and env_id %q are both set",
			shorten(pb.GetAddress()), shorten(pb.GetEnvId())))
	case pb.GetAddress() == "" && pb.GetEnvId() == "":
		return Ref{}, newInvalidError("Ref", pb.GetEndpoint(), "neither address nor env_id is set")
	}
	var ref Ref
	var err error
	if pb.GetAddress() != "" {
		ref, err = NewRef(pb.GetEndpoint(), pb.GetAddress())
	} else {
		ref, err = NewClientRef(pb.GetEndpoint(), pb.GetEnvId())
	}
	if err != nil || pb.GetVia() == "" {
		return ref, err
	}
	return ref.WithVia(pb.GetVia())
}

// Name returns the endpoint's name; "" for the zero Ref.
func (r Ref) Name() string { return r.name }

// Address returns HOST:PORT of the Env that hosts the endpoint; "" in client mode and for the zero Ref.
func (r Ref) Address() string { return r.address }

// EnvID returns the id of the Env that hosts the endpoint in client mode; "" otherwise.
func (r Ref) EnvID() string { return r.envID }

// Via returns HOST:PORT of an Env that relays to the Env EnvID; "" if none is known or the Ref is not in client mode.
func (r Ref) Via() string { return r.via }

// IsZero reports whether r is the zero Ref, which means none.
func (r Ref) IsZero() bool { return r == Ref{} }

// Same reports whether both Refs say the same endpoint, however it is reached: it is == without Via.
func (r Ref) Same(other Ref) bool {
	r.via, other.via = "", ""
	return r == other
}

// WithVia returns a copy of r, a Ref in client mode, that is reached through the Env at address, HOST:PORT, in place of what
// Via was. The error wraps ErrInvalid; one reason is that r is not in client mode.
func (r Ref) WithVia(address string) (Ref, error) {
	if r.envID == "" {
		return Ref{}, newInvalidError("via", address, fmt.Sprintf("the Ref %q is not in client mode", r))
	}
	a, err := ParseAddress(address)
	if err != nil {
		return Ref{}, err
	}
	r.via = a.String()
	return r, nil
}

// String returns the URI, which ParseRef takes back, though without Via, for which a URI has no place; "" for the zero Ref.
func (r Ref) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.envID != "":
		return clientScheme + r.name + "@" + r.envID
	default:
		return addressScheme + r.name + "@" + r.address
	}
}

// Proto returns the Ref as a message, Via included, which RefFromProto takes back; nil for the zero Ref.
func (r Ref) Proto() *parleyv1.Ref {
	if r.IsZero() {
		return nil
	}
	return &parleyv1.Ref{Endpoint: r.name, Address: r.address, EnvId: r.envID, Via: r.via}
}

// MarshalText returns what String returns, so that a Ref can stand in JSON, in logs and in flags. It never fails.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText sets r to what ParseRef returns, or to the zero Ref for the empty text. After an error r is unchanged.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Ref{}
		return nil
	}
	ref, err := ParseRef(string(text))
	if err != nil {
		return err
	}
	*r = ref
	return nil
}

// parseRef returns the Ref, or what is wrong with the URI.
func parseRef(uri string) (ref Ref, reason string) {
	rest, inClientMode := strings.CutPrefix(uri, clientScheme)
	if !inClientMode {
		var ok bool
		if rest, ok = strings.CutPrefix(uri, addressScheme); !ok {
			return Ref{}, "the scheme must be " + addressScheme + " or " + clientScheme
		}
	}
	name, place, ok := strings.Cut(rest, "@")
	switch {
	case !ok:
		return Ref{}, `there must be a name, "@" and a place`
	case strings.Contains(place, "@"):
		return Ref{}, `there must be one "@"`
	case strings.ContainsAny(rest, "/?#"):
		return Ref{}, "a path, query or fragment is not allowed"
	}
	if reason := nameProblem(name); reason != "" {
		return Ref{}, reason
	}
	if inClientMode {
		return Ref{name: name, envID: place}, envIDProblem(place)
	}
	address, reason := normalAddress(place)
	return Ref{name: name, address: address}, reason
}

// envIDProblem returns what is wrong with an Env id, or "".
func envIDProblem(id string) string {
	// uuid.Parse also takes other spellings, and Refs are compared as text.
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return "an Env id is a uuid of 36 characters, lower-case"
	}
	return ""
}
