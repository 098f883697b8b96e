package link

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/wire"
)

const (
	wrongEnv      = parleyv1.Refusal_REASON_WRONG_ENV
	unknown       = parleyv1.Refusal_REASON_UNKNOWN
	deniedRefusal = parleyv1.Refusal_REASON_DENIED
)

// TestRefusedAttach: whoever has not the right to attach is refused with the right reason, and the session stays on the stream that it
// has, or waits for one as before.
func TestRefusedAttach(t *testing.T) {
	for _, test := range []struct {
		name   string
		as     string // the TLS principal, other than that of the session, which has none
		change func(a *parleyv1.Attach)
		want   parleyv1.Refusal_Reason
		code   codes.Code
	}{
		{"A32 another Env", "", func(a *parleyv1.Attach) { a.EnvId = otherEnv }, wrongEnv, codes.FailedPrecondition},
		{"A32 comes first", "", func(a *parleyv1.Attach) { a.EnvId, a.Session, a.Token = otherEnv, "?", nil }, wrongEnv, codes.FailedPrecondition},
		{"A33 unknown session", "", func(a *parleyv1.Attach) { a.Session = uuid.NewString() }, unknown, codes.NotFound},
		{"A33 no session", "", func(a *parleyv1.Attach) { a.Session = "" }, unknown, codes.NotFound},
		{"A35 no token", "", func(a *parleyv1.Attach) { a.Token = nil }, deniedRefusal, codes.PermissionDenied},
		{"A35 wrong token", "", func(a *parleyv1.Attach) { a.Token = bytes.Repeat([]byte{1}, 32) }, deniedRefusal, codes.PermissionDenied},
		{"A35 part of the token", "", func(a *parleyv1.Attach) { a.Token = a.Token[:31] }, deniedRefusal, codes.PermissionDenied},
		{"A35 before the epoch", "", func(a *parleyv1.Attach) { a.Token, a.Epoch = nil, 0 }, deniedRefusal, codes.PermissionDenied},
		{"A35 another principal", "somebody.else", func(*parleyv1.Attach) {}, deniedRefusal, codes.PermissionDenied},
		{"A36 the same epoch", "", func(a *parleyv1.Attach) { a.Epoch-- }, deniedRefusal, codes.PermissionDenied},
		{"A36 no epoch", "", func(a *parleyv1.Attach) { a.Epoch = 0 }, deniedRefusal, codes.PermissionDenied},
		{"A37 received too much", "", func(a *parleyv1.Attach) { a.Received += 100 }, unknown, codes.NotFound},
	} {
		for _, detached := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, detached %t", test.name, detached), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newLasting(t)
					w.asks()
					synctest.Wait()
					if detached {
						w.down.Store(true)
						w.cut()
						synctest.Wait()
					}
					carrier, counters := w.listener.carrier, w.listener.Counters()
					ctx := t.Context()
					if test.as != "" {
						ctx = authenticated(ctx, test.as)
					}
					h, s := w.opens(ctx, t, w.attachment(test.change))
					if r := h.Refusal; r == nil || h.Welcome != nil || r.GetReason() != test.want || r.GetEnvId() != w.listening.EnvID {
						t.Errorf("the answer is %+v, want the refusal %v", h, test.want)
					}
					if err := s.RecvMsg(&wire.Frame{}); status.Code(err) != test.code {
						t.Errorf("the stream ended with %v, want %v", err, test.code)
					}
					synctest.Wait()
					if w.listener.carrier != carrier || w.listener.Counters() != counters || len(w.at.ends) != 0 {
						t.Errorf("a refused attach changed the session: %+v, before %+v", w.listener.Counters(), counters)
					}
					w.down.Store(false)
					w.asks()
					if !detached && w.streams() != 2 {
						t.Error("the session has moved to another stream")
					}
					w.close()
				})
			})
		}
	}
}

// TestAttachByPrincipal: the session of an authenticated dialler is for the same principal only, even with the token.
func TestAttachByPrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		h, first := n.opens(authenticated(t.Context(), "me"), t, &parleyv1.Hello{Capabilities: []string{resume}})
		welcome := h.Welcome
		synctest.Wait() // an attach may not overtake the beginning of the session
		attach := func(as string, epoch uint64) *wire.Head {
			ctx := t.Context()
			if as != "" {
				ctx = authenticated(ctx, as)
			}
			h, _ := n.opens(ctx, t, &parleyv1.Hello{Capabilities: []string{resume}, Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{
				Session: welcome.GetSession(), Token: welcome.GetToken(), EnvId: welcome.GetEnvId(), Epoch: epoch,
			}}})
			return h
		}
		for _, as := range []string{"", "you"} {
			if h := attach(as, 2); h.Refusal.GetReason() != deniedRefusal {
				t.Errorf("%q attaches to the session of another: %+v", as, h)
			}
		}
		h = attach("me", 2)
		if h.Welcome == nil || !bytes.Equal(h.Welcome.GetToken(), welcome.GetToken()) || h.Welcome.GetSession() != welcome.GetSession() {
			t.Errorf("the same principal is answered %+v", h)
		}
		if err := first.RecvMsg(&wire.Frame{}); status.Code(err) != codes.Aborted {
			t.Errorf("the stream before ended with %v, want ABORTED", err)
		}
		(<-n.accepted).Kill(errClosed)
		n.wg.Wait()
	})
}

// TestClaimedEnvID: the id of a live Env is for who has the token of a session with it, or the principal of one.
func TestClaimedEnvID(t *testing.T) {
	for _, test := range []struct {
		name      string
		first, as string // principals
		token     bool
		taken     bool
	}{
		{"nothing", "", "", false, false},
		{"token", "", "", true, true},
		{"another principal", "me", "you", false, false},
		{"no principal", "me", "", false, false},
		{"the same principal", "me", "me", false, true},
		{"another principal with the token", "me", "you", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				ctx := func(as string) context.Context {
					if as == "" {
						return t.Context()
					}
					return authenticated(t.Context(), as)
				}
				h, s := n.opens(ctx(test.first), t, &parleyv1.Hello{Capabilities: []string{resume}, EnvId: otherEnv})
				if err := s.SendMsg(wire.NewFrame(nil)); err != nil { // the welcome has come
					t.Fatal(err)
				}
				first := <-n.accepted
				synctest.Wait()
				opening := &parleyv1.NewSession{}
				if test.token {
					opening.Token = h.Welcome.GetToken()
				}
				claim := &parleyv1.Hello{Capabilities: []string{resume}, EnvId: otherEnv, Opening: &parleyv1.Hello_New{New: opening}}
				h, _ = n.opens(ctx(test.as), t, claim)
				if taken := h.Welcome != nil; taken != test.taken || !taken && h.Refusal.GetReason() != deniedRefusal {
					t.Errorf("the answer is %+v, want that it is taken: %t", h, test.taken)
				}
				if !first.Live() || !first.Attached() || n.listening.Table.Get(otherEnv) != first {
					t.Error("the claim has changed the session that there was")
				}
				for _, l := range n.listening.Table.All() {
					l.Kill(errClosed)
				}
				n.wg.Wait()
			})
		})
	}
}

// TestNobodyTellsTheToken: however links, tables and errors are printed.
func TestNobodyTellsTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		token := w.dialler.token
		var told bytes.Buffer
		log := slog.New(slog.NewTextHandler(&told, nil))
		config := resuming(&recorder{})
		config.Table.past = map[string]*credential{otherEnv: new(w.dialler.credential())}
		for _, v := range []any{w.dialler, w.listener, w.listening.Table, config.Table, w.dialler.Peer(), w.listener.Peer()} {
			fmt.Fprintf(&told, "%v %+v %#v %s %q %d %x\n", v, v, v, v, v, v, v)
			log.Info("it", "it", v)
		}
		for _, change := range []func(*parleyv1.Attach){
			func(a *parleyv1.Attach) { a.Epoch = 0 },
			func(a *parleyv1.Attach) { a.Session = "?" },
			func(a *parleyv1.Attach) { a.Received = 1000 },
			func(a *parleyv1.Attach) { a.EnvId = otherEnv },
		} {
			h, s := w.opens(t.Context(), t, w.attachment(change))
			fmt.Fprintln(&told, h.Refusal, s.RecvMsg(&wire.Frame{}))
		}
		w.down.Store(true)
		w.cut()
		<-w.dialler.Over()
		w.end()
		for _, e := range append(w.own.ends, w.at.ends...) {
			fmt.Fprintf(&told, "%v %+v %v\n", e, e, e.GRPCStatus())
		}
		text := told.String()
		for _, form := range []string{
			string(token), hex.EncodeToString(token), strings.ToUpper(hex.EncodeToString(token)), base64.StdEncoding.EncodeToString(token),
			strings.Trim(fmt.Sprint(token[:8]), "[]"), strings.Trim(fmt.Sprintf("%#v", token[:8]), "[]byte{}"), strings.Trim(fmt.Sprintf("%q", token[:8]), `"`),
		} {
			if strings.Contains(text, form) {
				t.Errorf("the token is told, as %q", form)
			}
		}
	})
}

// TestOvertakenAttach: of two attaches the one with the higher epoch has the session, also where the other has been welcomed, and an earlier
// one that comes late is denied.
func TestOvertakenAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		h, third := w.opens(t.Context(), t, w.attachment(func(a *parleyv1.Attach) { a.Epoch = 3 }))
		if h.Welcome == nil {
			t.Fatalf("the answer is %+v", h)
		}
		if h, _ := w.opens(t.Context(), t, w.attachment(func(a *parleyv1.Attach) { a.Epoch = 2 })); h.Refusal.GetReason() != deniedRefusal {
			t.Errorf("a late attach is answered %+v", h)
		}
		synctest.Wait()
		// The dialler has lost its stream to the third one. Its own attaches are denied until it has come to a higher epoch.
		w.asks()
		for err := error(nil); ; { // what it was sent, then the end
			if err = third.RecvMsg(&wire.Frame{}); err != nil {
				if status.Code(err) != codes.Aborted {
					t.Errorf("the overtaken stream ended with %v, want ABORTED", err)
				}
				break
			}
		}
		w.close()
	})
}

// TestWelcomeOfAttachLost: the session of a stream that broke while it was attached waits for another one, and expires without.
func TestWelcomeOfAttachLost(t *testing.T) {
	for _, rotation := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newLasting(t)
			w.asks()
			w.down.Store(true)
			if !rotation {
				w.cut()
				synctest.Wait()
			}
			breaks := len(w.at.breaks)
			hello := w.attachment(func(*parleyv1.Attach) {})
			if _, err := attached(deaf{w.network}, w.listening, hello.GetAttach()); status.Code(err) != codes.Unavailable {
				t.Errorf("attached = %v", err)
			}
			synctest.Wait()
			if !w.listener.Live() || w.listener.Attached() || len(w.at.breaks)-breaks != map[bool]int{true: 1}[rotation] {
				t.Errorf("rotation %t: %d breaks after %d, attached %t", rotation, len(w.at.breaks), breaks, w.listener.Attached())
			}
			if p, _ := w.listening.Table.parkedNow(); p != 1 {
				t.Errorf("rotation %t: %d sessions are known to have no stream, want one", rotation, p)
			}
			began := time.Now()
			<-w.listener.Over()
			if d := time.Since(began); d > time.Minute {
				t.Errorf("it expired after %v", d)
			}
			<-w.dialler.Over()
			w.end()
		})
	}
}

// deaf is a stream on which nothing can be written.
type deaf struct{ n *network }

func (deaf) Context() context.Context { return context.Background() }
func (deaf) SendMsg(any) error        { return status.Error(codes.Unavailable, "deaf") }
func (deaf) RecvMsg(any) error        { return io.EOF }

// TestRefusedForGood: a peer that does not know the session any more ends it at the dialler, once, without further attempts.
func TestRefusedForGood(t *testing.T) {
	for _, reason := range []parleyv1.Refusal_Reason{unknown, parleyv1.Refusal_REASON_EXPIRED, deniedRefusal} {
		t.Run(reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLasting(t)
				w.asks()
				attempts := 0
				refusing := &conn{room: 10}
				refusing.serve = func(s Stream) error {
					attempts++
					if err := s.RecvMsg(&wire.Frame{}); err != nil {
						return err
					}
					return sendRefusal(s, w.listening, &parleyv1.Refusal{Reason: reason, Message: "no"})
				}
				w.connect = func() (Conn, *endpoint.Error) { return Conn{ClientConnInterface: refusing, Close: func() {}}, nil }
				written, kept := newOutcome(), newOutcome()
				w.at.got = nil
				if err := w.dialler.Post(t.Context(), asking(written, "a", nil), PostOptions{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				w.cut()
				synctest.Wait()
				if err := w.dialler.Post(t.Context(), asking(kept, "a", nil), PostOptions{}); err != nil && reason == deniedRefusal {
					t.Fatal(err) // the others may have ended it already
				} else if err != nil {
					kept <- endpoint.Response{Err: err}
				}
				for o, want := range map[*outcome]endpoint.Execution{&written: endpoint.MayHaveExecuted, &kept: endpoint.NotExecuted} {
					if r := o.wait(t); !errors.Is(r.Err, endpoint.ErrSessionEnded) || r.Err.Execution != want {
						t.Errorf("the outcome is %v, want ErrSessionEnded, %v", r.Err, want)
					}
				}
				if want := map[bool]int{true: mostDenied, false: 1}[reason == deniedRefusal]; attempts != want {
					t.Errorf("%d attempts, want %d", attempts, want)
				}
				w.end() // the listener keeps it for the time-to-live
				refusing.wg.Wait()
			})
		})
	}
}
