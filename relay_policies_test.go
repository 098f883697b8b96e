package parley_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestRelayPolicies: of several policies for relays each must let a message pass, wherever the one that refuses it stands.
func TestRelayPolicies(t *testing.T) {
	leaktest.Check(t)
	allow := parley.WithRelayPolicy(func(context.Context, string, endpoint.Ref) error { return nil })
	deny := parley.WithRelayPolicy(func(context.Context, string, endpoint.Ref) error { return status.Error(codes.PermissionDenied, "no") })
	nobody := parley.WithPolicy(parsePolicy(t, `{"name": "p", "allow_rules": [{"name": "nobody", "source": {"principals": ["nobody"]}}]}`))
	for _, test := range []struct {
		name string
		opts []parley.Option
		want codes.Code
	}{
		{"both allow", []parley.Option{allow, allow}, codes.OK},
		{"the first refuses", []parley.Option{deny, allow}, codes.PermissionDenied},
		{"the second refuses", []parley.Option{allow, deny}, codes.PermissionDenied},
		{"a policy refuses, and a hook allows", []parley.Option{nobody, allow}, codes.PermissionDenied},
	} {
		w := newStreamWorldOf(t, &duplex{full: echoDuplex}, test.opts, nil)
		if _, err := w.stubs["relayed"].EmptyCall(soon(t), &grpc_testing.Empty{}); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		w.end(t)
	}
}
