package scale

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// text is the payload of every message.
const text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// echo answers with what it is told. All endpoints of an Env may be the same one.
type echo struct {
	sayhiv1parley.UnimplementedSayHi
	told *tally // counts messages; nil if they are not counted
}

func (e *echo) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	if e.told != nil {
		e.told.add()
	}
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// tally counts messages up to the number that is expected. One goroutine expects and waits; others add.
type tally struct {
	missing atomic.Int64
	done    chan struct{}
}

// expect begins to count n messages, n > 0, of which none may have been sent.
func (t *tally) expect(n int) {
	t.done = make(chan struct{})
	t.missing.Store(int64(n))
}

func (t *tally) add() {
	if t.missing.Add(-1) == 0 {
		close(t.done)
	}
}

// wait returns when all have come.
func (t *tally) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %d messages: %w", t.missing.Load(), ctx.Err())
	}
}

// name returns the name of the i-th endpoint.
func name(i int) string { return fmt.Sprintf("endpoint-%d", i) }

// host registers n endpoints at env that are all impl. Their Refs are not kept.
func host(ctx context.Context, env *parley.Env, n int, impl *echo) error {
	for i := range n {
		if _, err := sayhiv1parley.RegisterSayHi(ctx, env, name(i), impl); err != nil {
			return fmt.Errorf("registering endpoint %d: %w", i, err)
		}
	}
	return nil
}

// refTo returns the Ref of the i-th endpoint of server, bound to env. Nothing is sent.
func refTo(env, server *parley.Env, i int) (sayhiv1parley.SayHiRef, error) {
	ref, err := endpoint.NewRef(name(i), server.Address())
	if err != nil {
		return sayhiv1parley.SayHiRef{}, err
	}
	bound, err := env.Bind(ref)
	if err != nil {
		return sayhiv1parley.SayHiRef{}, err
	}
	return sayhiv1parley.NewSayHi(bound), nil
}

// shutdown ends Envs, the last one first.
func shutdown(ctx context.Context, envs ...*parley.Env) error {
	var err error
	for i := len(envs) - 1; i >= 0; i-- {
		err = errors.Join(err, envs[i].Shutdown(ctx))
	}
	return err
}
