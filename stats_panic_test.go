package parley_test

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// panicking is a stats.Handler that panics when it is told of what is sent.
type panicking struct{}

// TagRPC implements stats.Handler.
func (panicking) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (panicking) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.OutHeader, *stats.OutTrailer:
		panic("asked for")
	}
}

// TagConn implements stats.Handler.
func (panicking) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (panicking) HandleConn(context.Context, stats.ConnStats) {}

// heading is a server whose handlers answer with headers.
type heading struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (heading) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, nil
}

func (heading) UnaryCall(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return nil, status.Error(codes.OutOfRange, "no more")
}

func (heading) FullDuplexCall(stream duplexServer) error {
	return stream.SetHeader(metadata.Pairs("h", "1"))
}

// TestStatsHandlerPanics: a stats handler that panics when it is told of the answer leaves each call with one answer.
func TestStatsHandlerPanics(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, heading{}, parley.WithStatsHandlers(panicking{}), parley.WithLogger(slog.New(slog.DiscardHandler)))
	for name, stub := range w.stubs {
		if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); err != nil {
			t.Errorf("%s: a reply: %v", name, err)
		}
		if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.OutOfRange {
			t.Errorf("%s: an error: %v", name, err)
		}
		stream, err := stub.FullDuplexCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != io.EOF {
			t.Errorf("%s: a stream: %v", name, err)
		}
	}
	w.idle(t)
	for _, env := range []*parley.Env{w.host, w.caller, w.behind} {
		if c := env.Counters(); c.LateReplies != 0 {
			t.Errorf("%d late replies", c.LateReplies)
		}
		for _, s := range env.Sessions() {
			if s.OpenAsks != 0 || s.Ignored.LateReplies != 0 {
				t.Errorf("%d asks are open, %d replies were late", s.OpenAsks, s.Ignored.LateReplies)
			}
		}
	}
	w.end(t)
}
