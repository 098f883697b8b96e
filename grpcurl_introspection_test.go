package parley_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestGrpcurlIntrospection: grpcurl is a debugger for an Env: it finds the service by reflection, lists endpoints and sessions, and channelz; and somebody who
// is not authorized gets nothing.
func TestGrpcurlIntrospection(t *testing.T) {
	leaktest.Check(t)
	authorize := func(ctx context.Context) error {
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("secret")) == 1 {
			return nil
		}
		return errors.New("not you")
	}
	env, err := parley.Listen("localhost:0", parley.WithIntrospection(authorize))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fails", "say-hi-service"} {
		if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, name, hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return nil, status.Error(codes.DataLoss, "the disk is full")
		})); err != nil {
			t.Fatal(err)
		}
	}
	caller := newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), caller, "parley://fails@"+env.Address())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); status.Code(err) != codes.DataLoss {
		t.Fatal(err)
	}

	t.Run("list", func(t *testing.T) {
		got := grpcurl(t, "", env.Address(), "list")
		for _, want := range []string{"parley.v1.Introspection\n", "grpc.channelz.v1.Channelz\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("got\n%swant a line %s", got, want)
			}
		}
	})
	t.Run("describe", func(t *testing.T) {
		for what, want := range map[string]string{
			"parley.v1.Introspection": "rpc ListEndpoints ( .parley.v1.ListEndpointsRequest ) returns ( .parley.v1.ListEndpointsResponse );",
			"parley.v1.SessionInfo":   "detached_since = 8;",
		} {
			if got := grpcurl(t, "", env.Address(), "describe", what); !strings.Contains(got, want) {
				t.Errorf("got\n%swant %q", got, want)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		for _, method := range []string{"parley.v1.Introspection/ListEndpoints", "parley.v1.Introspection/ListSessions", "grpc.channelz.v1.Channelz/GetServers"} {
			stdout, stderr, err := runGrpcurl(t, "", env.Address(), method)
			if err == nil || stdout != "" || !strings.Contains(stderr, "Code: PermissionDenied") || !strings.Contains(stderr, "Message: not you") {
				t.Errorf("%s: %v\n%s%s\nwant PermissionDenied", method, err, stdout, stderr)
			}
		}
	})
	t.Run("endpoints", func(t *testing.T) {
		var got struct {
			Endpoints []struct {
				Name, State, Calls, Errors string
				LastError                  struct{ Text, During string }
			}
		}
		decode(t, grpcurl(t, "", "-H", "secret: x", "-d", `{"name": "fail"}`, env.Address(), "parley.v1.Introspection/ListEndpoints"), &got)
		if len(got.Endpoints) != 1 {
			t.Fatalf("got %+v, want the one that fails", got)
		}
		e := got.Endpoints[0]
		if e.Name != "fails" || e.State != "STATE_RUNNING" || e.Calls != "1" || e.Errors != "1" || !strings.Contains(e.LastError.Text, "the disk is full") || e.LastError.During != hiMethod {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("sessions", func(t *testing.T) {
		var got struct {
			Sessions []struct{ PeerEnvId, State, Remote, Age string }
		}
		decode(t, grpcurl(t, "", "-H", "secret: x", env.Address(), "parley.v1.Introspection/ListSessions"), &got)
		if len(got.Sessions) != 1 || got.Sessions[0].PeerEnvId != caller.ID() || got.Sessions[0].State != "STATE_ATTACHED" || got.Sessions[0].Remote == "" || got.Sessions[0].Age == "" {
			t.Errorf("got %+v, want that of %s", got, caller.ID())
		}
	})
	t.Run("channelz", func(t *testing.T) {
		if got := grpcurl(t, "", "-H", "secret: x", env.Address(), "grpc.channelz.v1.Channelz/GetServers"); !strings.Contains(got, `"callsStarted"`) {
			t.Errorf("got %s, want a server with calls", got)
		}
	})
	end(t, caller, env)
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
}
