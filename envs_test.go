package parley_test

import (
	"testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// hosting returns an Env that listens and hosts hi.
func hosting(t *testing.T) (*parley.Env, sayhiv1parley.SayHiRef) {
	t.Helper()
	env, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	return env, ref
}

// calling returns what hosting does, another Env, and its Ref to the endpoint.
func calling(t *testing.T) (host, caller *parley.Env, ref sayhiv1parley.SayHiRef) {
	t.Helper()
	host, _ = hosting(t)
	caller = newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), caller, "parley://hi@"+host.Address())
	if err != nil {
		t.Fatal(err)
	}
	return host, caller, ref
}

func newEnv(t *testing.T, opts ...parley.Option) *parley.Env {
	t.Helper()
	env, err := parley.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func end(t *testing.T, envs ...*parley.Env) {
	t.Helper()
	for _, env := range envs {
		if err := env.Shutdown(soon(t)); err != nil {
			t.Error(err)
		}
	}
}
