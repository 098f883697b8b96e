package endpoint

import "context"

// The callbacks of an endpoint. Each is optional: an endpoint has it by having the method, which is looked for when the
// endpoint is registered. All pass through the mailbox, in order with messages, and obey the endpoint's concurrency.
// After Spark's RpcEndpoint; where Parley differs, the doc says so.

// Starter is an endpoint with OnStart, the first callback of all. If it fails, the registration fails with its error,
// OnError is called, and OnStop is not. (Spark keeps such an endpoint running.)
type Starter interface {
	OnStart(ctx context.Context) error
}

// Stopper is an endpoint with OnStop, the last callback of all: no handler runs during or after it. The endpoint's name
// is free again before it runs, and Self reports false in it. An error goes to OnError.
type Stopper interface {
	OnStop(ctx context.Context) error
}

// ErrorHandler is an endpoint with OnError, which gets every error that nobody else is told of: of a handler whose
// message was sent one-way, of OnStart, OnStop and the network callbacks; and every panic as a *PanicError. The endpoint goes on.
// Without OnError they are logged.
type ErrorHandler interface {
	OnError(ctx context.Context, err error)
}

// ConnectionObserver is an endpoint with OnConnected: a session with a peer has begun. One that gets another stream does not begin again.
type ConnectionObserver interface {
	OnConnected(ctx context.Context, peer Peer)
}

// DisconnectionObserver is an endpoint with OnDisconnected: a session with a peer is over. An Env's own shutdown does not
// cause it.
type DisconnectionObserver interface {
	OnDisconnected(ctx context.Context, peer Peer)
}

// NetworkErrorObserver is an endpoint with OnNetworkError: a stream to a peer broke. The session waits for another one, which the dialler
// opens; OnDisconnected says so if none comes. A listener is not told of a break that it has not noticed before it has the next stream.
type NetworkErrorObserver interface {
	OnNetworkError(ctx context.Context, peer Peer, err error)
}

// Peer is the Env at the other end of a session, or this Env itself for local calls.
type Peer struct {
	// EnvID is the id that the peer gave itself, new at each start of it; empty for a peer that speaks the protocol by hand. A
	// claim, not an identity.
	EnvID string
	// Address is where the peer says that it listens, HOST:PORT; empty in client mode. A claim, not an identity.
	Address string
	// Remote is the peer's socket address; empty for local calls.
	Remote string
	// Session is the id of the session, a uuid v4; empty for local calls.
	Session string
}

// String returns the most telling of its fields: the address, else the socket's, else the Env id.
func (p Peer) String() string {
	switch {
	case p.Address != "":
		return p.Address
	case p.Remote != "":
		return p.Remote
	case p.EnvID != "":
		return p.EnvID
	default:
		return "unknown peer"
	}
}
