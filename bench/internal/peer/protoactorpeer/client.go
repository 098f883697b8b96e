package protoactorpeer

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/emptypb"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"

	"github.com/parley-rpc/parley/bench/internal/peer/pacing"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

// client is an actor system from which the server's actors are sent to.
type client struct {
	node        *node
	echo, drain *actor.PID
	pacer       *pacing.Pacer
}

// Caller returns the same for all callers. Protoactor's futures know no context, but a timeout: a call begins only before the end
// of its context, and ends at its deadline at the latest.
func (c *client) Caller(context.Context, int) (workload.Call, error) { return c.ask, nil }

func (c *client) ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, err := c.node.system.Root.RequestFuture(c.echo, r, workload.Remaining(ctx)).Result()
	if err != nil {
		return nil, err
	}
	reply, ok := answer.(*sayhiv1.HiReply)
	if !ok {
		return nil, fmt.Errorf("the answer is a %T", answer)
	}
	return reply, nil
}

// Send queues r.
func (c *client) Send(ctx context.Context, r *sayhiv1.HiRequest) error {
	c.node.system.Root.Send(c.drain, r)
	return c.pacer.Sent(ctx, len(r.GetMsg()))
}

// mark requests an answer behind what was sent.
func (c *client) mark(ctx context.Context) (func(context.Context) error, error) {
	future := c.node.system.Root.RequestFuture(c.drain, &emptypb.Empty{}, workload.Remaining(ctx))
	return func(context.Context) error { return future.Wait() }, nil
}

// Flush waits for the last mark. Protoactor sends what is behind it by itself.
func (c *client) Flush(ctx context.Context) error { return c.pacer.Flush(ctx) }

// Close stops the actor system's remote.
func (c *client) Close(ctx context.Context) error { return c.node.stop(ctx) }
