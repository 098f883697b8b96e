package link

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// refuser is a listener that answers every hello with a refusal of the Env id, unless it brings the token.
type refuser struct {
	conn
	hellos int
	tokens []string
}

func newRefuser(envID, token string) *refuser {
	r := &refuser{conn: conn{room: 10}}
	r.serve = func(s Stream) error {
		var f wire.Frame
		if err := s.RecvMsg(&f); err != nil {
			return err
		}
		var h wire.Head
		if err := wire.ParseHead(f.Bytes(), &h); err != nil {
			return err
		}
		brought := string(h.Hello.GetNew().GetToken())
		r.hellos++
		r.tokens = append(r.tokens, brought)
		answer := wire.Head{Refusal: &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_DENIED, EnvId: envID, Message: "no"}}
		if token != "" && brought == token {
			answer = wire.Head{Welcome: &parleyv1.Welcome{Revision: 1, EnvId: envID, Token: []byte("next")}}
		}
		if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &answer))); err != nil {
			return err
		}
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	}
	return r
}

const otherEnv = "0192f0c1-2b6e-7c3a-8d4e-5f6a7b8c9d0e"

// TestDeniedWithRememberedToken: a session that has ended here, but not at the peer, proves who dials again.
func TestDeniedWithRememberedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := newConfig(&recorder{})
		past := &Link{peer: endpoint.Peer{EnvID: otherEnv}, dialled: true, dialledAt: "there:1", token: []byte("past"), session: session.New(*config.Limits, *config.Limits)}
		if _, err := config.Table.add(past, nil); err != nil {
			t.Fatal(err)
		}
		config.Table.Remove(past)
		r := newRefuser(otherEnv, "past")
		began := time.Now()
		l, err := Dial(t.Context(), Conn{ClientConnInterface: r, Address: "there:1"}, config)
		if err != nil {
			t.Fatal(err)
		}
		if r.hellos != 2 || r.tokens[0] != "" || time.Since(began) != 0 {
			t.Errorf("%d hellos with the tokens %q in %v, want none and the past one, at once", r.hellos, r.tokens, time.Since(began))
		}
		l.Kill(errClosed)
		l.Wait()
		r.wg.Wait()
	})
}

// TestDeniedUntilAnotherWelcome: the token comes with the welcome of another attempt.
func TestDeniedUntilAnotherWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := newConfig(&recorder{})
		time.AfterFunc(50*time.Millisecond, func() {
			if _, err := config.Table.add(&Link{peer: endpoint.Peer{EnvID: otherEnv}, dialled: true, dialledAt: "there:1", token: []byte("live")}, nil); err != nil {
				t.Error(err)
			}
		})
		r := newRefuser(otherEnv, "live")
		l, err := Dial(t.Context(), Conn{ClientConnInterface: r, Address: "there:1"}, config)
		if err != nil {
			t.Fatal(err)
		}
		l.Kill(errClosed)
		l.Wait()
		r.wg.Wait()
	})
}

// TestDeniedForGood: the retries end, by themselves or with the context.
func TestDeniedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefuser(otherEnv, "")
		began := time.Now()
		_, err := Dial(t.Context(), r, newConfig(&recorder{}))
		if err == nil || err.Reason != endpoint.ReasonUnreachable || !strings.Contains(err.Text, "DENIED") {
			t.Errorf("Dial = %v", err)
		}
		if d := time.Since(began); r.hellos != deniedRetries+1 || d > 2*deniedRetries*deniedPause {
			t.Errorf("%d hellos in %v", r.hellos, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), deniedPause/2)
		defer cancel()
		if _, err := Dial(ctx, r, newConfig(&recorder{})); err == nil || err.Execution != endpoint.NotExecuted {
			t.Errorf("Dial with a context that ends = %v", err)
		}
		if d := time.Since(began); d > 2*deniedRetries*deniedPause+deniedPause {
			t.Errorf("the end of the context did not end Dial: %v in all", d)
		}
		r.wg.Wait()
	})
}

// TestDialOfItself says which address to use.
func TestDialOfItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := newConfig(&recorder{})
		config.Address = func() string { return "here:1234" }
		r := newRefuser(config.EnvID, "")
		_, err := Dial(t.Context(), r, config)
		if err == nil || err.Reason != endpoint.ReasonUnreachable || !strings.Contains(err.Text, "here:1234") || r.hellos != 1 {
			t.Errorf("Dial = %v after %d hellos", err, r.hellos)
		}
		r.wg.Wait()
	})
}

// TestClosedTable: no session begins on either side, and a stream that waits for its hello ends.
func TestClosedTable(t *testing.T) {
	t.Run("dial", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			config := newConfig(&recorder{})
			config.Table.Close()
			config.Table.Close()
			r := newRefuser(otherEnv, "")
			r.serve = func(s Stream) error {
				if err := s.RecvMsg(&wire.Frame{}); err != nil {
					return err
				}
				if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Welcome: &parleyv1.Welcome{Revision: 1}}))); err != nil {
					return err
				}
				<-s.Context().Done()
				return nil
			}
			if _, err := Dial(t.Context(), r, config); !errors.Is(err, endpoint.ErrEnvStopped) {
				t.Errorf("Dial = %v, want ErrEnvStopped", err)
			}
			r.wg.Wait() // the stream was cancelled
		})
	})
	t.Run("accept waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRaw(t)
			synctest.Wait() // for Accept to wait for the hello
			began := time.Now()
			r.config.Table.Close()
			r.ends(codes.Unavailable)
			if d := time.Since(began); d != 0 || r.at.begun != 0 {
				t.Errorf("the stream ended after %v, %d sessions", d, r.at.begun)
			}
		})
	})
	t.Run("late hello", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			config := newConfig(&recorder{})
			config.Table.Close()
			c := &conn{room: 10}
			c.serve = func(s Stream) error {
				_, err := accept(s, config, wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: &parleyv1.Hello{WaitsForWelcome: true}})).Take())
				return err
			}
			s, err := c.NewStream(t.Context(), nil, Method)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(&wire.Frame{}); status.Code(err) != codes.Unavailable {
				t.Errorf("the stream ended with %v, want Unavailable", err)
			}
			c.wg.Wait()
		})
	})
}

// TestInitialLimitsHold, all of them: a dialler that does not wait for the welcome is not held to less.
func TestInitialLimitsHold(t *testing.T) {
	want := session.InitialLimits()
	want.SessionTTL, want.Heartbeat = 0, 0 // which the dialler need not know
	if got := atLeastInitial(session.Limits{}); got != want {
		t.Errorf("the limits are %+v, want at least %+v", got, want)
	}
}
