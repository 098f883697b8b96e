package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/grpc_channelz_v1"
	channelzservice "google.golang.org/grpc/channelz/service"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestIntrospectionAuthorized: each call of the service and of channelz is authorized, by a function that sees what the interceptors of the server have found
// out, and must be given.
func TestIntrospectionAuthorized(t *testing.T) {
	leaktest.Check(t)
	type caller struct{}
	identify := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		return next(context.WithValue(ctx, caller{}, strings.Join(metadata.ValueFromIncomingContext(ctx, "who"), " ")), req)
	}
	authorize := func(ctx context.Context) error {
		switch who := ctx.Value(caller{}); who {
		case "operator":
			return nil
		case "nobody":
			return status.Error(codes.Unauthenticated, "say who you are")
		default:
			return fmt.Errorf("%v is no operator", who)
		}
	}
	env, err := parley.Listen("127.0.0.1:0", parley.WithIntrospection(authorize), parley.WithServerOptions(grpc.ChainUnaryInterceptor(identify)))
	if err != nil {
		t.Fatal(err)
	}
	cc := dialFace(t, env, "")
	calls := map[string]func(context.Context) error{
		"ListEndpoints": func(ctx context.Context) error {
			_, err := parleyv1.NewIntrospectionClient(cc).ListEndpoints(ctx, &parleyv1.ListEndpointsRequest{})
			return err
		},
		"ListSessions": func(ctx context.Context) error {
			_, err := parleyv1.NewIntrospectionClient(cc).ListSessions(ctx, &parleyv1.ListSessionsRequest{})
			return err
		},
		"GetServers": func(ctx context.Context) error {
			r, err := channelz.NewChannelzClient(cc).GetServers(ctx, &channelz.GetServersRequest{})
			if err == nil && len(r.GetServer()) == 0 {
				return errors.New("no server is listed")
			}
			return err
		},
	}
	for name, call := range calls {
		for who, want := range map[string]error{
			"operator": nil,
			"nobody":   status.Error(codes.Unauthenticated, "say who you are"),
			"a guest":  status.Error(codes.PermissionDenied, "a guest is no operator"),
		} {
			if err := call(metadata.AppendToOutgoingContext(soon(t), "who", who)); status.Code(err) != status.Code(want) || status.Convert(err).Message() != status.Convert(want).Message() {
				t.Errorf("%s by %s: %v, want %v", name, who, err, want)
			}
		}
	}
	end(t, env)

	if _, err := parley.Listen("127.0.0.1:0", parley.WithIntrospection(nil)); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("Listen with no function: %v, want ErrInvalid", err)
	}
}

// TestIntrospectionOff: it is not served unless that is asked for.
func TestIntrospectionOff(t *testing.T) {
	leaktest.Check(t)
	env, _ := hosting(t)
	cc := dialFace(t, env, "")
	if _, err := parleyv1.NewIntrospectionClient(cc).ListEndpoints(soon(t), &parleyv1.ListEndpointsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("ListEndpoints: %v, want Unimplemented", err)
	}
	if _, err := channelz.NewChannelzClient(cc).GetServers(soon(t), &channelz.GetServersRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("channelz: %v, want Unimplemented", err)
	}
	end(t, env)
}

// TestRegisterIntrospection: a server of the program's own serves it, whether the Env is mounted there or not, and keeps the channelz that it has.
func TestRegisterIntrospection(t *testing.T) {
	leaktest.Check(t)
	env, _ := hosting(t)
	refuse := func(context.Context) error { return errors.New("not you") }
	listener := listening(t)
	server := grpc.NewServer()
	channelzservice.RegisterChannelzServiceToServer(server)
	if err := parley.RegisterIntrospection(env, server, nil); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("with no function: %v, want ErrInvalid", err)
	}
	if err := parley.RegisterIntrospection(env, server, refuse); err != nil {
		t.Fatal(err)
	}
	if err := parley.RegisterIntrospection(env, server, refuse); !errors.Is(err, endpoint.ErrDuplicate) {
		t.Errorf("a second time: %v, want ErrDuplicate", err)
	}
	serving(t, server, listener)
	cc := dialing(t, listener.Addr().String())
	if _, err := channelz.NewChannelzClient(cc).GetServers(soon(t), &channelz.GetServersRequest{}); err != nil {
		t.Errorf("the server's own channelz: %v", err)
	}
	if _, err := parleyv1.NewIntrospectionClient(cc).ListEndpoints(soon(t), &parleyv1.ListEndpointsRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("ListEndpoints: %v, want PermissionDenied", err)
	}
	end(t, env)
}

// TestLocalOnly: who is taken is on this machine.
func TestLocalOnly(t *testing.T) {
	for _, c := range []struct {
		from net.Addr
		want codes.Code
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, codes.OK},
		{&net.TCPAddr{IP: net.IPv4(127, 1, 2, 3)}, codes.OK},
		{&net.TCPAddr{IP: net.IPv6loopback}, codes.OK},
		{&net.UnixAddr{Name: "@", Net: "unix"}, codes.OK},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, codes.PermissionDenied},
		{&net.TCPAddr{IP: net.IPv4zero}, codes.PermissionDenied},
		{&net.TCPAddr{}, codes.PermissionDenied},
		{&net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}, codes.PermissionDenied},
		{nil, codes.PermissionDenied},
	} {
		if err := parley.LocalOnly(peer.NewContext(t.Context(), &peer.Peer{Addr: c.from})); status.Code(err) != c.want {
			t.Errorf("from %v: %v, want %v", c.from, err, c.want)
		}
	}
	if err := parley.LocalOnly(t.Context()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("from nowhere: %v, want PermissionDenied", err)
	}
}
