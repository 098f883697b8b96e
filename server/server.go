package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/mailbox"
	"github.com/parley-rpc/parley/internal/session"
)

// Config is what a Server needs of its Env.
type Config struct {
	// Link is what the Env says of itself when a peer dials.
	Link *link.Config
	// Ref returns the Ref of an endpoint of this Env.
	Ref func(name string) (endpoint.Ref, error)
	// Bind binds a Ref that came in a message.
	Bind func(endpoint.Ref) (endpoint.Bound, error)
	// Logger gets what nobody else is told of.
	Logger *slog.Logger
	// Interceptor runs around every message's handler; nil if there is none.
	Interceptor grpc.UnaryServerInterceptor
	// StreamInterceptor runs around every streaming call's handler; nil if there is none.
	StreamInterceptor grpc.StreamServerInterceptor
	// RelayPolicy returns why a message is not to be passed on to an endpoint of another Env, or nil; nil for no policy. Its context has the peer
	// that has sent it, and its metadata. It must not wait.
	RelayPolicy func(ctx context.Context, fullMethod string, to endpoint.Ref) error
	// StatsHandler is told of every message's and every streaming call's handler; nil if there is none.
	StatsHandler stats.Handler
	// Lost, if it is not nil, is told of a one-way message that was to be passed on to a peer, and cannot be any more.
	Lost func(to endpoint.Peer, m session.Send, reason *endpoint.Error)
	// AskTimeout ends local asks whose context has no deadline.
	AskTimeout time.Duration
	// QueueTimeout bounds the wait for room in a mailbox.
	QueueTimeout time.Duration
}

// Server hosts the endpoints of one Env. Its methods may be called concurrently.
type Server struct {
	config Config
	// life is the parent of every handler's context; hard ends it.
	life context.Context
	hard context.CancelCauseFunc
	own  context.Context // life, of messages that this Env has sent itself

	mu       sync.Mutex
	hosted   map[string]*hosted
	draining map[*hosted]struct{} // stopped, with messages left; nil until there is one, as the next
	relays   map[relayKey]*relay
	stopped  tombstones
	closed   bool

	registered uint64 // how many endpoints ever

	base time.Time // what the times of arrival are counted from: a time.Time would take three times as much, of each message

	workers *mailbox.Workers[*call] // that run the handlers
	crew    crew                    // goroutines of Go and of Accept, and links
	calls   endpoint.Calls          // of the Refs to endpoints of this Env
	dropped atomic.Uint64
	late    atomic.Uint64
	log     *limitedLog
}

// New returns a Server with no endpoints.
func New(c Config) *Server {
	life, hard := context.WithCancelCause(context.Background())
	return &Server{
		config:  c,
		base:    time.Now(),
		life:    life,
		hard:    hard,
		own:     peer.NewContext(life, here),
		hosted:  make(map[string]*hosted),
		workers: mailbox.NewWorkers(handle),
		log:     &limitedLog{logger: c.Logger},
	}
}

// Dropped returns how many one-way messages could not be delivered, because there was no such endpoint or method or they
// could not be decoded, and network events for endpoints that are stuck.
func (s *Server) Dropped() uint64 { return s.dropped.Load() }

// LateReplies returns how many replies of local handlers came when nobody waited any more.
func (s *Server) LateReplies() uint64 { return s.late.Load() }

// clock returns a time as a call keeps it.
func (s *Server) clock(t time.Time) time.Duration { return max(t.Sub(s.base), 1) }

// arrival returns when a message of this Env came, which has waited for room: exactly, if somebody is told of messages, else when the ask or the call
// was made, if it was one. A send takes no look at the clock that nobody needs.
func (s *Server) arrival(started time.Time) time.Duration {
	switch {
	case s.config.StatsHandler != nil:
		return s.clock(time.Now())
	case started.IsZero():
		return 0
	default:
		return s.clock(started)
	}
}

// Go runs f on a goroutine that Shutdown waits for.
func (s *Server) Go(f func()) {
	s.crew.goes(f)
}

// Hold has Shutdown wait until a link is gone.
func (s *Server) Hold(l *link.Link) {
	s.crew.join()
	l.WhenGone(s.crew.leave)
}

// IsClosed reports whether Shutdown has begun.
func (s *Server) IsClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Shutdown stops every endpoint: what is queued is still handled, then OnStop is called. When ctx ends first, what is queued is failed, the
// contexts of running handlers are cancelled, local asks that they have not answered fail, and Shutdown returns an error that names the endpoints that were not done.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, h := range s.hosted {
		s.drainLocked(h)
	}
	clear(s.hosted)
	all := make([]*hosted, 0, len(s.draining))
	for h := range s.draining {
		all = append(all, h)
	}
	s.mu.Unlock()
	for i, h := range all {
		select {
		case <-h.box.Done():
		case <-ctx.Done():
			return s.abort(all[i:])
		}
	}
	select {
	case <-s.workers.Gone(): // which have nothing left to do
	case <-ctx.Done():
	}
	return nil
}

// abort is the hard end of Shutdown.
func (s *Server) abort(left []*hosted) error {
	stopped := &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "the time to drain the mailboxes is over", Phase: endpoint.PhaseSent, Execution: endpoint.NotExecuted}
	s.hard(stopped)
	var names []string
	for _, h := range left {
		h.box.Drop(func(c *call) { c.refuse(stopped) })
		h.asks.fail(failure(endpoint.ReasonEnvStopped, endpoint.MayHaveExecuted, "the time to drain the mailboxes is over"))
		select {
		case <-h.box.Done():
		default:
			names = append(names, h.name())
		}
	}
	return &notDrained{names: names}
}

// End ends the contexts of all handlers and waits, until ctx ends, for what the server started.
func (s *Server) End(ctx context.Context) {
	s.hard(&endpoint.Error{Reason: endpoint.ReasonEnvStopped})
	for _, end := range append(s.endRelays(), s.crew.gone()) { // the end of all links ends them
		select {
		case <-end:
		case <-ctx.Done():
			return
		}
	}
}
