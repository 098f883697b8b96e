package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/wire"
)

// dialTo dials a listener by hand, which answers the hello with frame (nothing, if it is nil), and waits for the end of the stream.
func dialTo(t *testing.T, ctx context.Context, at *recorder, frame []byte) (*Link, *endpoint.Error, *conn) {
	t.Helper()
	c := &conn{room: 10}
	c.serve = func(s Stream) error {
		var f wire.Frame
		if err := s.RecvMsg(&f); err != nil {
			return err
		}
		if frame != nil {
			if err := s.SendMsg(wire.NewFrame(frame)); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	}
	l, err := Dial(ctx, c, newConfig(at))
	return l, err, c
}

// TestBadWelcome: whatever comes first and is no welcome, the dialler cancels the stream, and nothing was executed.
func TestBadWelcome(t *testing.T) {
	head := func(h wire.Head) []byte { return wire.AppendHead(nil, &h) }
	for _, test := range []struct {
		name  string
		frame []byte
	}{
		{"A1 undecodable", []byte{0xFF}},
		{"A26 neither", head(wire.Head{Ack: 0, AgeMicros: 1})},
		{"A26 both", head(wire.Head{Welcome: &parleyv1.Welcome{Revision: 1}, Refusal: &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_DENIED}})},
		{"A38 revision", head(wire.Head{Welcome: &parleyv1.Welcome{Revision: 7}})},
		{"A38 no revision", head(wire.Head{Welcome: &parleyv1.Welcome{}})},
		{"A38 capability", head(wire.Head{Welcome: &parleyv1.Welcome{Revision: 1, Capabilities: []string{"resume"}}})},
		{"A38 Env id", head(wire.Head{Welcome: &parleyv1.Welcome{Revision: 1, EnvId: "me"}})},
		{"A38 address", head(wire.Head{Welcome: &parleyv1.Welcome{Revision: 1, Address: "a\nb"}})},
		{"refusal", head(wire.Head{Refusal: &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_REVISION, Message: "no"}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := &recorder{}
				_, err, c := dialTo(t, t.Context(), at, test.frame)
				if err == nil || err.Reason != endpoint.ReasonUnreachable || err.Execution != endpoint.NotExecuted || err.Phase != endpoint.PhaseConnecting {
					t.Errorf("Dial = %v", err)
				}
				c.wg.Wait() // the stream was cancelled
				if at.begun != 0 {
					t.Error("a session has begun")
				}
			})
		})
	}
}

// TestNoWelcomeA25: the context of the opening bounds the wait.
func TestNoWelcomeA25(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err, c := dialTo(t, ctx, &recorder{}, nil)
		if err == nil || err.Code() != codes.DeadlineExceeded || err.Execution != endpoint.NotExecuted {
			t.Errorf("Dial = %v", err)
		}
		c.wg.Wait()
	})
}

// TestWelcomeWithBody: the frame of the welcome may have envelopes.
func TestWelcomeWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := (&wire.Envelope{Kind: wire.KindSend, Text: true, Target: target("a"), Encoding: wire.Proto, Payload: []byte("first")}).Append(nil)
		b = wire.AppendHead(b, &wire.Head{Number: 1, Welcome: &parleyv1.Welcome{Revision: 1}})
		at := &recorder{}
		l, err, c := dialTo(t, t.Context(), at, b)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(at.events) != 1 || string(at.events[0].Payload) != "first" {
			t.Errorf("%+v arrived, want the message in the welcome's frame", at.events)
		}
		l.Kill(errClosed)
		l.Wait()
		c.wg.Wait()
	})
}

// TestDialContextBoundsTheOpeningOnly.
func TestDialContextBoundsTheOpeningOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err, c := dialTo(t, ctx, &recorder{}, wire.AppendHead(nil, &wire.Head{Welcome: &parleyv1.Welcome{Revision: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if !l.Live() {
			t.Error("the session ended with the context of its opening")
		}
		l.Kill(errClosed)
		l.Wait()
		c.wg.Wait()
	})
}
