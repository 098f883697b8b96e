// Package peer says what a framework under measurement is, so that every workload runs over each of them, in one process or
// in two. The frameworks are in its sub-packages.
package peer

import (
	"context"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// Options are what a peer is opened with.
type Options struct {
	// TLS has the connection encrypted. The server has a certificate, which the client trusts; the client has none.
	TLS bool
	// Certificate is what both ends' tls.Configs are made of. It is nil without TLS.
	Certificate *Certificate
}

// System is one framework under measurement. Its methods may be called concurrently.
type System interface {
	// Name returns the name of the framework, as in the names of benchmarks: parley, grpc-unary, drpc.
	Name() string
	// Serve starts a server on 127.0.0.1, at a port of its choice. It answers requests with workload.Echo; sink receives what is sent one way. ctx bounds the start only.
	Serve(ctx context.Context, o Options, sink *workload.Sink) (Server, error)
	// Dial connects a client to a server, which may be in another process. ctx bounds that only.
	Dial(ctx context.Context, address string, o Options) (Client, error)
}

// Server is a server that a System has started.
type Server interface {
	// Address returns where a client connects, HOST:PORT.
	Address() string
	// Close ends the server, after its clients, and reports whatever was lost or left.
	Close(ctx context.Context) error
}

// Client is a client of a Server. Except for the calls that Caller returns, one goroutine at a time uses it.
type Client interface {
	// Caller returns what the k-th of concurrent callers calls: one that has a connection or a stream of its own, where the framework wants that, and the same for
	// all otherwise. ctx bounds only what is needed to open it. It may be called again for the same k once the calls of the former have returned.
	Caller(ctx context.Context, k int) (workload.Call, error)
	// Send sends one message one way. It may buffer; Flush follows the last. ctx lasts until that Flush has returned.
	Send(ctx context.Context, r *sayhiv1.HiRequest) error
	// Flush has what was sent before leave this process. It need not wait until the server has it.
	Flush(ctx context.Context) error
	// Close ends the client and reports whatever was lost or left.
	Close(ctx context.Context) error
}
