package rawtcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/parleypeer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// Shape is what Parley's batches are like on average.
type Shape struct {
	Messages int // in a batch, at least 1
	Out      int // bytes of TCP that a batch takes to the server, with all that Parley and gRPC add
	Back     int // bytes of the replies to a batch; 0 if what is sent has none
}

// Shapes are those of each kind of work.
type Shapes struct {
	Ask64   Shape // asks of 64 callers
	AskPipe Shape // asks of one goroutine that does not wait for each reply
	Send    Shape // messages sent one way
}

// Observe runs Parley, and counts. Of each kind of work it does a third to warm up, and then n operations, n > 0. What it sees differs from run to run, and
// from machine to machine.
func Observe(ctx context.Context, n int, messages *workload.Messages) (s Shapes, err error) {
	pair, err := peer.Open(ctx, parleypeer.Counted{}, peer.Options{})
	if err != nil {
		return s, fmt.Errorf("observing Parley: %w", err)
	}
	defer func() { err = errors.Join(err, pair.Close(context.WithoutCancel(ctx))) }()
	for _, k := range []struct {
		shape   *Shape
		replies bool
		do      func(n int) error
	}{
		{&s.Ask64, true, func(n int) error { return pair.Ask(ctx, numCallers, n, messages) }},
		{&s.AskPipe, true, func(n int) error { return pair.Pipeline(ctx, n, messages) }},
		{&s.Send, false, func(n int) error { return pair.Send(ctx, n, messages) }},
	} {
		if err := k.do(max(1, n/3)); err != nil {
			return s, fmt.Errorf("observing Parley: %w", err)
		}
		before := count(pair)
		if err := k.do(n); err != nil {
			return s, fmt.Errorf("observing Parley: %w", err)
		}
		*k.shape = average(before, count(pair), n, messages)
		if !k.replies {
			k.shape.Back = 0
		}
	}
	return s, nil
}

func count(p *peer.Pair) parleypeer.Traffic {
	return p.Client().(*parleypeer.CountedClient).Traffic()
}

// average returns the shape of the batches between two counts, in which n messages went.
func average(before, after parleypeer.Traffic, n int, messages *workload.Messages) Shape {
	frames := max(1, int(after.FramesSent-before.FramesSent))
	most := max(1, (n+frames/2)/frames)
	bytes := func(before, after uint64) int {
		const overhead = 1 + 2*binary.MaxVarintLen32 // a tag, and two lengths: each message has room in its batch
		return max(int(float64(after-before)/float64(n)*float64(most)), most*(messages.Bytes()+overhead))
	}
	return Shape{most, bytes(before.BytesSent, after.BytesSent), bytes(before.BytesReceived, after.BytesReceived)}
}
