package parley_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestErrorsName: errors name the endpoint and the peer, have a phase, and their reason survives the way, locally and remotely.
func TestErrorsName(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	silent := hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return nil, nil })
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, "silent", silent)
	if err != nil {
		t.Fatal(err)
	}
	between, err := sayhiv1parley.RegisterSayHi(soon(t), host, "between", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		return boundAt(t, host, ref.Ref()).Hi.AskSync(ctx, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boundAt(t, host, between.Ref()).Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); errors.Is(err, endpoint.ErrUnencodable) || status.Code(err) != codes.Internal {
		t.Errorf("what the one returns whom a handler has asked: %v, want the handler's answer", err)
	}
	for name, env := range map[string]*parley.Env{"locally": host, "remotely": caller} {
		var e *endpoint.Error
		bound := boundAt(t, env, ref.Ref())
		_, err := bound.Hi.AskSync(soon(t), &sayhiv1.HiRequest{})
		if !errors.Is(err, endpoint.ErrUnencodable) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted {
			t.Errorf("%s: neither a reply nor an error: %v, want ErrUnencodable, may have executed", name, err)
		}
		_, err = bound.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "\xff"})
		if !errors.Is(err, endpoint.ErrUnencodable) || !errors.As(err, &e) || e.Phase != endpoint.PhaseQueued || e.Execution != endpoint.NotExecuted {
			t.Errorf("%s: a request that cannot be encoded: %v, want ErrUnencodable, queued, not executed", name, err)
		}
		_, err = env.Lookup(soon(t), "parley://nobody@"+host.Address(), "")
		if !errors.Is(err, endpoint.ErrEndpointNotFound) || !errors.As(err, &e) || e.Endpoint != "parley://nobody@"+host.Address() || e.Peer == "" {
			t.Errorf("%s: a lookup: %v, want ErrEndpointNotFound of nobody at a peer", name, err)
		}
		if _, err = env.Lookup(soon(t), "nonsense", ""); !errors.Is(err, endpoint.ErrInvalid) || !errors.As(err, &e) || e.Verb != "lookup" {
			t.Errorf("%s: a URI that is none: %v, want ErrInvalid of a lookup", name, err)
		}
	}
	end(t, caller, host)
}

// TestIDs: an Env's id tells its age, and that of a session nothing.
func TestIDs(t *testing.T) {
	leaktest.Check(t)
	host, ref := hosting(t)
	caller := newEnv(t)
	if _, err := caller.LookupRef(soon(t), ref.Ref(), ""); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]uuid.Version{host.ID(): 7, caller.ID(): 7, caller.Sessions()[0].Peer.Session: 4} {
		if u, err := uuid.Parse(id); err != nil || u.Version() != want {
			t.Errorf("the id %s: %v, want version %d", id, err, want)
		}
	}
	end(t, caller, host)
}

// TestPanicInServer: a gRPC handler of the Env's own server that panics is recovered, by go-grpc-middleware, and nothing else is harmed.
func TestPanicInServer(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("127.0.0.1:0", parley.WithIntrospection(func(context.Context) error { panic("on purpose") }))
	if err != nil {
		t.Fatal(err)
	}
	client := parleyv1.NewIntrospectionClient(dialing(t, env.Address()))
	for range 2 {
		if _, err := client.ListEndpoints(soon(t), &parleyv1.ListEndpointsRequest{}); status.Code(err) != codes.Internal {
			t.Errorf("ListEndpoints: %v, want Internal", err)
		}
	}
	end(t, env)
}
