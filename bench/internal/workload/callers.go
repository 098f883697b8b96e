package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// CallTimeout is the deadline of every call and stream. It is so late that only a hang meets it.
const CallTimeout = time.Minute

// Remaining returns how long a call under ctx may take: until its deadline, or CallTimeout if it has none. It is for frameworks whose requests know no context.
func Remaining(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return CallTimeout
}

// Call is a request with its reply, by whatever means. It is called by one goroutine at a time.
type Call func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error)

// RunCallers makes n calls from a number of goroutines, each of which waits for its reply before the next, and has one deadline for
// all of its calls. caller returns what the k-th of them calls; it is called for each before the first of them starts. The errors are those of caller, those of the
// calls, and replies that are not the ones to their requests.
func RunCallers(ctx context.Context, callers, n int, messages *Messages, caller func(k int) (Call, error)) error {
	calls := make([]Call, callers)
	for k := range calls {
		var err error
		if calls[k], err = caller(k); err != nil {
			return fmt.Errorf("caller %d: %w", k, err)
		}
	}
	failed := make([]error, callers)
	var wg sync.WaitGroup
	for k, call := range calls {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, CallTimeout)
			defer cancel()
			for i := k; i < n; i += callers {
				r, err := call(ctx, &sayhiv1.HiRequest{Msg: messages.Payload(i)})
				if err == nil {
					err = messages.CheckReply(i, r)
				}
				if err != nil {
					failed[k] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}
