package client

import (
	"context"
	"time"

	"github.com/parley-rpc/parley/endpoint"
)

// Lookup asks the Env of ref whether the endpoint exists and implements service; an empty service is any. It connects if
// there is no session. The ask timeout bounds all of it, unless ctx has a deadline.
func (c *Client) Lookup(ctx context.Context, ref endpoint.Ref, service string) *endpoint.Error {
	var expires time.Time
	if _, ok := ctx.Deadline(); !ok {
		expires = time.Now().Add(c.config.AskTimeout)
	}
	r := c.Caller(ref).(*remote)
	l, envID, _, err := r.session(ctx, false, false, expires)
	if err != nil {
		return err
	}
	done := make(endpoint.Outcome, 1)
	a := &remoteAsk{done: done}
	a.link.Store(l)
	a.ask.Done, a.ask.Expires = a, expires
	if err := l.Lookup(&a.ask, envID, ref.Name(), service); err != nil {
		return err
	}
	return done.Wait(ctx, a).Err
}
