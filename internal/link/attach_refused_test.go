package link

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/uuid"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestAttachBeforeBegin: a session whose first stream does not carry it yet takes no other one.
func TestAttachBeforeBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.late.Store(int64(time.Second))
		var first *Link
		dialled := make(chan struct{})
		go func() {
			defer close(dialled)
			var err *endpoint.Error
			if first, err = Dial(t.Context(), n, resuming(&recorder{})); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		n.late.Store(0)
		l := n.listening.Table.All()[0]
		s, err := n.NewStream(t.Context(), nil, Method)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: &parleyv1.Hello{Capabilities: []string{resume}, Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{
			Session: l.peer.Session, Token: l.token, Epoch: 2, EnvId: n.listening.EnvID,
		}}}}))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(wire.Frame)); status.Code(err) != codes.Unavailable { // no refusal, which would end the session
			t.Errorf("the answer is %v, want that it is not available yet", err)
		}
		<-dialled
		o := newOutcome()
		n.at.got = answer
		if err := first.Post(t.Context(), asking(o, "a", nil), PostOptions{}); err != nil {
			t.Fatal(err)
		}
		if r := o.wait(t); r.Err != nil {
			t.Error(r.Err)
		}
		first.Kill(errClosed)
		first.Wait()
		n.cut()
		n.killAll()
	})
}

// TestRefusedByAnother: whatever another Env says of a session, it says nothing of it: there is no such session there.
func TestRefusedByAnother(t *testing.T) {
	for reason := range refusalCodes {
		t.Run(reason.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLasting(t)
				w.asks()
				attempts := 0
				other := &conn{room: 10}
				other.serve = func(s Stream) error {
					return s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Refusal: &parleyv1.Refusal{Reason: reason, EnvId: uuid.NewString()}})))
				}
				w.connect = func() (Conn, *endpoint.Error) {
					if attempts++; attempts <= 5 {
						return Conn{ClientConnInterface: other, Close: func() {}}, nil
					}
					return w.dialAgain()
				}
				w.cut()
				w.asks()
				w.close()
				other.wg.Wait()
			})
		})
	}
}

// TestReplicaWhileRotating: a peer whose stream still works has not ended, though another Env answers at its address again and again.
func TestReplicaWhileRotating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		w.dialler.mu.Lock()
		w.dialler.attachAt = []string{"own:1"}
		w.dialler.mu.Unlock()
		other := newNetwork()
		attempts := 0
		w.connect = func() (Conn, *endpoint.Error) {
			if attempts++; attempts <= 3*mostWrong {
				return Conn{ClientConnInterface: other, Address: "own:1", Close: func() {}}, nil
			}
			return w.dialAgain()
		}
		w.drain()
		<-time.After(time.Minute)
		if attempts != 3*mostWrong+1 || w.dialler.Rotations() != 1 {
			t.Errorf("%d attempts and %d rotations, want %d and one", attempts, w.dialler.Rotations(), 3*mostWrong+1)
		}
		w.asks()
		w.close()
		other.wg.Wait()
	})
}

// failing is a network whose listener cannot write to some streams.
type failing struct {
	*lasting
	streams int // that are to fail
	code    codes.Code
}

// serve is the listener's: of what it writes, all but the first answer fails.
func (f *failing) serve(s Stream) error {
	if f.streams == 0 {
		return f.network.serve(s)
	}
	f.streams--
	return f.network.serve(&failingStream{Stream: s, code: f.code})
}

type failingStream struct {
	Stream
	code     codes.Code
	answered bool
}

func (s *failingStream) Context() context.Context { return context.WithoutCancel(s.Stream.Context()) }

func (s *failingStream) SendMsg(m any) error {
	if !s.answered {
		s.answered = true
		return s.Stream.SendMsg(m)
	}
	return status.Error(s.code, "the frame is not written")
}

// TestWriteFails: a frame that gRPC or an interceptor refuses twice is poison, and ends the session (A39); one that was lost with its stream is not, however
// often that is.
func TestWriteFails(t *testing.T) {
	for code, lives := range map[codes.Code]bool{codes.Unavailable: true, codes.Canceled: true, codes.Internal: false, codes.ResourceExhausted: false} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLasting(t)
				w.asks()
				w.own.arrived()
				f := &failing{lasting: w, streams: 4, code: code}
				w.conn.serve = f.serve
				if err := w.listener.Post(t.Context(), sending("b", []byte("lost")), PostOptions{}); err != nil {
					t.Fatal(err)
				}
				w.mute.Store(true)
				w.cut()
				w.mute.Store(false)
				<-time.After(30 * time.Second)
				if w.listener.Live() != lives {
					t.Fatalf("the session lives: %t, want %t", w.listener.Live(), lives)
				}
				if !lives {
					w.end()
					return
				}
				if got := w.own.arrived(); !slices.Equal(got, []string{"lost"}) || f.streams != 0 {
					t.Errorf("%q arrived after all streams but %d have failed", got, f.streams)
				}
				w.close()
			})
		})
	}
}

// TestCloseLongAfterLoss: a session that is being closed has its time to come back from then on, however long it has been without a stream.
func TestCloseLongAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.asks()
		w.at.arrived()
		w.down.Store(true)
		w.cut()
		w.send("kept")
		<-time.After(50 * time.Second)
		w.dialler.Close(errClosed)
		<-time.After(2 * time.Second)
		w.down.Store(false)
		w.end()
		if got := w.at.arrived(); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("%q arrived", got)
		}
		if w.dialler.Cut() {
			t.Error("the session says that the peer has not got all")
		}
	})
}

// TestCut: a session that ends before the peer has all says so.
func TestCut(t *testing.T) {
	for name, queued := range map[string]bool{"with a message": true, "empty": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLasting(t, func(l *session.Limits) { l.SessionTTL = 3 * time.Second })
				w.asks()
				<-time.After(time.Second) // for acknowledgements
				w.down.Store(true)
				w.cut()
				synctest.Wait()
				if queued {
					w.send("lost")
				}
				w.dialler.Close(errClosed)
				w.end()
				if got := w.dialler.Cut(); got != queued {
					t.Errorf("Cut = %t, want %t", got, queued)
				}
			})
		})
	}
}
