package server

import (
	"sync"
	"sync/atomic"

	"github.com/parley-rpc/parley/internal/callctx"
)

// batchSize is how many calls are made at a time where a frame has that many messages.
const batchSize = 16

// callBatch is calls that are used again together, when the last of them has ended.
type callBatch struct {
	calls [batchSize]call
	left  atomic.Int32
}

var callBatches = sync.Pool{New: func() any { return new(callBatch) }}

// newCalls returns n calls with their contexts, n being at most batchSize.
func newCalls(n int) []call {
	var calls []call
	if n < batchSize {
		calls = make([]call, n)
	} else {
		b := callBatches.Get().(*callBatch)
		b.left.Store(batchSize)
		calls = b.calls[:]
		for i := range calls {
			calls[i].batch = b
		}
	}
	contexts := make([]callctx.Context, n)
	for i := range calls {
		calls[i].ctx = &contexts[i]
	}
	return calls
}

// end ends a call, which must not be used after it. What it points to is not cleared, which would cost a write barrier
// for each: the next use does that, or the garbage collector, which empties pools. What few calls have is: the next use does not set it.
func (c *call) end() {
	c.ctx.Part()
	if c.stream != nil || c.told != nil {
		c.stream, c.told = nil, nil
	}
	if b := c.batch; b != nil && b.left.Add(-1) == 0 {
		callBatches.Put(b)
	}
}
