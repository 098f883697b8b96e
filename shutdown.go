package parley

import (
	"context"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// Wait waits until the Env has been shut down, or ctx ends. It returns what Shutdown returned, or the error of ctx.
func (e *Env) Wait(ctx context.Context) error {
	select {
	case <-e.done:
		return e.stopped
	default:
	}
	select {
	case <-e.done:
		return e.stopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown ends the Env. In this order: nothing new is accepted; every endpoint handles what its mailbox holds, and then
// has its OnStop called; what is still pending fails with endpoint.ErrEnvStopped; sessions are closed in good order; the Env's
// own gRPC server is stopped. It is bounded by ctx, or by the drain timeout (30 s unless set) if ctx has no deadline: after that
// mailboxes are failed rather than drained, contexts of handlers are cancelled and connections are cut, and the error
// names the endpoints whose handlers have not returned.
//
// It may be called any number of times; further calls wait for the first. Called with the context of a handler, it begins
// the shutdown and returns at once, because that handler is part of what a shutdown waits for; Wait tells the end.
func (e *Env) Shutdown(ctx context.Context) error {
	if _, inside := endpoint.Sender(ctx); inside {
		go e.runShutdown(context.WithoutCancel(ctx)) // Wait waits for it
		return nil
	}
	e.runShutdown(ctx)
	return e.Wait(ctx)
}

func (e *Env) runShutdown(ctx context.Context) {
	e.shutdown.Do(func() {
		if _, has := ctx.Deadline(); !has {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, e.settings.drainTimeout)
			defer cancel()
		}
		e.stopped = e.stop(ctx)
		close(e.done)
	})
}

// endGrace is how long connections may take to close in good order when everything else is done.
const endGrace = time.Second

func (e *Env) stop(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	e.client.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	over := &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "Env " + e.settings.name + " was shut down"}
	links := e.table.All()
	for _, l := range links {
		l.Close(over)
	}
	for _, l := range links {
		select {
		case <-l.Over():
		case <-ctx.Done():
			l.Kill(over)
		}
	}
	if e.grpc != nil {
		stop := context.AfterFunc(ctx, e.grpc.Stop)
		e.grpc.GracefulStop()
		stop()
		e.serving.Wait()
	}
	e.server.End(ctx)
	return err
}
