package parley_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/ratelimit"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/validator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// limiter is a ratelimit.Limiter that is full when the call says so.
type limiter struct{}

func (limiter) Limit(ctx context.Context) error {
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("full")) > 0 {
		return errors.New("full")
	}
	return nil
}

// TestMiddleware: the unary interceptors of go-grpc-middleware work unchanged, by a Ref and as an ordinary call.
func TestMiddleware(t *testing.T) {
	leaktest.Check(t)
	var mu sync.Mutex
	var lines []string
	log := logging.LoggerFunc(func(_ context.Context, _ logging.Level, msg string, fields ...any) {
		f := logging.Fields(fields)
		line := msg
		for it := f.Iterator(); it.Next(); {
			k, v := it.At()
			switch k {
			case "grpc.service", "grpc.method", "grpc.code", "grpc.method_type":
				line += " " + v.(string)
			case "peer.address":
				line += " from somewhere"
			}
		}
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	authenticate := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err == nil && token != "right" {
			err = status.Error(codes.Unauthenticated, "a wrong token")
		}
		return ctx, err
	}
	env, err := parley.Listen("127.0.0.1:0", parley.WithUnaryInterceptors(
		logging.UnaryServerInterceptor(log, logging.WithLogOnEvents(logging.FinishCall)),
		recovery.UnaryServerInterceptor(recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.DataLoss, "recovered") })),
		selector.UnaryServerInterceptor(auth.UnaryServerInterceptor(authenticate), selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool {
			return c.Service == sayhiv1parley.SayHiName && c.Method != "Bye"
		})),
		ratelimit.UnaryServerInterceptor(limiter{}),
		validator.UnaryServerInterceptor(),
	))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if r.GetMsg() == "panic" {
			panic("asked for")
		}
		return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t)
	bound, err := caller.Bind(ref.Ref())
	if err != nil {
		t.Fatal(err)
	}
	remote := sayhiv1parley.NewSayHi(bound)
	cc := dialFace(t, env, "")
	stub := sayhiv1.NewSayHiClient(cc)
	for way, ask := range map[string]func(ctx context.Context, msg string) error{
		"by a Ref": func(ctx context.Context, msg string) error {
			_, err := remote.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: msg})
			return err
		},
		"as an ordinary call": func(ctx context.Context, msg string) error {
			_, err := stub.Hi(ctx, &sayhiv1.HiRequest{Msg: msg})
			return err
		},
	} {
		t.Run(way, func(t *testing.T) {
			mu.Lock()
			lines = nil
			mu.Unlock()
			right := metadata.AppendToOutgoingContext(soon(t), "authorization", "bearer right")
			for _, c := range []struct {
				ctx  context.Context
				msg  string
				want codes.Code
			}{
				{right, "hi", codes.OK},
				{soon(t), "hi", codes.Unauthenticated},
				{metadata.AppendToOutgoingContext(soon(t), "authorization", "bearer wrong"), "hi", codes.Unauthenticated},
				{metadata.AppendToOutgoingContext(right, "full", "yes"), "hi", codes.ResourceExhausted},
				{right, "panic", codes.DataLoss},
			} {
				if err := ask(c.ctx, c.msg); status.Code(err) != c.want {
					t.Errorf("%q: %v, want %v", c.msg, err, c.want)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			want := []string{"OK", "Unauthenticated", "Unauthenticated", "ResourceExhausted", "DataLoss"}
			for i, line := range lines {
				if !strings.HasPrefix(line, "finished call") || !strings.Contains(line, " sayhi.v1.SayHi Hi unary from somewhere "+want[min(i, len(want)-1)]) {
					t.Errorf("line %d is %q", i, line)
				}
			}
			if len(lines) != len(want) {
				t.Errorf("%d lines for %d calls: %q", len(lines), len(want), lines)
			}
		})
	}
	if _, err := remote.Bye.AskSync(soon(t), &sayhiv1.ByeRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that needs no token: %v, want that of its handler", err)
	}
	end(t, caller, env)
}
