package parley

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"strconv"
	"syscall"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/introspect"
	"github.com/parley-rpc/parley/internal/link"
)

// Ports that Listen may try. Lower ones need privileges.
const (
	lowestPort = 1024
	highPort   = 65536
)

// windowBytes is the HTTP/2 window of a stream and of a connection: as wide as the window of a session, so that the latter is
// what holds a sender up.
const windowBytes = 8 << 20

// Listen returns an Env that listens at address, HOST:PORT. Port 0 is any free one. If the port is taken, the following
// ones are tried (WithPortRetries), and a line is logged for each. The gRPC server behind it is the Env's own: with recovery
// and logging by go-grpc-middleware, health, and server reflection.
//
// A peer from which nothing has come for 20 s is pinged, and its connection is cut if nothing comes for 10 s more, so that sessions end
// whose peers are gone without a word. Peers may ping every 5 s. WithServerOptions overrides both.
//
// Errors: endpoint.ErrInvalid for an address that is malformed or a port below 1,024; what net.Listen returns, with the setting to
// raise if all ports were taken.
func Listen(address string, opts ...Option) (*Env, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	e, err := newEnv(opts)
	if err != nil {
		return nil, err
	}
	listener, err := e.bind(host, port)
	if err != nil {
		return nil, err
	}
	bound := listener.Addr().(*net.TCPAddr).Port
	a, err := advertised(e.settings.advertise, host, bound)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	e.address = a.String()
	e.serve(listener)
	return e, nil
}

// splitAddress parses the address of Listen, where the port may be 0.
func splitAddress(address string) (host string, port int, err error) {
	invalid := func(reason string) error {
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "listen", Text: fmt.Sprintf("invalid address %.300q: %s", address, reason)}
	}
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, invalid("it must be HOST:PORT")
	}
	if port, err = strconv.Atoi(p); err != nil || port != 0 && (port < lowestPort || port >= highPort) {
		return "", 0, invalid("the port must be 0, or 1024 to 65535")
	}
	return host, port, nil
}

// bind listens on port, or on one of the following if it is taken, as Spark does: wrapping inside the range.
func (e *Env) bind(host string, port int) (net.Listener, error) {
	for retry := 0; ; retry++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
		if retry == e.settings.portRetries {
			return nil, fmt.Errorf("parley: service '%s' could not bind after %d retries: %w. parley.WithPortRetries controls how many ports are tried", e.settings.name, retry, err)
		}
		next := nextPort(port)
		e.settings.logger.Warn(fmt.Sprintf("Service '%s' could not bind on port %d. Attempting port %d.", e.settings.name, port, next), "port", port, "next_port", next)
		port = next
	}
}

// nextPort returns the port to try after one that is taken.
func nextPort(port int) int {
	if port == 0 {
		return 0
	}
	return (port+1-lowestPort)%(highPort-lowestPort) + lowestPort
}

// advertised returns the address for Refs.
func advertised(advertise, host string, port int) (endpoint.Address, error) {
	if advertise == "" {
		if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
			host = machineAddress()
		}
		return endpoint.NewAddress(host, port)
	}
	a, err := endpoint.ParseAddress(advertise)
	if err != nil {
		a, err = endpoint.NewAddress(advertise, port)
	}
	if err != nil {
		return a, err
	}
	return a, refuseEverywhere(a)
}

// refuseEverywhere returns why a cannot be in a Ref, or nil.
func refuseEverywhere(a endpoint.Address) error {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil || !net.ParseIP(host).IsUnspecified() {
		return err
	}
	return &endpoint.Error{Reason: endpoint.ReasonInvalid, Verb: "advertise", Text: a.String() + " is every address of whatever machine a Ref comes to"}
}

// machineAddress returns the first address of this machine that others may reach, as Spark does: "every address" means nothing in a
// Ref. IPv4 comes first, because it is there where IPv6 is; a machine without a network is reached by itself only.
func machineAddress() string {
	found := "localhost"
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return found
	}
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if found == "localhost" {
			found = n.IP.String()
		}
	}
	return found
}

// serve starts the Env's own gRPC server.
func (e *Env) serve(listener net.Listener) {
	log := grpcLogger(e.settings.logger)
	recovered := recovery.WithRecoveryHandler(func(p any) error {
		e.settings.logger.Error("parley: a gRPC handler panicked", "panic", p)
		return status.Error(codes.Internal, "the handler panicked")
	})
	options := append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(logging.UnaryServerInterceptor(log, logging.WithLogOnEvents(logging.FinishCall)), recovery.UnaryServerInterceptor(recovered)),
		grpc.ChainStreamInterceptor(streamLogger(log), recovery.StreamServerInterceptor(recovered)),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(2 * windowBytes),
		// A client that is gone without a word is found out, and its session with it. Clients may ask in the same way.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}, ServerOptions(e)...)
	options = append(options, e.settings.serverOptions...)
	s := grpc.NewServer(options...)
	e.server.RegisterOn(s)
	healthv1.RegisterHealthServer(s, health.NewServer())
	if i := e.settings.introspection; i.on {
		introspect.Register(s, introspected{e}, i.authorize)
	}
	RegisterReflection(e, s)
	e.grpc = s
	e.serving.Add(1)
	go func() { // Shutdown waits for it
		defer e.serving.Done()
		// A Shutdown that comes before Serve is no failure.
		if err := s.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			e.settings.logger.Error("parley: the gRPC server has failed", "error", err)
		}
	}()
}

// streamLogger logs the ends of streams as go-grpc-middleware does. Those of sessions it logs itself, with the same keys: what the interceptor has of each
// stream for as long as it lasts, on its stack above all, is 5 KB, which is much of what a session takes.
func streamLogger(log logging.Logger) grpc.StreamServerInterceptor {
	others := logging.StreamServerInterceptor(log, logging.WithLogOnEvents(logging.FinishCall))
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if info.FullMethod != link.Method {
			return others(srv, stream, info, handler)
		}
		err := handler(srv, stream)
		logSession(stream.Context(), log, err)
		return err
	}
}

// logSession logs the end of a stream that carried a session, or was refused. One that another stream has taken over from has ended well.
func logSession(ctx context.Context, log logging.Logger, err error) {
	code := status.Code(err)
	level := logging.DefaultServerCodeToLevel(code)
	if code == codes.Aborted {
		level = logging.LevelDebug
	}
	fields := []any{"grpc.service", link.Service, "grpc.method", path.Base(link.Method), "grpc.code", code.String()}
	if err != nil {
		fields = append(fields, "grpc.error", err)
	}
	if address := link.RemoteAddr(ctx); address != "" {
		fields = append(fields, "peer.address", address)
	}
	log.Log(ctx, level, "finished call", fields...)
}

// grpcLogger adapts slog to go-grpc-middleware. Streams and calls that end well are of interest to few.
func grpcLogger(l *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		if level < logging.LevelWarn {
			level = logging.LevelDebug
		}
		l.Log(ctx, slog.Level(level), msg, fields...)
	})
}

// dialOptions are those of the connections that the Env makes.
func (e *Env) dialOptions() []grpc.DialOption {
	return append([]grpc.DialOption{
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(2 * windowBytes),
		// There is nothing in a service config for a single long stream, and to look for one is a DNS query for a TXT record, which
		// some networks leave unanswered for seconds.
		grpc.WithDisableServiceConfig(),
	}, e.settings.dialOptions...)
}
