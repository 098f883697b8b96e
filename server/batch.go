package server

import (
	"sync"
	"sync/atomic"

	"github.com/parley-rpc/parley/internal/callctx"
)

// batchSizes are how many calls are made at a time: as many as a frame still needs, but no more, as the calls of a batch are used again together. A
// message that waits for long keeps no others then that never were. The contexts of eight are as long as the runtime's memory for them, those of sixteen much shorter.
var batchSizes = [...]int{8, 4, 1}

// callBatch is calls that are used again together, when the last of them has ended.
type callBatch struct {
	calls []call
	pool  *sync.Pool // where it goes then
	left  atomic.Int32
}

// callBatches are those not in use, by their place in batchSizes.
var callBatches [len(batchSizes)]sync.Pool

// newCalls returns some calls with their contexts, n at most; n is at least 1.
func newCalls(n int) []call {
	size := 0
	for batchSizes[size] > n {
		size++
	}
	b, ok := callBatches[size].Get().(*callBatch)
	if !ok {
		b = &callBatch{calls: make([]call, batchSizes[size]), pool: &callBatches[size]}
	}
	b.left.Store(int32(len(b.calls)))
	contexts := make([]callctx.Context, len(b.calls))
	for i := range b.calls {
		b.calls[i].batch, b.calls[i].ctx = b, &contexts[i]
	}
	return b.calls
}

// end ends a call, which must not be used after it. What it points to is not cleared, which would cost a write barrier
// for each: the next use does that, or the garbage collector, which empties pools. What few calls have is: the next use does not set it.
func (c *call) end() {
	c.ctx.Part()
	if c.stream != nil || c.told != nil {
		c.stream, c.told = nil, nil
	}
	if b := c.batch; b != nil && b.left.Add(-1) == 0 {
		b.pool.Put(b)
	}
}
