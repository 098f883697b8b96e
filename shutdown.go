package parley

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
)

const (
	// endGrace is how long what is left may take at the end of a shutdown, when its context has ended.
	endGrace = time.Second
	// closeGrace is how long a peer may take to end a stream on which everything has been written, and to come back after it has
	// lost one.
	closeGrace = 5 * time.Second
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
// has its OnStop called; what is queued for peers is written, and sessions are closed in good order; what is still pending
// fails with endpoint.ErrEnvStopped; the Env's own gRPC server is stopped. It is bounded by ctx, or by the drain timeout
// (30 s unless set) if ctx has no deadline: after that mailboxes are failed rather than drained, contexts of handlers are
// cancelled and connections are cut (after 5 s where a session has no stream), all within a few seconds more, and the error names the endpoints whose handlers have not returned and the peers that
// have not acknowledged everything.
//
// It may be called any number of times; a further call waits for the first, or until its own ctx ends. Called with the context
// of a handler, it begins the shutdown, with the deadline of ctx, and returns at once, because that handler is part of what a shutdown waits
// for; Wait tells the end.
func (e *Env) Shutdown(ctx context.Context) error {
	first := e.beginShutdown(ctx)
	if _, inside := endpoint.Sender(ctx); inside {
		return nil
	}
	if first {
		<-e.done // bounded by ctx
		return e.stopped
	}
	return e.Wait(ctx)
}

// beginShutdown begins the shutdown, and reports false if it had begun before.
func (e *Env) beginShutdown(ctx context.Context) (first bool) {
	e.shutdown.Do(func() {
		first = true
		deadline, ok := ctx.Deadline()
		if !ok {
			deadline = time.Now().Add(e.settings.drainTimeout)
		}
		bounded, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		stop := func() bool { return true }
		if _, inside := endpoint.Sender(ctx); !inside {
			stop = context.AfterFunc(ctx, cancel)
		}
		go func() { // Wait waits for it
			defer cancel()
			defer stop()
			e.stopped = e.stop(bounded)
			close(e.done)
		}()
	})
	return first
}

func (e *Env) stop(ctx context.Context) error {
	err := e.server.Shutdown(ctx)
	e.client.Close()
	cut := e.closeSessions(ctx)
	e.table.Close()
	cut = errors.Join(cut, e.closeSessions(ctx)) // those that were being opened
	if e.grpc != nil {
		hard := time.AfterFunc(grace(ctx), e.grpc.Stop)
		e.grpc.GracefulStop()
		hard.Stop()
		e.serving.Wait()
	}
	ctx, cancel := atLeast(ctx, endGrace)
	defer cancel()
	e.server.End(ctx)
	return errors.Join(err, cut, e.outgoing.close())
}

// closeSessions closes the sessions in good order, until ctx ends. The error names those that ended before the peer had acknowledged all.
func (e *Env) closeSessions(ctx context.Context) error {
	over := &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "Env " + e.settings.name + " was shut down"}
	// One that has ended, and is about to be forgotten, has told what it could not hand over.
	links := slices.DeleteFunc(e.table.All(), func(l *link.Link) bool { return !l.Live() })
	for _, l := range links {
		l.Close(over)
	}
	ctx, cancel := atLeast(ctx, endGrace)
	defer cancel()
	// Who has lost a stream may have another one soon; how long that is worth waiting for depends on what there is to be written.
	short, cancelShort := context.WithTimeout(ctx, endGrace)
	defer cancelShort()
	long, cancelLong := context.WithTimeout(ctx, closeGrace)
	defer cancelLong()
	var wg sync.WaitGroup
	for _, l := range links {
		patience := ctx
		switch {
		case l.Attached():
		case l.Empty():
			patience = short
		default:
			patience = long
		}
		wg.Go(func() {
			select {
			case <-l.Over():
			case <-l.Flushed():
				awaitEnd(ctx, l)
			case <-patience.Done():
			}
			l.Kill(over) // unless it has ended
		})
	}
	wg.Wait()
	var cut []string
	for _, l := range links {
		if l.Cut() {
			cut = append(cut, l.Peer().String())
		}
	}
	if len(cut) > 0 {
		return fmt.Errorf("parley: shutdown: not everything was acknowledged in time by %s", strings.Join(cut, ", "))
	}
	return nil
}

// awaitEnd waits for the peer to end a stream on which everything has been written.
func awaitEnd(ctx context.Context, l *link.Link) {
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-l.Over():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// grace returns how long to wait for a peer: closeGrace, but not beyond the deadline of ctx, and endGrace at least.
func grace(ctx context.Context) time.Duration {
	left := closeGrace
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	return max(left, endGrace)
}

// atLeast returns a context that ends when ctx does, but not before d has passed.
func atLeast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	least, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	both, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(least, func() {
		context.AfterFunc(ctx, end)
	})
	return both, func() { stop(); cancel(); end() }
}
