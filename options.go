package parley

import (
	"context"
	"log/slog"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
)

// Option is an option of Listen and New.
type Option func(*settings)

// settings are the options, applied.
type settings struct {
	name           string
	advertise      string
	portRetries    int
	logger         *slog.Logger
	askTimeout     time.Duration
	queueTimeout   time.Duration
	connectTimeout time.Duration
	drainTimeout   time.Duration
	limits         *session.Limits
	serverOptions  []grpc.ServerOption
	dialOptions    []grpc.DialOption
	streamAge      time.Duration
	unacknowledged func(endpoint.Unacknowledged)
	interceptors   []grpc.UnaryServerInterceptor
	clientSide     []grpc.UnaryClientInterceptor
	introspection  introspection
	relayPolicy    func(ctx context.Context, fullMethod string, to endpoint.Ref) error
	peerSessions   int

	streamInterceptors []grpc.StreamServerInterceptor
	streamClientSide   []grpc.StreamClientInterceptor

	statsHandlers       []stats.Handler
	clientStatsHandlers []stats.Handler
}

func apply(opts []Option) settings {
	limits := session.InitialLimits()
	s := settings{
		name:           "parley",
		portRetries:    16,
		logger:         slog.Default(),
		askTimeout:     120 * time.Second,
		queueTimeout:   30 * time.Second,
		connectTimeout: 20 * time.Second,
		drainTimeout:   30 * time.Second,
		limits:         &limits,
		peerSessions:   1024,
		dialOptions:    []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}
	for _, o := range opts {
		o(&s)
	}
	s.limits = s.limits.Shared()
	s.logger = s.logger.With("env", s.name)
	return s
}

// WithName names the Env in its log lines and in the message about a port that is taken. It is no part of any address. The default is "parley".
func WithName(name string) Option { return func(s *settings) { s.name = name } }

// WithAdvertise sets the host that the Env's Refs and hello name, where it is not the one that it is bound to: a DNS name, or the address
// outside of a NAT. The port is the one that was bound, unless address has one of its own: "HOST" or "HOST:PORT". It is not resolved.
// The default is the host that was given to Listen; where that is none, 0.0.0.0 or [::], it is the first address of the machine
// that others may reach, IPv4 before IPv6. With New, where nothing is bound, it must be "HOST:PORT".
func WithAdvertise(address string) Option { return func(s *settings) { s.advertise = address } }

// WithPortRetries sets how many further ports Listen tries, one after the other, when one is taken. 0 means none. The default is 16.
func WithPortRetries(n int) Option { return func(s *settings) { s.portRetries = max(n, 0) } }

// WithLogger sets where the Env logs. The default is slog.Default().
func WithLogger(l *slog.Logger) Option { return func(s *settings) { s.logger = l } }

// WithAskTimeout sets when an ask or a lookup ends whose context has no deadline, the wait for a session and for room
// included. The default is 120 s.
func WithAskTimeout(d time.Duration) Option { return func(s *settings) { s.askTimeout = d } }

// WithQueueTimeout sets how long a message may wait for room in the window of its endpoint, if its context does not end first. The default is
// 30 s.
func WithQueueTimeout(d time.Duration) Option { return func(s *settings) { s.queueTimeout = d } }

// WithConnectTimeout bounds one attempt to open a session. The default is 20 s.
func WithConnectTimeout(d time.Duration) Option { return func(s *settings) { s.connectTimeout = d } }

// WithDrainTimeout bounds a Shutdown whose context has no deadline. The default is 30 s.
func WithDrainTimeout(d time.Duration) Option { return func(s *settings) { s.drainTimeout = d } }

// WithWindow sets how much of one sender (a peer, or this Env itself) may wait in a mailbox of this Env: both limits
// hold, and may be overdrawn by one message. The default is 8,192 messages and 1 MiB.
func WithWindow(messages int, bytes int) Option {
	return func(s *settings) {
		s.limits.MailboxMessages, s.limits.MailboxBytes = uint64(max(messages, 1)), uint64(max(bytes, 1))
	}
}

// WithSessionWindow sets how many bytes of one peer may wait in all mailboxes of this Env together, not counting messages larger than 15,900 bytes,
// for which WithTransferWindow is. The default is 4 MiB.
func WithSessionWindow(bytes int) Option {
	return func(s *settings) { s.limits.SessionBytes = uint64(max(bytes, 1)) }
}

// WithTransferWindow sets how many bytes of large messages of one peer may wait in all mailboxes of this Env, or be
// under way to them. It may be overdrawn by one message. The default is 64 MiB.
func WithTransferWindow(bytes int) Option {
	return func(s *settings) { s.limits.TransferBytes = uint64(max(bytes, 1)) }
}

// WithStreamWindow sets how many bytes of messages of one streaming call, in the direction to this Env, may wait to be read here. It may be overdrawn by one message:
// by 64 KiB, or by one in chunks, which takes of WithTransferWindow, too. The default is 256 KiB.
func WithStreamWindow(bytes int) Option {
	return func(s *settings) { s.limits.StreamBytes = uint64(max(bytes, 1)) }
}

// WithMaxStreams sets how many streaming calls of one session may be open at a time. What is above that fails with ErrOverloaded. The default is 1,024. Of each
// there wait to be read at most the bytes of WithStreamWindow and 64 KiB, by which a message may overdraw it: by default 320 MiB of one session, beside what
// WithTransferWindow allows.
func WithMaxStreams(n int) Option {
	return func(s *settings) { s.limits.Streams = uint32(min(max(n, 1), math.MaxInt32)) }
}

// WithMaxMessageSize sets the largest encoded message that this Env accepts, request or reply, in bytes. The default is 128 MiB.
func WithMaxMessageSize(bytes int) Option {
	return func(s *settings) { s.limits.MessageBytes = uint64(max(bytes, 1)) }
}

// WithMaxPending sets how many messages of one session may wait for an answer of this Env at a time: asks, lookups, and sends that want a receipt.
// One too many fails with endpoint.ErrOverloaded, alone. The default is 65,536.
func WithMaxPending(n int) Option { return func(s *settings) { s.limits.Pending = atLeastOne(n) } }

// WithMaxEndpoints sets to how many endpoints of this Env, or behind it, one session may send in its life; each costs an account of its window. One
// too many fails with endpoint.ErrOverloaded at its sender; a peer that sends it all the same has its session ended. The default is 65,536.
func WithMaxEndpoints(n int) Option { return func(s *settings) { s.limits.Mailboxes = atLeastOne(n) } }

func atLeastOne(n int) uint32 { return uint32(min(max(n, 1), math.MaxUint32)) }

// WithPeerSessions sets how many sessions one peer may have with this Env that it has opened, those included that have lost their stream and wait for
// another one. A peer is a principal (endpoint.Principal); without that, an IPv4 address, or 64 bits of an IPv6 one, so all programs behind one NAT
// or proxy count as one. A further session is refused with codes.Unavailable. The default is 1,024; 0 means any number.
func WithPeerSessions(n int) Option { return func(s *settings) { s.peerSessions = max(n, 0) } }

// Policy decides who may call what. *policy.Policy is one.
type Policy interface {
	// Unary decides on messages, and Stream on streaming calls, when they begin. Both run where the handler does.
	Unary() grpc.UnaryServerInterceptor
	Stream() grpc.StreamServerInterceptor
	// Relay returns a status error for what is not to be passed on to an endpoint of another Env. It must not wait.
	Relay(ctx context.Context, fullMethod string, to endpoint.Ref) error
}

// WithPolicy has p decide on all that others, and this Env itself, call at its endpoints, by whatever way, and on all that it relays. It stands for WithUnaryInterceptors,
// WithStreamInterceptors and WithRelayPolicy together, so that no kind of call is left out; interceptors that are given before it run around it. The default is that
// everybody may call everything.
func WithPolicy(p Policy) Option {
	return func(s *settings) {
		s.interceptors = append(s.interceptors, p.Unary())
		s.streamInterceptors = append(s.streamInterceptors, p.Stream())
		WithRelayPolicy(p.Relay)(s)
	}
}

// WithRelayPolicy has f called for each message that a peer wants passed on to an endpoint of another Env: a gRPC status error refuses it, and its
// sender gets that; nil lets it pass. The context has the peer (peer.FromContext, endpoint.Principal) and the metadata; fullMethod is
// "/package.Service/Method", as the peer says; to is in client mode. The Env that gets the message sees this Env as its sender, so nobody after f can
// tell who has sent it. f may be called concurrently, holds up all that comes from the peer, and must not wait. Lookups are passed on without it.
//
// Given again, also by WithPolicy, each must let it pass, in the order in which they are given. The default is to relay everything.
func WithRelayPolicy(f func(ctx context.Context, fullMethod string, to endpoint.Ref) error) Option {
	return func(s *settings) {
		before := s.relayPolicy
		if before == nil {
			s.relayPolicy = f
			return
		}
		s.relayPolicy = func(ctx context.Context, fullMethod string, to endpoint.Ref) error {
			if err := before(ctx, fullMethod, to); err != nil {
				return err
			}
			return f(ctx, fullMethod, to)
		}
	}
}

// WithServerOptions adds options for the gRPC server that Listen makes, such as grpc.Creds.
func WithServerOptions(opts ...grpc.ServerOption) Option {
	return func(s *settings) { s.serverOptions = append(s.serverOptions, opts...) }
}

// WithDialOptions adds options for the connections that the Env makes, such as grpc.WithTransportCredentials. The default is plaintext.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(s *settings) { s.dialOptions = append(s.dialOptions, opts...) }
}

// WithSessionTTL sets how long a session that has lost its stream is kept, with all that waits in it, for another one. The smaller of both
// sides' counts. The default is 60 s.
func WithSessionTTL(d time.Duration) Option {
	return func(s *settings) { s.limits.SessionTTL = max(d, time.Millisecond) }
}

// WithHeartbeat sets how long a peer may be silent before it is sent a ping. A stream on which three of them in a row are not answered
// is given up, and so is one on which nothing is acknowledged for as long; the session then takes another one. The default is 10 s.
func WithHeartbeat(d time.Duration) Option {
	return func(s *settings) { s.limits.Heartbeat = max(d, time.Millisecond) }
}

// WithReplayWindow sets how many bytes a session keeps of what its peer has not acknowledged; then senders wait. It bounds what a stream can
// carry in one round trip. The default is 4 MiB.
func WithReplayWindow(bytes int) Option {
	return func(s *settings) { s.limits.ReplayBytes = uint64(max(bytes, 1)) }
}

// WithUnacknowledged has f called for each send that its peer had not acknowledged when the session ended: once, in the order of the
// sends of that session, on a goroutine of the Env that Shutdown waits for; and for each send that this Env was to pass on for another, and could not any
// more. The default is to log their number.
func WithUnacknowledged(f func(endpoint.Unacknowledged)) Option {
	return func(s *settings) { s.unacknowledged = f }
}

// WithStreamAge has the sessions that peers open with this Env move to another stream, and connection, when theirs is that old, give or take a
// tenth, before a load balancer cuts it. Nothing is lost or repeated by that. The default is never;
// a listener that ends its connections by itself (gRPC's MaxConnectionAge) is moved away from, too.
func WithStreamAge(d time.Duration) Option { return func(s *settings) { s.streamAge = d } }
