package parley_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// panickingLog is a handler of logs that panics where a message has that text.
type panickingLog struct {
	slog.Handler
	text string
}

func (panickingLog) Enabled(context.Context, slog.Level) bool { return true }

func (p panickingLog) WithAttrs([]slog.Attr) slog.Handler { return p }

func (p panickingLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, p.text) {
		panic("on purpose")
	}
	return nil
}

// TestLoggerPanics: a logger that panics when a session begins, on a server of the program's own that recovers it, ends that session, and the Env can be shut
// down.
func TestLoggerPanics(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.New(parley.WithLogger(slog.New(panickingLog{slog.DiscardHandler, "session begins"})))
	if err != nil {
		t.Fatal(err)
	}
	listener := listening(t)
	server := grpc.NewServer(grpc.StreamInterceptor(recovery.StreamServerInterceptor()))
	if err := env.Mount(server, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	serving(t, server, listener)
	caller := newEnv(t)
	if _, err := caller.Lookup(soon(t), "parley://nobody@"+listener.Addr().String(), ""); !errors.Is(err, endpoint.ErrSessionEnded) && !errors.Is(err, endpoint.ErrUnreachable) {
		t.Errorf("a lookup in an Env whose logger panics got %v", err)
	}
	end(t, caller, env)
}
