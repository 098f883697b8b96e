package parley

import (
	"context"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/piecewise"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// connected tells the endpoints that a session has begun.
func (e *Env) connected(l *link.Link) {
	peer := l.Peer()
	e.settings.logger.Debug("parley: session begins", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session)
	e.server.Broadcast(func(ctx context.Context, impl any) {
		impl.(endpoint.ConnectionObserver).OnConnected(ctx, peer)
	}, "OnConnected", is[endpoint.ConnectionObserver])
}

// ended tells the endpoints that a session is over; if its stream broke, that first.
func (e *Env) ended(l *link.Link, reason *endpoint.Error, broken bool) {
	e.table.Remove(l)
	e.server.Forget(l)
	peer := l.Peer()
	e.settings.logger.Debug("parley: session ends", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session, "reason", reason.Reason.String(), "error", reason.Text)
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
	e.settings.logger.Debug("parley: stream broke", "peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session, "reason", reason.Reason.String(), "error", reason.Text)
	e.server.Broadcast(func(ctx context.Context, impl any) {
		impl.(endpoint.NetworkErrorObserver).OnNetworkError(ctx, peer, reason)
	}, "OnNetworkError", is[endpoint.NetworkErrorObserver])
}

// unacknowledged tells the program which sends may be lost, or logs how many if it has not asked for that.
func (e *Env) unacknowledged(peer endpoint.Peer, sends []session.Send, reason *endpoint.Error) {
	if e.settings.unacknowledged == nil {
		e.settings.logger.Warn("parley: a session ended with sends that were not acknowledged",
			"peer", peer.String(), "peer_env", peer.EnvID, "session", peer.Session, "sends", len(sends), "reason", reason.Reason.String(), "error", reason.Text)
		return
	}
	e.server.Go(func() { e.report(peer, sends, reason) })
}

// lost returns what tells the program of sends that could not be passed on; nil if it has not asked for that.
func (e *Env) lost() func(to endpoint.Peer, m session.Send, reason *endpoint.Error) {
	if e.settings.unacknowledged == nil {
		return nil
	}
	return func(to endpoint.Peer, m session.Send, reason *endpoint.Error) {
		e.report(to, []session.Send{m}, reason)
	}
}

// report calls the function of WithUnacknowledged for each of sends.
func (e *Env) report(peer endpoint.Peer, sends []session.Send, reason *endpoint.Error) {
	defer func() {
		if v := recover(); v != nil {
			e.settings.logger.Error("parley: the function of WithUnacknowledged panicked", "peer", peer.String(), "session", peer.Session, "panic", v)
		}
	}()
	for i := range sends {
		s := &sends[i]
		if s.Parts != nil {
			s.Payload, s.Parts = piecewise.Join(s.Parts), nil
		}
		e.settings.unacknowledged(endpoint.Unacknowledged{
			Peer: peer, Endpoint: s.Target.Endpoint, Method: s.Target.Method, Metadata: wire.MD(s.Metadata), Payload: s.Payload,
			Execution: s.Execution, Reason: reason,
		})
	}
}

func is[T any](impl any) bool {
	_, ok := impl.(T)
	return ok
}
