// Package fairness measures how long small asks of one endpoint take while another endpoint of the same session gets huge messages, or takes
// none at all. Beside it, it measures the same on one raw gRPC stream, which carries whole messages and whose reader waits for its
// consumers, as that of a naive multiplexer does.
//
// Both ends are in one process, over loopback TCP, so whatever the load costs them is taken from the asks, too: on a machine of few cores
// a good part of the ratios is that. How much, the loads "elsewhere" show: the same huge messages, over a session of their own. Those of one text
// stop the whole process for as long as the codec needs to copy that in one go, because the garbage collector cannot stop a copy and has
// everything else wait for it; those of many parts do not.
package fairness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// Config says how much is measured.
type Config struct {
	// Rounds is how often each load is measured, all in turn. The medians count.
	Rounds int
	// Phase is how long each load is measured in one round: one half by a sequential caller, the other at a fixed rate.
	Phase time.Duration
	// Rate is the asks a second of the second half, which do not wait for each other.
	Rate int
	// AskBytes is the payload of an ask, and of the messages that fill a mailbox.
	AskBytes int
	// BulkBytes is the payload of a huge message. Parley takes 128 MiB unless it is told otherwise; gRPC is told to.
	BulkBytes int
	// Patience is for how much longer than its phase an ask is waited for. One that has no reply then is stuck.
	Patience time.Duration
}

// Short returns the Config of a short run, of less than a minute.
func Short() Config {
	return Config{Rounds: 5, Phase: 800 * time.Millisecond, Rate: 2000, AskBytes: 1 << 10, BulkBytes: 64 << 20, Patience: time.Second}
}

// goal is how many times as long as alone the 99th percentile of Parley's asks may take beside a load on the same session.
const goal = 5

// system is a way to reach two endpoints over one stream. Its methods may be called concurrently.
type system interface {
	// ask asks the first endpoint, which echoes.
	ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)
	// send hands over a message for the second endpoint. It may return before that has it.
	send(ctx context.Context, m *fieldmaskpb.FieldMask) error
	// consumer is the second endpoint.
	consumer() *consumer
	close(ctx context.Context) error
}

// experiment is a system under one load.
type experiment struct {
	name   string // of the system and the load
	alone  string // the experiment that it is compared with
	asked  system
	loaded system // whose second endpoint gets the load; nil for none
	load   func(context.Context, Config, system) (*load, error)
	goal   float64 // 0 if it is for information
}

// Run measures everything, and ends by itself. It fails if a message is lost or a reply is wrong; asks that are stuck are a result.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Rounds < 1 || c.Phase <= 0 || c.Rate < 1 || c.AskBytes < 1 || c.BulkBytes < 1 || c.Patience <= 0 {
		return Result{}, fmt.Errorf("fairness: want everything above 0: %+v", c)
	}
	var open []system
	closeAll := func(err error) error {
		for _, s := range open {
			err = errors.Join(err, s.close(ctx))
		}
		return err
	}
	for _, opener := range []func(context.Context, Config) (system, error){openParley, openParley, openMultiplexer} {
		s, err := opener(ctx, c)
		if err != nil {
			return Result{}, closeAll(fmt.Errorf("fairness: opening: %w", err))
		}
		open = append(open, s)
	}
	result, err := measure(ctx, c, experiments(open[0], open[1], open[2]))
	return result, closeAll(err)
}

// experiments returns them in the order of a round.
func experiments(parley, other, stream system) []experiment {
	const p, s = "parley", "grpc-stream"
	return []experiment{
		{name: p, alone: p, asked: parley},
		{name: p + "-bulk", alone: p, asked: parley, loaded: parley, load: bulk, goal: goal},
		{name: p + "-full", alone: p, asked: parley, loaded: parley, load: fill, goal: goal},
		{name: p + "-bulk-elsewhere", alone: p, asked: parley, loaded: other, load: bulk},
		{name: p + "-bulk-text", alone: p, asked: parley, loaded: parley, load: bulkText, goal: goal},
		{name: p + "-bulk-text-elsewhere", alone: p, asked: parley, loaded: other, load: bulkText},
		{name: s, alone: s, asked: stream},
		{name: s + "-bulk", alone: s, asked: stream, loaded: stream, load: bulk},
		{name: s + "-full", alone: s, asked: stream, loaded: stream, load: fill},
	}
}

// measure runs each experiment once a round.
func measure(ctx context.Context, c Config, all []experiment) (Result, error) {
	samples := map[string][]sample{}
	rates := map[string][]float64{}
	for range c.Rounds {
		for _, e := range all {
			taken, rate, err := e.run(ctx, c)
			if err != nil {
				return Result{}, fmt.Errorf("fairness: %s: %w", e.name, err)
			}
			for kind, s := range taken {
				samples[e.name+"/"+kind] = append(samples[e.name+"/"+kind], s)
			}
			rates[e.name] = append(rates[e.name], rate)
		}
	}
	return summarise(all, samples, rates), nil
}

// run measures one load, and takes it away again. The second result is the bytes a second that the load has moved.
func (e experiment) run(ctx context.Context, c Config) (map[string]sample, float64, error) {
	started := time.Now()
	var l *load
	if e.load != nil {
		var err error
		if l, err = e.load(ctx, c, e.loaded); err != nil {
			return nil, 0, err
		}
	}
	taken, err := measureLatency(ctx, c, e.asked)
	if l == nil {
		return taken, 0, err
	}
	moved, endErr := l.end(ctx)
	return taken, float64(moved) / time.Since(started).Seconds(), errors.Join(err, endErr)
}

// Print runs everything and writes the lines of the result to w.
func Print(ctx context.Context, c Config, w io.Writer) error {
	r, err := Run(ctx, c)
	if err != nil {
		return err
	}
	for _, l := range r.Lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}
