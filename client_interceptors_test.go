package parley_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestClientInterceptors: they run once around every message, by whatever verb, to whatever endpoint, and what they change is what is sent and got;
// go-grpc-middleware's retry works unchanged; order is kept.
func TestClientInterceptors(t *testing.T) {
	leaktest.Check(t)
	var mu sync.Mutex
	var saw []string
	see := func(name string) grpc.UnaryClientInterceptor {
		return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			md, _ := metadata.FromOutgoingContext(ctx)
			mu.Lock()
			saw = append(saw, fmt.Sprintf("%s %s %s %v %s", name, method, req.(*sayhiv1.HiRequest).GetMsg(), md.Get("k"), cc.Target()))
			mu.Unlock()
			if req.(*sayhiv1.HiRequest).GetMsg() == "refused" {
				return status.Error(codes.PermissionDenied, "refused by "+name)
			}
			var header metadata.MD
			err := invoker(metadata.AppendToOutgoingContext(ctx, "by", name), method, req, reply, cc, append(opts, grpc.Header(&header))...)
			if err == nil && len(header.Get("h")) > 0 {
				reply.(*sayhiv1.HiReply).Msg += " seen by " + name
			}
			return err
		}
	}
	var failures int
	got := make(chan string, 100)
	handler := hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		got <- fmt.Sprint(r.GetMsg(), md.Get("by"))
		if r.GetMsg() == "twice" {
			if failures++; failures%2 == 1 {
				return nil, status.Error(codes.Unavailable, "once more")
			}
		}
		return &sayhiv1.HiReply{Msg: "reply"}, grpc.SetHeader(ctx, metadata.Pairs("h", "1"))
	})
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	env, err := parley.New(parley.WithUnaryClientInterceptors(see("outer"), retry.UnaryClientInterceptor(retry.WithMax(2)), see("inner")))
	if err != nil {
		t.Fatal(err)
	}
	far, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", handler)
	if err != nil {
		t.Fatal(err)
	}
	near, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", handler)
	if err != nil {
		t.Fatal(err)
	}
	for way, ref := range map[string]endpoint.Ref{"remote": far.Ref(), "local": near.Ref()} {
		t.Run(way, func(t *testing.T) {
			bound, err := env.Bind(ref)
			if err != nil {
				t.Fatal(err)
			}
			r := sayhiv1parley.NewSayHi(bound)
			stub := sayhiv1.NewSayHiClient(endpoint.NewConn(bound))
			for verb, call := range map[string]func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error){
				"Send": func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
					return nil, r.Hi.Send(ctx, req)
				},
				"SendWithReceipt": func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
					return nil, r.Hi.SendWithReceipt(ctx, req).Wait(ctx)
				},
				"Ask": func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
					return r.Hi.Ask(ctx, req).Wait(ctx)
				},
				"AskSync": func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
					return r.Hi.AskSync(ctx, req)
				},
				"a stub": func(ctx context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
					return stub.Hi(ctx, req)
				},
			} {
				mu.Lock()
				saw = nil
				mu.Unlock()
				ctx := metadata.AppendToOutgoingContext(soon(t), "k", "v")
				reply, err := call(ctx, &sayhiv1.HiRequest{Msg: "hi"})
				if err != nil {
					t.Fatalf("%s: %v", verb, err)
				}
				if one := <-got; one != "hi[outer inner]" {
					t.Errorf("%s: the handler got %s", verb, one)
				}
				if !strings.HasPrefix(verb, "Send") && reply.GetMsg() != "reply seen by inner seen by outer" {
					t.Errorf("%s: the reply is %q", verb, reply.GetMsg())
				}
				if _, err := call(ctx, &sayhiv1.HiRequest{Msg: "refused"}); status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s: what an interceptor refuses: %v", verb, err)
				}
				mu.Lock()
				want := []string{"outer /sayhi.v1.SayHi/Hi hi [v] passthrough:///parley", "inner /sayhi.v1.SayHi/Hi hi [v] passthrough:///parley", "outer /sayhi.v1.SayHi/Hi refused [v] passthrough:///parley"}
				if !slices.Equal(saw, want) {
					t.Errorf("%s: the interceptors saw %q, want %q", verb, saw, want)
				}
				mu.Unlock()
			}
			if _, err := r.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "twice"}); err != nil {
				t.Errorf("an ask that is tried again: %v", err)
			}
			<-got
			<-got
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := r.Hi.AskSync(ctx, &sayhiv1.HiRequest{}); !errors.Is(err, context.Canceled) {
				t.Errorf("an ended context: %v", err)
			}
			var futures []*endpoint.Future[sayhiv1.HiReply]
			for i := range 50 {
				futures = append(futures, r.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: fmt.Sprint(i)}))
			}
			for i, f := range futures {
				if _, err := f.Wait(soon(t)); err != nil {
					t.Error(err)
				}
				if one := <-got; one != fmt.Sprintf("%d[outer inner]", i) {
					t.Fatalf("message %d is %s", i, one)
				}
			}
		})
	}
	end(t, env, host)
}
