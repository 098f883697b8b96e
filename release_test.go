package parley_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// releases is an endpoint that calls Release where it cannot.
type releases struct {
	hi
	got chan error
}

func (r releases) OnStart(ctx context.Context) error {
	r.got <- endpoint.Release(ctx)
	return nil
}

// TestReleaseAlone: OnStart runs alone, so it cannot be released.
func TestReleaseAlone(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", releases{got: got}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, endpoint.ErrInvalid) || !strings.Contains(err.Error(), "run alone") {
		t.Errorf("Release in OnStart: %v, want ErrInvalid", err)
	}
	if err := env.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}
