package endpoint

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/internal/latch"
)

// awaited is what a Future and a Receipt have in common: an ask whose outcome anybody may wait for, at any time. It keeps what they need when the
// call is used again.
type awaited struct {
	core    *methodCore
	started time.Time
	over    latch.Latch
	taking  sync.Once // of the outcome
	call    *call     // nil if there was none, or its outcome has been taken
}

// begin hands over an ask; receipt says that it is a send, whose receipt is waited for.
func (a *awaited) begin(ctx context.Context, receipt bool, req any, opts []grpc.CallOption) {
	if a.core != nil && a.core.inside != nil {
		a.started = time.Now()
		a.call = &call{core: a.core, started: a.started, over: &a.over, receipt: receipt, held: true} // the interceptors may go on when it is over
		a.call.startInside(ctx, req, opts)
		return
	}
	a.call = a.core.acquire(&a.over)
	a.call.receipt = receipt
	a.started = a.call.started
	a.call.start(ctx, req, opts, true)
}

// wait waits for the outcome, until ctx ends; then it returns why, as the error of a verb.
func (a *awaited) wait(ctx context.Context, verb string) error {
	if a.over.IsSet() {
		return nil
	}
	select {
	case <-a.over.Done():
		return nil
	case <-ctx.Done():
		if a.over.IsSet() {
			return nil
		}
		return a.core.describe(ContextError(ctx), verb, a.started)
	}
}

// take calls f with the call, which is over, once: it is used again then. Others wait for that.
func (a *awaited) take(f func(*call)) {
	a.taking.Do(func() {
		c := a.call
		a.call = nil
		f(c)
		a.core.release(c)
	})
}
