package semantics

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
)

// An interceptor of the user's may refuse frames, which does not end the stream. That of the tests lets the opening pass.

var errInterceptor = status.Error(codes.ResourceExhausted, "the interceptor says no")

// refusal says which frames are refused: from the one after allowed on in each stream, once it is on.
type refusal struct {
	on      atomic.Bool
	allowed int
}

func (r *refusal) of(sent int) error {
	if r.on.Load() && sent > r.allowed {
		return errInterceptor
	}
	return nil
}

type refusingServer struct {
	grpc.ServerStream
	*refusal
	sent int
}

func (s *refusingServer) SendMsg(m any) error {
	s.sent++
	if err := s.of(s.sent); err != nil {
		return err
	}
	return s.ServerStream.SendMsg(m)
}

type refusingClient struct {
	grpc.ClientStream
	*refusal
	sent int
}

func (s *refusingClient) SendMsg(m any) error {
	s.sent++
	if err := s.of(s.sent); err != nil {
		return err
	}
	return s.ClientStream.SendMsg(m)
}

// TestInterceptorRefusesFrames: an attach repairs it where the next stream takes the frame, and else the session ends, so that nothing
// waits for ever and poison does not come again for ever.
func TestInterceptorRefusesFrames(t *testing.T) {
	for name, options := range map[string]func(*refusal) (server, client []parley.Option){
		"listener's": func(r *refusal) (server, client []parley.Option) {
			return []parley.Option{parley.WithServerOptions(grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
				return h(srv, &refusingServer{ServerStream: s, refusal: r})
			}))}, nil
		},
		"dialler's": func(r *refusal) (server, client []parley.Option) {
			return nil, []parley.Option{parley.WithDialOptions(grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, m string, s grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
				stream, err := s(ctx, d, cc, m, o...)
				if err != nil {
					return nil, err
				}
				return &refusingClient{ClientStream: stream, refusal: r}, nil
			}))}
		},
	} {
		for _, allowed := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s after %d", name, allowed), func(t *testing.T) {
				r := &refusal{allowed: allowed}
				server, client := options(r)
				ref := lookup(t, newEnv(t, client...), register(t, listen(t, server...), "echo", newProbe(t)).Ref().String())
				r.on.Store(true)
				for range 10 {
					_, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "a"})
					switch {
					case allowed > 1 && err != nil:
						t.Fatalf("an ask that a further stream takes: %v", err)
					case allowed == 1 && !errors.Is(err, endpoint.ErrSessionEnded):
						t.Fatalf("an ask that no stream takes: %v, want ErrSessionEnded", err)
					}
				}
				r.on.Store(false) // or the last acknowledgements are refused, which Shutdown reports
			})
		}
	}
}
