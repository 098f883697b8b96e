package link

import (
	"time"

	"github.com/parley-rpc/parley/internal/session"
)

// Service is the gRPC service that carries sessions, and Method its method.
const (
	Service = "parley.v1.Parley"
	Method  = "/" + Service + "/Connect"
)

// HelloTimeout is how long a listener waits for the hello.
const HelloTimeout = 10 * time.Second

// Config is what an Env says of itself in openings.
type Config struct {
	// EnvID is the id of the Env, a uuid v7.
	EnvID string
	// Address is where the Env listens, HOST:PORT; nil or an empty result in client mode.
	Address func() string
	// Limits are what the Env allows its peers. They are not to be changed.
	Limits *session.Limits
	// Resume says that sessions outlive their streams, where the peer agrees.
	Resume bool
	// StreamAge is when a listener has the dialler move a session to another stream, give or take a tenth; zero for never.
	StreamAge time.Duration
	// PeerSessions is how many live sessions one peer may have opened; zero for any number.
	PeerSessions int
	// Closing reports whether the Env takes no new sessions; those that it has may attach. Nil means that it is not.
	Closing func() bool
	// Handler gets what links receive.
	Handler Handler
	// Table has the links that live.
	Table *Table
}

// attachAt returns where sessions can be attached to, for the welcome.
func (c *Config) attachAt() []string {
	if a := c.address(); a != "" && c.Resume {
		return []string{a}
	}
	return nil
}

func (c *Config) address() string {
	if c.Address == nil {
		return ""
	}
	return c.Address()
}
