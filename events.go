package parley

import (
	"context"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
)

// connected tells the endpoints that a session has begun.
func (e *Env) connected(l *link.Link) {
	peer := l.Peer()
	e.settings.logger.Debug("session begins", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session)
	e.server.Broadcast(func(ctx context.Context, impl any) {
		impl.(endpoint.ConnectionObserver).OnConnected(ctx, peer)
	}, "OnConnected", is[endpoint.ConnectionObserver])
}

// ended tells the endpoints that a session is over; if its stream broke, that first.
func (e *Env) ended(l *link.Link, reason *endpoint.Error, broken bool) {
	e.table.Remove(l)
	e.server.Forget(l)
	peer := l.Peer()
	e.settings.logger.Debug("session ends", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session, "reason", reason.Text)
	if broken {
		e.broken(l, reason)
	}
	e.server.Broadcast(func(ctx context.Context, impl any) {
		impl.(endpoint.DisconnectionObserver).OnDisconnected(ctx, peer)
	}, "OnDisconnected", is[endpoint.DisconnectionObserver])
}

// broken tells the endpoints that a stream has broken.
func (e *Env) broken(l *link.Link, reason *endpoint.Error) {
	peer := l.Peer()
	e.settings.logger.Debug("stream broke", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session, "reason", reason.Text)
	e.server.Broadcast(func(ctx context.Context, impl any) {
		impl.(endpoint.NetworkErrorObserver).OnNetworkError(ctx, peer, reason)
	}, "OnNetworkError", is[endpoint.NetworkErrorObserver])
}

func is[T any](impl any) bool {
	_, ok := impl.(T)
	return ok
}
