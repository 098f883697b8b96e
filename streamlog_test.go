package parley_test

import (
	"errors"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// lines are the lines of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// with returns those lines that contain all of texts.
func (l *lines) with(texts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
next:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// TestEndsOfStreamsAreLogged, once each, with who it was and why: at warning or above what an operator should look at, and at debug what ends well.
func TestEndsOfStreamsAreLogged(t *testing.T) {
	refusing := parley.WithServerOptions(grpc.ChainStreamInterceptor(
		func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return status.Error(codes.PermissionDenied, "on purpose")
		}))
	for _, c := range []struct {
		name string
		opts []parley.Option
		run  func(t *testing.T, env *parley.Env)
		want []string // of the only line above debug, nil if there is none
		well int      // streams that end well
	}{
		{"refused by an interceptor", []parley.Option{refusing}, func(t *testing.T, env *parley.Env) {
			received(t, env, codes.PermissionDenied, &parleyv1.Frame{Hello: &parleyv1.Hello{}})
		}, []string{"level=WARN", "PermissionDenied", "on purpose"}, 0},
		{"refused", nil, func(t *testing.T, env *parley.Env) {
			received(t, env, codes.Unimplemented, &parleyv1.Frame{Hello: &parleyv1.Hello{LowestRevision: 1000}})
		}, []string{"level=ERROR", "Unimplemented", "refused"}, 0},
		{"a violation", nil, func(t *testing.T, env *parley.Env) {
			received(t, env, codes.Unimplemented, &parleyv1.Frame{Hello: &parleyv1.Hello{}}, &parleyv1.Frame{Number: 1, Envelopes: []*parleyv1.Envelope{{}}})
		}, []string{"level=ERROR", "Unimplemented", "protocol violation"}, 0},
		{"ended well", nil, func(t *testing.T, env *parley.Env) {
			client := newEnv(t)
			if _, err := client.Lookup(soon(t), "parley://a@"+env.Address(), ""); !errors.Is(err, endpoint.ErrEndpointNotFound) {
				t.Errorf("a lookup of nothing: %v", err)
			}
			end(t, client)
		}, nil, 1},
		{"taken over", []parley.Option{parley.WithStreamAge(300 * time.Millisecond)}, func(t *testing.T, env *parley.Env) {
			client := newEnv(t)
			if _, err := client.Lookup(soon(t), "parley://a@"+env.Address(), ""); !errors.Is(err, endpoint.ErrEndpointNotFound) {
				t.Errorf("a lookup of nothing: %v", err)
			}
			for ctx := soon(t); env.Sessions()[0].Rotations == 0; runtime.Gosched() {
				if ctx.Err() != nil {
					t.Fatal("no other stream has taken over")
				}
			}
			end(t, client)
		}, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			log := &lines{}
			logger := parley.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			env, err := parley.Listen("127.0.0.1:0", append(c.opts, logger)...)
			if err != nil {
				t.Fatal(err)
			}
			c.run(t, env)
			end(t, env)
			const stream = "grpc.service=parley.v1.Parley grpc.method=Connect"
			if found := log.with(stream, "level=DEBUG", "grpc.code=OK"); len(found) != c.well {
				t.Errorf("streams that ended well: %q, want %d lines", found, c.well)
			}
			found := slices.Concat(log.with(stream, "level=WARN"), log.with(stream, "level=ERROR"))
			if c.want == nil {
				if len(found) != 0 {
					t.Errorf("logged %q, want nothing above debug", found)
				}
				return
			}
			if len(found) != 1 || len(log.with(append(c.want, "peer.address=127.0.0.1:")...)) != 1 {
				t.Errorf("logged %q, want one line, with %q", found, c.want)
			}
		})
	}
}

// received opens a stream with env, sends frames, and reads until it ends, which must be with that code.
func received(t *testing.T, env *parley.Env, want codes.Code, frames ...*parleyv1.Frame) {
	t.Helper()
	stream, err := parleyv1.NewParleyClient(dialing(t, env.Address())).Connect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := stream.Send(f); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != want {
		t.Errorf("the stream ended with %v, want %v", err, want)
	}
}

// TestPanicInAnOpening: what panics while a session is opened is recovered like any gRPC handler, and nothing else is harmed.
func TestPanicInAnOpening(t *testing.T) {
	leaktest.Check(t)
	log := &lines{}
	env, err := parley.Listen("127.0.0.1:0", parley.WithLogger(slog.New(slog.NewTextHandler(log, nil))),
		parley.WithServerOptions(grpc.ChainStreamInterceptor(
			func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				return handler(srv, speechless{stream})
			})))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		received(t, env, codes.Internal, &parleyv1.Frame{Hello: &parleyv1.Hello{}})
	}
	end(t, env)
	if found := log.with("a gRPC handler panicked", "on purpose", "link.accept("); len(found) != 2 {
		t.Errorf("logged %q, want two lines with the panic and where it was", found)
	}
}

// speechless is a stream on which nothing can be sent.
type speechless struct{ grpc.ServerStream }

func (speechless) SendMsg(any) error { panic("on purpose") }
