package rawtcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// numCallers is how many goroutines ask.
const numCallers = 64

// exchange is a batch of requests with its replies.
type exchange struct {
	out, back []byte
	used      int           // bytes of out
	waiting   []chan []byte // one for each request; its reply is put there
	unread    atomic.Int32  // replies that have not been decoded
}

// caravan gathers the requests of callers into batches.
type caravan struct {
	traffic
	n      int
	ticket atomic.Int64   // the next message that no caller has taken
	ready  chan *exchange // batches that are full, or the last
	free   chan *exchange // to be used again

	mu     sync.Mutex
	open   *exchange
	posted int // requests so far
}

// callers has goroutines ask, each of which waits for its reply before the next. They put their requests into a common batch, and are woken
// through channels; a batch goes when it has as many messages as those of Parley. Without that no ask can be synchronous.
func callers(ctx context.Context, t traffic, n int) error {
	t.shape.Messages = min(t.shape.Messages, numCallers) // a batch of more would never be full
	const batches = numCallers + 2                       // more than can be under way
	c := &caravan{traffic: t, n: n, ready: make(chan *exchange, batches), free: make(chan *exchange, batches)}
	return overTCP(ctx, func(p *pipe) error {
		return p.both(func() error { return c.ask(ctx, p) }, func() error { return t.serve(p.server, n) })
	})
}

// ask runs the callers, and the connection in this goroutine.
func (c *caravan) ask(ctx context.Context, p *pipe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make([]error, numCallers)
	var wg sync.WaitGroup
	for k := range failed {
		wg.Go(func() {
			if failed[k] = c.call(ctx); failed[k] != nil {
				p.close()
				cancel()
			}
		})
	}
	err := c.exchange(ctx, p.client)
	if err != nil {
		cancel()
	}
	wg.Wait()
	return errors.Join(append(failed, err)...)
}

// call is one caller.
func (c *caravan) call(ctx context.Context) error {
	woken := make(chan []byte, 1)
	for {
		i := int(c.ticket.Add(1) - 1)
		if i >= c.n {
			return nil
		}
		e, err := c.post(&sayhiv1.HiRequest{Msg: c.messages.Payload(i)}, woken)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		select {
		case encoded := <-woken:
			err = c.checkReply(encoded, i)
		case <-ctx.Done():
			return ctx.Err()
		}
		if e.unread.Add(-1) == 0 {
			c.free <- e
		}
		if err != nil {
			return err
		}
	}
}

// post puts a request into the open batch.
func (c *caravan) post(r *sayhiv1.HiRequest, woken chan []byte) (*exchange, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = c.empty()
	}
	e := c.open
	b, err := appendMessage(e.out[:e.used], r)
	if err != nil {
		return nil, err
	}
	e.used = len(b)
	e.waiting = append(e.waiting, woken)
	c.posted++
	if len(e.waiting) == c.shape.Messages || c.posted == c.n {
		c.ready <- e
		c.open = nil
	}
	return e, nil
}

// empty returns a batch without requests.
func (c *caravan) empty() *exchange {
	select {
	case e := <-c.free:
		e.used, e.waiting = 0, e.waiting[:0]
		return e
	default:
		return &exchange{out: make([]byte, c.shape.Out), back: make([]byte, c.shape.Back)}
	}
}

// exchange has batch after batch answered, and wakes the callers.
func (c *caravan) exchange(ctx context.Context, conn io.ReadWriter) error {
	for done := 0; done < c.n; {
		var e *exchange
		select {
		case e = <-c.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := conn.Write(e.out); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, e.back); err != nil {
			return err
		}
		done += len(e.waiting)
		if err := e.wake(); err != nil {
			return err
		}
	}
	return nil
}

// wake hands the replies to those who wait for them. The batch may be used again as soon as the last of them has decoded its reply.
func (e *exchange) wake() error {
	e.unread.Store(int32(len(e.waiting)))
	rest := e.back
	for _, woken := range e.waiting { // the slice as it is now: e may be used again during the last round
		encoded, err := nextMessage(&rest)
		if err != nil {
			return err
		}
		woken <- encoded
	}
	return nil
}
