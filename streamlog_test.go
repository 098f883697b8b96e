package parley_test

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
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

// TestStreamsThatFailAreLogged, once each, with who it was and why; and those that end well are not.
func TestStreamsThatFailAreLogged(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(h *host)
		want []string // nil for no line
	}{
		{"refused", func(h *host) {
			r := h.connect()
			r.bytes([]byte{0xff})
			r.ends(codes.InvalidArgument)
		}, []string{"peer=127.0.0.1:", "InvalidArgument: parley: undecodable frame"}},
		{"a violation", func(h *host) {
			r := h.open()
			r.put(&parleyv1.Envelope{})
			r.ends(codes.Unimplemented)
		}, []string{"peer=127.0.0.1:", "Unimplemented: parley: protocol violation"}},
		{"ended well", func(*host) {}, nil},
		{"broken", func(h *host) {
			ctx, cancel := context.WithCancel(h.ctx)
			stream, err := parleyv1.NewParleyClient(h.conn).Connect(ctx)
			if err != nil {
				h.Fatal(err)
			}
			if err := stream.Send(&parleyv1.Frame{Hello: &parleyv1.Hello{WaitsForWelcome: true}}); err != nil {
				h.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				h.Fatal(err)
			}
			cancel()
			for len(h.env.Sessions()) != 1 { // that of the other client
				if runtime.Gosched(); h.ctx.Err() != nil {
					h.Fatalf("%d sessions are left", len(h.env.Sessions()))
				}
			}
		}, []string{"peer=127.0.0.1:", "Unavailable: the stream "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &lines{}
			t.Run("host", func(t *testing.T) {
				h := newHost(t, parley.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
				c.fail(h)
			})
			all := log.with()
			switch found := log.with(append(c.want, "a stream has failed")...); {
			case c.want == nil && len(all) != 0:
				t.Errorf("logged %q, want nothing", all)
			case c.want != nil && (len(found) != 1 || len(all) != 1):
				t.Errorf("logged %q, want one line, with %q", all, c.want)
			}
		})
	}
}
