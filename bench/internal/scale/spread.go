package scale

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/bench/internal/rounds"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// burst is how many messages are sent before the sender waits until they have come.
const burst = 64

// ask is a request with its reply, by whatever means.
type ask func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)

// askOnce makes one ask and checks the reply.
func askOnce(ctx context.Context, a ask) error {
	reply, err := a(ctx, &sayhiv1.HiRequest{Msg: text})
	if err == nil && reply.GetMsg() != text {
		err = fmt.Errorf("got reply %q, want %q", reply.GetMsg(), text)
	}
	return err
}

// askAll makes n asks by a number of callers, of all targets in turn, and returns the time that one took: of the whole by n.
func askAll(ctx context.Context, callers, n int, targets []ask) (nanoseconds float64, err error) {
	failed := make([]error, callers)
	began := time.Now()
	var wg sync.WaitGroup
	for k := range callers {
		wg.Go(func() {
			for i := k; i < n && failed[k] == nil; i += callers {
				failed[k] = askOnce(ctx, targets[i%len(targets)])
			}
		})
	}
	wg.Wait()
	return float64(time.Since(began).Nanoseconds()) / float64(n), errors.Join(failed...)
}

// target is an endpoint that is asked and sent to.
type target struct {
	ask  ask
	send func(context.Context, *sayhiv1.HiRequest) error
}

// asks returns the asks of targets.
func asks(targets []target) []ask {
	all := make([]ask, len(targets))
	for i, t := range targets {
		all[i] = t.ask
	}
	return all
}

// targetOf returns the i-th endpoint of server as a target of env.
func targetOf(env, server *parley.Env, i int) (target, error) {
	ref, err := refTo(env, server, i)
	return target{
		ask: func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return ref.Hi.AskSync(ctx, r)
		},
		send: func(ctx context.Context, r *sayhiv1.HiRequest) error { return ref.Hi.Send(ctx, r) },
	}, err
}

// spreadOverEndpoints measures asks and sends of one session that are spread over more and more endpoints.
func spreadOverEndpoints(ctx context.Context, c Config, r *Result) (err error) {
	server, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Shutdown(ctx)) }()
	client, err := parley.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Shutdown(ctx)) }()
	impl := &echo{told: &tally{}}
	if err := host(ctx, server, c.Endpoints, impl); err != nil {
		return err
	}
	targets := make([]target, c.Endpoints)
	for i := range targets {
		if targets[i], err = targetOf(client, server, i); err != nil {
			return err
		}
		if err := askOnce(ctx, targets[i].ask); err != nil {
			return fmt.Errorf("the first ask of endpoint %d: %w", i, err)
		}
	}
	took := map[int][]float64{}
	for range c.Rounds {
		for _, n := range powers(c.Endpoints) {
			ns, err := askAll(ctx, c.Callers, c.Asks, asks(targets[:n]))
			if err != nil {
				return fmt.Errorf("asking %d endpoints: %w", n, err)
			}
			took[n] = append(took[n], ns)
		}
	}
	for _, n := range powers(c.Endpoints) {
		r.tell(fmt.Sprintf("asks/endpoints-%d", n), rounds.Median(took[n]), "ns")
		if n > 1 {
			r.compare(fmt.Sprintf("asks/endpoints-%d/of-one", n), took[1], took[n], n == c.Endpoints, spread)
		}
	}
	if c.Endpoints == 1 {
		return nil
	}
	return allocations(ctx, c, r, "endpoints", targets, 1, impl.told)
}

// compare adds the median of the ratios of throughput of the second to that of the first; their times are one a round. It has a goal
// if demanded.
func (r *Result) compare(name string, first, second []float64, demanded bool, goal float64) {
	ratios := make([]float64, len(first))
	for i := range first {
		ratios[i] = first[i] / second[i]
	}
	if demanded {
		r.atLeast(name, rounds.Median(ratios), "ratio", goal)
	} else {
		r.tell(name, rounds.Median(ratios), "ratio")
	}
}

// allocations counts those of an ask by a lone caller, and of a send, both ends together, at one and at all of the targets. kind is what
// the targets are. run is how many messages in a row go to the same target.
func allocations(ctx context.Context, c Config, r *Result, kind string, targets []target, run int, told *tally) error {
	counts := map[string][]float64{}
	key := func(verb string, n int) string { return fmt.Sprintf("%s/%s-%d/allocs", verb, kind, n) }
	for range c.Rounds {
		for _, n := range []int{1, len(targets)} {
			some := targets[:n]
			a, err := allocated(c.Messages, func() error {
				_, err := askAll(ctx, 1, c.Messages, asks(some))
				return err
			})
			if err != nil {
				return fmt.Errorf("asking %d %s: %w", n, kind, err)
			}
			counts[key("ask", n)] = append(counts[key("ask", n)], a)
			if a, err = allocated(c.Messages, func() error { return sendAll(ctx, c.Messages, some, run, told) }); err != nil {
				return fmt.Errorf("sending to %d %s: %w", n, kind, err)
			}
			counts[key("send", n)] = append(counts[key("send", n)], a)
		}
	}
	for _, verb := range []string{"ask", "send"} {
		one, all := rounds.Median(counts[key(verb, 1)]), rounds.Median(counts[key(verb, len(targets))])
		r.tell(key(verb, 1), one, "allocs")
		r.tell(key(verb, len(targets)), all, "allocs")
		r.atMost(key(verb, len(targets))+"/more", all-one, "allocs", growth)
	}
	return nil
}

// allocated returns how many objects f allocates for each of n messages.
func allocated(n int, f func() error) (float64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), err
}

// sendAll sends n messages from one goroutine, in bursts, run of them to each target in turn, and returns when all have come.
func sendAll(ctx context.Context, n int, targets []target, run int, told *tally) error {
	request := &sayhiv1.HiRequest{Msg: text}
	for first := 0; first < n; first += burst {
		last := min(first+burst, n)
		told.expect(last - first)
		for i := first; i < last; i++ {
			if err := targets[i/run%len(targets)].send(ctx, request); err != nil {
				return err
			}
		}
		if err := told.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
