package endpoint

import "context"

// Receipt tells whether a mailbox has taken a message; see Method.SendWithReceipt. Its methods may be called concurrently.
type Receipt struct {
	call call
}

// Done is closed when the receipt has come, or cannot come any more.
func (r *Receipt) Done() <-chan struct{} { return r.call.over.Done() }

// Wait waits for the receipt, or until ctx ends, which ends only this wait. It returns nil when the mailbox has taken the message; see
// Method.SendWithReceipt for the errors.
func (r *Receipt) Wait(ctx context.Context) error {
	c := &r.call
	if !c.over.IsSet() {
		select {
		case <-c.over.Done():
		case <-ctx.Done():
			return c.core.describe(ContextError(ctx), verbReceipt, c.started)
		}
	}
	if c.response.Err == nil {
		return nil
	}
	return c.describe(c.response.Err)
}
