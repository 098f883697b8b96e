package protoactorpeer

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorLog returns protoactor's logger, which by default writes of every step.
func errorLog(*actor.ActorSystem) *slog.Logger {
	text := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	return slog.New(errorHandler{text.WithAttrs([]slog.Attr{slog.String("lib", "protoactor")})})
}

// errorHandler drops that a connection was lost because either end has closed it, which protoactor reports as an error.
type errorHandler struct {
	slog.Handler
}

// Handle writes r.
func (h errorHandler) Handle(ctx context.Context, r slog.Record) error {
	closed := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		closed = ok && (status.Code(err) == codes.Canceled || strings.Contains(err.Error(), "graceful_stop"))
		return !closed
	})
	if closed {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns a handler that adds attrs.
func (h errorHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return errorHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup returns a handler that puts what it adds into a group.
func (h errorHandler) WithGroup(name string) slog.Handler {
	return errorHandler{h.Handler.WithGroup(name)}
}
