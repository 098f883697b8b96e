package link

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
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

// TestInfoOfStreams: a message of a streaming call that has to wait for room is a stall, and one of no call is ignored; both are told.
func TestInfoOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRaw(t)
		s.hello(&parleyv1.Hello{Capabilities: []string{streams}, Limits: &parleyv1.Limits{StreamBytes: 1}})
		call := &session.Ask{Done: newOutcome(), Stream: &session.Stream{}}
		if err := s.link.Post(t.Context(), &session.Posting{Ask: call, Target: target("a")}, PostOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.link.SendMessage(t.Context(), call.Stream, session.Message{Encoding: wire.Proto}); err != nil {
			t.Fatal(err)
		}
		if n := s.link.Info().Stalls; n != 0 {
			t.Errorf("%d stalls while there was room", n)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.link.SendMessage(ended, call.Stream, session.Message{Encoding: wire.Proto}); err == nil {
			t.Error("a message was taken where there is no room")
		}
		s.frame(wire.Head{Number: 1}, &wire.Envelope{Kind: wire.KindHalfClose, ID: 9})
		synctest.Wait()
		if i := s.link.Info(); i.Stalls != 1 || i.Ignored.LateMessages != 1 || i.Ignored.Total() != 1 {
			t.Errorf("it says %d stalls and %+v, want one stall and one late message", i.Stalls, i.Ignored)
		}
		s.link.Kill(errClosed)
		s.ends(codes.OK)
	})
}
