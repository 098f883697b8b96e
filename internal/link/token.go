package link

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/internal/identity"
)

// listener is what is known of who answers a stream that this side has opened.
type listener struct {
	address   string // that was dialled, HOST:PORT
	remote    string // where the connection goes to
	principal string // what the carrier has authenticated; empty for nothing
}

func listenerOf(cc grpc.ClientConnInterface, stream context.Context) listener {
	at := listener{remote: RemoteAddr(stream), principal: identity.Principal(stream)}
	if c, ok := cc.(Conn); ok {
		at.address = c.Address
	}
	return at
}

// credential is the token of a session, and what it takes to be shown it.
type credential struct {
	token     []byte
	dialled   bool
	address   string // that was dialled
	claimed   string // the peer's address, as it says
	remote    string
	principal string
}

func (l *Link) credential() credential {
	return credential{
		token: l.token, dialled: l.dialled, address: l.dialledAt, claimed: l.peer.Address, remote: l.peer.Remote, principal: l.principal,
	}
}

// mayBeShownTo reports whether the token may be sent to a listener that has refused a new session in the name of the token's Env. Anybody can
// use that name, since Env ids are public, and whoever has the token can take the session over. So the listener has to be where the
// session goes, or where the Env of the session has said that it listens, or to have authenticated itself as that Env did.
func (c *credential) mayBeShownTo(at listener) bool {
	switch {
	case len(c.token) == 0:
		return false
	case c.principal != "" && c.principal == at.principal:
		return true
	case c.principal != "" && (c.dialled || at.principal == ""): // another one, or what was protected would not be
		return false
	case at.address != "" && (at.address == c.address || at.address == c.claimed):
		return true
	default: // two names of one host; the remote of a session that was not dialled is no listener
		return c.dialled && at.remote != "" && at.remote == c.remote
	}
}

// newToken returns the token of a session with the Env, or of the last one, that may be sent to a listener at at; nil if there is none.
func (t *Table) newToken(envID string, at listener) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.byEnv.Get(envID) {
		if c := l.credential(); c.mayBeShownTo(at) {
			return c.token
		}
	}
	if c := t.past[envID]; c != nil && c.mayBeShownTo(at) {
		return c.token
	}
	return nil
}

// Format implements fmt.Formatter, so that a link that is printed does not tell its token.
func (l *Link) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "session with "+l.peer.String()) }

// Format implements fmt.Formatter, so that a table that is printed does not tell tokens.
func (t *Table) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%d sessions", len(t.All())) }
