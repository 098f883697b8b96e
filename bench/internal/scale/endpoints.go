package scale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// idleEndpoints measures endpoints of one Env that have nothing to do: when they are new, and when each has had a message.
func idleEndpoints(ctx context.Context, c Config, r *Result) (err error) {
	server, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Shutdown(ctx)) }()
	before, err := settled(ctx)
	if err != nil {
		return err
	}
	impl := &echo{told: &tally{}}
	if err := host(ctx, server, c.Endpoints, impl); err != nil {
		return err
	}
	after, err := settled(ctx)
	if err != nil {
		return err
	}
	c.inspect("endpoints")
	unused := after.each(before, c.Endpoints)
	r.atMost("endpoint/new", unused.bytes, "B", endpointBytes)
	r.atMost("endpoint/new/goroutines", unused.goroutines, "goroutines", 0)
	impl.told.expect(c.Endpoints)
	for i := range c.Endpoints {
		if err := tell(ctx, server, i); err != nil {
			return err
		}
	}
	if err := impl.told.wait(ctx); err != nil {
		return err
	}
	if after, err = settled(ctx); err != nil {
		return err
	}
	c.inspect("endpoints-used")
	used := after.each(before, c.Endpoints)
	r.atMost("endpoint/used", used.bytes, "B", endpointBytes)
	r.atMost("endpoint/used/goroutines", used.goroutines, "goroutines", 0)
	return nil
}

// tell sends the i-th endpoint of env a message from env itself.
func tell(ctx context.Context, env *parley.Env, i int) error {
	ref, err := refTo(env, env, i)
	if err != nil {
		return err
	}
	if err := ref.Hi.Send(ctx, &sayhiv1.HiRequest{Msg: text}); err != nil {
		return fmt.Errorf("telling endpoint %d: %w", i, err)
	}
	return nil
}

// manyEndpoints starts, tells and stops very many endpoints in one Env, as far as time and memory allow.
func manyEndpoints(ctx context.Context, c Config, r *Result) (err error) {
	server, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() {
		started := time.Now()
		err = errors.Join(err, server.Shutdown(ctx))
		r.tell("many/shutdown", time.Since(started).Seconds(), "s")
	}()
	before, err := settled(ctx)
	if err != nil {
		return err
	}
	impl := &echo{told: &tally{}}
	n, err := c.phase(r, "many/start", c.Many, func(i int) error {
		if i%1024 == 0 && read().bytes-before.bytes > c.ManyBytes {
			return errEnough
		}
		_, err := sayhiv1parley.RegisterSayHi(ctx, server, name(i), impl)
		return err
	})
	if err != nil || n == 0 {
		return err
	}
	after, err := settled(ctx)
	if err != nil {
		return err
	}
	c.inspect("many")
	r.atMost("many/endpoint", after.each(before, n).bytes, "B", endpointBytes)
	impl.told.expect(n)
	told, err := c.phase(r, "many/tell", n, func(i int) error { return tell(ctx, server, i) })
	if err != nil {
		return err
	}
	for range n - told {
		impl.told.add()
	}
	if err := impl.told.wait(ctx); err != nil {
		return err
	}
	_, err = c.phase(r, "many/stop", n, func(i int) error {
		ref, err := endpoint.NewRef(name(i), server.Address())
		if err != nil {
			return err
		}
		return server.Stop(ctx, ref)
	})
	return err
}

// errEnough ends a phase before its time is over.
var errEnough = errors.New("the memory that is allowed is in use")

// phase does n things, one after the other, as long as ManyTime lasts, tells for how long, and returns how many were done.
func (c Config) phase(r *Result, name string, n int, do func(i int) error) (done int, err error) {
	began := time.Now()
	for done < n && (done%64 != 0 || time.Since(began) < c.ManyTime) {
		if err := do(done); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return done, fmt.Errorf("%s: %w", name, err)
		}
		done++
	}
	r.tell(name, time.Since(began).Seconds(), "s")
	r.atLeast(name+"/done", float64(done), "endpoints", float64(n))
	return done, nil
}
