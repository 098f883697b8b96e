package endpoint

import (
	"context"
	"time"
)

// Receipt tells whether a mailbox has taken a message; see Method.SendWithReceipt. Its methods may be called concurrently.
type Receipt struct {
	send awaited
	err  error // set when the outcome has been taken
}

// Done is closed when the receipt has come, or cannot come any more.
func (r *Receipt) Done() <-chan struct{} { return r.send.over.Done() }

// Wait waits for the receipt, or until ctx ends, which ends only this wait. It returns nil when the mailbox has taken the message; see
// Method.SendWithReceipt for the errors.
func (r *Receipt) Wait(ctx context.Context) error {
	if err := r.send.wait(ctx, verbReceipt); err != nil {
		return err
	}
	r.send.take(func(c *call) {
		if e := c.response.Err; e != nil {
			r.err = c.describe(e)
		}
	})
	return r.err
}

// settle gives a receipt the outcome of a fake.
func (r *Receipt) settle(err *Error) {
	r.send.taking.Do(func() {
		if err != nil {
			r.err = r.send.core.describe(err, verbReceipt, time.Time{})
		}
	})
	r.send.over.Set()
}
