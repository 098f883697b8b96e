package link

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// TestInfo: what a link says of its session has the principal, and the stream that was lost, and nothing of the token.
func TestInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		ctx, cut := context.WithCancel(authenticated(t.Context(), "me"))
		h, _ := n.opens(ctx, t, &parleyv1.Hello{Capabilities: []string{resume}})
		l := <-n.accepted
		i := l.Info()
		if i.Principal != "me" || i.Peer.Session != h.Welcome.GetSession() || i.Dialled || i.Opened.IsZero() || i.Epoch != 1 ||
			i.State != endpoint.SessionAttached || !i.DetachedSince.IsZero() || i.Breaks != 0 {
			t.Errorf("it says %+v", i)
		}
		if said := fmt.Sprintf("%+v %v", i, i); strings.Contains(said, string(l.token)) || strings.Contains(said, fmt.Sprint(l.token)) {
			t.Error("it tells the token")
		}
		cut()
		synctest.Wait()
		if i = l.Info(); i.State != endpoint.SessionDetached || i.DetachedSince.Before(i.Opened) || i.Breaks != 1 || i.Epoch != 1 {
			t.Errorf("without a stream it says %+v", i)
		}
		l.Kill(errClosed)
		n.wg.Wait()
	})
}
