package client

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/latch"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/smallmap"
)

// Config is what a Client needs of its Env.
type Config struct {
	// Link is what the Env says of itself when it dials.
	Link *link.Config
	// DialOptions are those of the connections that the Client makes.
	DialOptions []grpc.DialOption
	// ConnectTimeout bounds one attempt to connect.
	ConnectTimeout time.Duration
	// AskTimeout ends asks whose context has no deadline.
	AskTimeout time.Duration
	// QueueTimeout bounds the wait for room in a peer's mailbox.
	QueueTimeout time.Duration
	// Go runs a function on a goroutine that the Env waits for.
	Go func(func())
	// Hold has the Env wait until a link is gone.
	Hold func(*link.Link)
}

// Client keeps the sessions that an Env has dialled. Its methods may be called concurrently.
type Client struct {
	config Config
	calls  endpoint.Calls // of all Refs

	mu    sync.Mutex
	paths map[path]*link.Link         // nil until there is one
	peers smallmap.Map[string, *peer] // by address; those with a link or an attempt, and those with a connection of the user's
	over  latch.Latch                 // set by Close
}

// New returns a Client without sessions.
func New(c Config) *Client {
	return &Client{config: c}
}

// Use makes the Client reach address by cc, which it does not close. It fails with ErrDuplicate if there is a session with that address already, or another
// connection.
func (c *Client) Use(address string, cc grpc.ClientConnInterface) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers.Get(address) != nil {
		return &endpoint.Error{Reason: endpoint.ReasonDuplicate, Text: "there is a connection to " + address + " already", Peer: address}
	}
	c.peers.Set(address, &peer{client: c, address: address, cc: cc, owned: true})
	return nil
}

// Close refuses new sessions and ends the attempts to connect. Sessions that live go on.
func (c *Client) Close() {
	var under []*attempt
	c.mu.Lock()
	c.over.Set()
	for _, p := range c.peers.All() {
		if p.attempt != nil {
			under = append(under, p.attempt)
		}
	}
	c.mu.Unlock()
	for _, a := range under {
		a.cancel()
	}
}

// Caller returns what carries messages to the endpoint of ref, which is not one of this Env.
func (c *Client) Caller(ref endpoint.Ref) endpoint.Caller {
	p := &path{envID: ref.EnvID(), via: ref.Address()}
	if p.via == "" {
		p.via = ref.Via()
	}
	return &remote{client: c, name: ref.Name(), clientMode: p.envID != "", path: p}
}

// link returns the session with the Env at address, connecting if there is none. noWait fails instead of waiting, but
// begins to connect; wait goes on until ctx ends where a connection fails.
func (c *Client) link(ctx context.Context, address string, wait, noWait bool) (*link.Link, *endpoint.Error) {
	backoff := link.NewBackoff()
	var started time.Time // when it had to wait for the first time
	stale := true         // an attempt that was under way before may have failed where one that begins now would not
	for {
		c.mu.Lock()
		if c.over.IsSet() {
			c.mu.Unlock()
			return nil, envStopped()
		}
		p := c.peers.Get(address)
		if p == nil {
			p = &peer{client: c, address: address}
			c.peers.Set(address, p)
		}
		if l := p.live(); l != nil {
			c.mu.Unlock()
			return l, nil
		}
		a, begun := p.connectLocked()
		c.mu.Unlock()
		if noWait {
			return nil, connecting(&endpoint.Error{Reason: endpoint.ReasonUnreachable, Text: "there is no session yet; one is being opened"}, time.Now())
		}
		if started.IsZero() {
			started = time.Now()
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, connecting(endpoint.ContextError(ctx), started)
		}
		if a.err == nil {
			return a.link, nil
		}
		if !wait && stale && !begun {
			stale = false
			continue
		}
		if !wait {
			e := *a.err // shared by all who waited
			return nil, connecting(&e, started)
		}
		if err := backoff.Pause(ctx, c.over.Done()); err != nil {
			e := connecting(endpoint.ContextError(ctx), started)
			e.Text = "the last attempt: " + a.err.Text
			return nil, e
		}
	}
}

// connecting completes an error of somebody who has waited for a session since started.
func connecting(e *endpoint.Error, started time.Time) *endpoint.Error {
	e.Phase, e.Execution, e.Elapsed = endpoint.PhaseConnecting, endpoint.NotExecuted, time.Since(started)
	return e
}

// envStopped returns the error of who wants a session after Close.
func envStopped() *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "this Env is shut down, or being shut down", Phase: endpoint.PhaseConnecting, Execution: endpoint.NotExecuted}
}
