// Package rawtcp measures what limits any framework that does the work of the benchmarks on this machine: what is left of it over bare TCP. Loops of
// a few lines move the batches that Parley was seen to move, of as many messages and bytes. First the bytes are all, then the user's messages are encoded and decoded,
// then goroutines wait for their replies. What Parley takes beyond that is its own, and gRPC's.
package rawtcp

import (
	"context"
	"fmt"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// Floor is one loop. Its methods may be called concurrently.
type Floor struct {
	name, of string
	run      func(ctx context.Context, n int) error
}

// Name returns the name of the floor: the work, and what of it is done.
func (f Floor) Name() string { return f.name }

// Of returns the benchmark of Parley that does the same work.
func (f Floor) Of() string { return f.of }

// Run moves n messages, n > 0, and checks them where it decodes them. It returns when the last has been received, or with an error
// when ctx ends.
func (f Floor) Run(ctx context.Context, n int) error {
	if err := f.run(ctx, n); err != nil {
		return fmt.Errorf("floor %s: %w", f.name, err)
	}
	return nil
}

// Floors returns the floors of batches of those shapes: for each kind of work the bare one first, and then with more and more of
// what cannot be left out.
func Floors(s Shapes, messages *workload.Messages) []Floor {
	var all []Floor
	for _, k := range []struct {
		name, of string
		shape    Shape
		run      func(context.Context, traffic, int) error
	}{
		{"ask64", "Ask64/parley", s.Ask64, lockstep},
		{"askpipe", "AskPipe/parley", s.AskPipe, pipeline},
		{"send", "Send/parley", s.Send, oneWay},
	} {
		for _, codec := range []bool{false, true} {
			t := traffic{k.shape, codec, messages}
			name := k.name + "/tcp"
			if codec {
				name += "-codec"
			}
			all = append(all, Floor{name, k.of, func(ctx context.Context, n int) error { return k.run(ctx, t, n) }})
		}
		if k.name == "ask64" {
			t := traffic{k.shape, true, messages}
			all = append(all, Floor{"ask64/tcp-codec-callers", k.of, func(ctx context.Context, n int) error { return callers(ctx, t, n) }})
		}
	}
	return all
}

// lockstep writes a batch of requests, reads that of the replies, and goes on with the next.
func lockstep(ctx context.Context, t traffic, n int) error {
	return overTCP(ctx, func(p *pipe) error {
		return p.both(func() error {
			out, back := make([]byte, t.shape.Out), make([]byte, t.shape.Back)
			for first := 0; first < n; first += t.shape.Messages {
				if err := t.ask(p.client, out, first, n); err != nil {
					return err
				}
				if err := t.check(p.client, back, first, n); err != nil {
					return err
				}
			}
			return nil
		}, func() error { return t.serve(p.server, n) })
	})
}

// pipeline writes batches as long as not too many asks are open, while another goroutine reads the replies.
func pipeline(ctx context.Context, t traffic, n int) error {
	return overTCP(ctx, func(p *pipe) error {
		return p.both(func() error {
			open := make(chan struct{}, max(1, workload.Outstanding/t.shape.Messages))
			return p.both(func() error {
				out := make([]byte, t.shape.Out)
				for first := 0; first < n; first += t.shape.Messages {
					select {
					case open <- struct{}{}:
					case <-p.over:
						return errOver
					}
					if err := t.ask(p.client, out, first, n); err != nil {
						return err
					}
				}
				return nil
			}, func() error {
				back := make([]byte, t.shape.Back)
				for first := 0; first < n; first += t.shape.Messages {
					if err := t.check(p.client, back, first, n); err != nil {
						return err
					}
					<-open
				}
				return nil
			})
		}, func() error { return t.serve(p.server, n) })
	})
}

// oneWay writes batches, and nothing comes back.
func oneWay(ctx context.Context, t traffic, n int) error {
	return overTCP(ctx, func(p *pipe) error {
		return p.both(func() error {
			out := make([]byte, t.shape.Out)
			for first := 0; first < n; first += t.shape.Messages {
				if err := t.ask(p.client, out, first, n); err != nil {
					return err
				}
			}
			return nil
		}, func() error { return t.drain(p.server, n) })
	})
}
