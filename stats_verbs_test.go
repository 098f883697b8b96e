package parley_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// words returns the events of a call in short: their names, and the code at the end.
func (tr transcript) words() string {
	var all []string
	for _, e := range tr {
		name, rest, _ := strings.Cut(e, " ")
		if name == "End" {
			name += "=" + rest[strings.LastIndexByte(rest, ' ')+1:]
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// TestStatsHandlersOfVerbs: what stats.Handlers are told of the verbs of a Ref, by a peer and in the same Env. The context that TagRPC returned is that of a handler in
// all that package endpoint does with it, and the interceptors'.
func TestStatsHandlersOfVerbs(t *testing.T) {
	leaktest.Check(t)
	client, server := newRecorder("yes"), newRecorder("")
	intercept := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if ctx.Value(toldKey{server}) == nil {
			return nil, errors.New("the interceptor's context is not the one that TagRPC returned")
		}
		return handler(ctx, req)
	}
	host, err := parley.Listen("127.0.0.1:0", parley.WithStatsHandlers(server), parley.WithClientStatsHandlers(client), parley.WithUnaryInterceptors(intercept))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithClientStatsHandlers(client))
	if err != nil {
		t.Fatal(err)
	}
	impl := hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		self, ok := endpoint.Self(ctx)
		_, known := endpoint.Sender(ctx)
		if err := endpoint.Release(ctx); err != nil || !ok || !known || self.Name() != "hi" || ctx.Value(toldKey{server}) == nil {
			return nil, fmt.Errorf("%v, %v, %t, %t", err, self, ok, known)
		}
		switch r.GetMsg() {
		case "fail":
			return nil, status.Error(codes.Aborted, "asked for")
		case "panic":
			panic("asked for")
		}
		return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
	})
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", &quiet{impl, t})
	if err != nil {
		t.Fatal(err)
	}
	for way, env := range map[string]*parley.Env{"from a peer": caller, "local": host} {
		t.Run(way, func(t *testing.T) {
			bound, err := env.Bind(ref.Ref())
			if err != nil {
				t.Fatal(err)
			}
			hi := sayhiv1parley.NewSayHi(bound).Hi
			request := func(msg string) *sayhiv1.HiRequest { return &sayhiv1.HiRequest{Msg: msg} }
			const (
				in     = "tag InHeader Begin InPayload "
				out    = "OutHeader OutPayload "
				answer = " InHeader InPayload InTrailer"
			)
			failed := "" // of an answer without headers; a local one that Parley makes is none
			if env == caller {
				failed = " InTrailer"
			}
			for _, c := range []struct {
				name, client, server string
				call                 func(ctx context.Context) error
			}{
				{"Send", "tag Begin End=OK OutHeader OutPayload", in + "End=OK", func(ctx context.Context) error { return hi.Send(ctx, request("hi")) }},
				{"Send, and it fails", "tag Begin End=OK OutHeader OutPayload", in + "End=Aborted", func(ctx context.Context) error { return hi.Send(ctx, request("fail")) }},
				{"Send, and it panics", "tag Begin End=OK OutHeader OutPayload", in + "End=Internal", func(ctx context.Context) error { return hi.Send(ctx, request("panic")) }},
				{"TrySend", "tag Begin End=OK OutHeader OutPayload", in + "End=OK", func(ctx context.Context) error { return hi.TrySend(ctx, request("hi")) }},
				{"SendWithReceipt", "tag Begin End=OK OutHeader OutPayload", in + "End=OK", func(ctx context.Context) error { return hi.SendWithReceipt(ctx, request("hi")).Wait(ctx) }},
				{"AskSync", "tag Begin End=OK OutHeader OutPayload" + answer, in + out + "OutTrailer End=OK", func(ctx context.Context) error {
					_, err := hi.AskSync(ctx, request("hi"))
					return err
				}},
				{"Ask", "tag Begin End=OK OutHeader OutPayload" + answer, in + out + "OutTrailer End=OK", func(ctx context.Context) error {
					_, err := hi.Ask(ctx, request("hi")).Wait(ctx)
					return err
				}},
				{"Ask, and it fails", "tag Begin End=Aborted OutHeader OutPayload InTrailer", in + "OutTrailer End=Aborted", func(ctx context.Context) error {
					if _, err := hi.AskSync(ctx, request("fail")); status.Code(err) != codes.Aborted {
						return errors.Join(err, errors.New("the ask did not fail as it was to"))
					}
					return nil
				}},
				{"Ask, and it panics", "tag Begin End=Internal OutHeader OutPayload" + failed, in + "OutTrailer End=Internal", func(ctx context.Context) error {
					if _, err := hi.AskSync(ctx, request("panic")); !errors.Is(err, endpoint.ErrPanic) {
						return errors.Join(err, errors.New("the ask did not panic"))
					}
					return nil
				}},
			} {
				if err := c.call(soon(t)); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				if got := client.next(t).words(); got != c.client {
					t.Errorf("%s: the client was told %s, want %s", c.name, got, c.client)
				}
				if got := server.next(t).words(); got != c.server {
					t.Errorf("%s: the server was told %s, want %s", c.name, got, c.server)
				}
			}
			before := len(client.begun)
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			if err := hi.Send(ended, request("hi")); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			client.none(t, before) // nothing was tried
			nobody, _ := endpoint.NewRef("nobody", host.Address())
			if bound, err = env.Bind(nobody); err != nil {
				t.Fatal(err)
			}
			if _, err := sayhiv1parley.NewSayHi(bound).Hi.AskSync(soon(t), request("hi")); !errors.Is(err, endpoint.ErrEndpointNotFound) {
				t.Error(err)
			}
			if got := client.next(t).words(); !strings.HasPrefix(got, "tag Begin End=NotFound ") {
				t.Errorf("no such endpoint: the client was told %s", got)
			}
		})
	}
	if got := len(server.begun); got != 18 {
		t.Errorf("the server was told of %d calls, want 18: no more than were handled", got)
	}
	end(t, caller, host)
}

// quiet is an endpoint that wants to hear of errors that nobody else is told of, in the context of what failed.
type quiet struct {
	hiFunc
	t *testing.T
}

// OnError implements endpoint.ErrorHandler.
func (q *quiet) OnError(ctx context.Context, _ error) {
	if ctx.Value(toldKey{}) == nil {
		q.t.Error("the context of OnError is not the one that TagRPC returned")
	}
}
