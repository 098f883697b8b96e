package link

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/google/uuid"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestPeerSessions (A31): one principal, or one host without, has only so many sessions, those without a stream included; others are not concerned,
// and the end of a session makes room.
func TestPeerSessions(t *testing.T) {
	at := func(host string, port int) context.Context {
		return peer.NewContext(context.Background(), &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: port}})
	}
	for _, test := range []struct {
		name          string
		peer          func(n int) context.Context
		another, less context.Context // other peers
	}{
		{"a principal", func(int) context.Context { return authenticated(context.Background(), "me") }, authenticated(context.Background(), "you"), context.Background()},
		{"a host", func(n int) context.Context { return at("10.0.0.1", n) }, at("10.0.0.2", 1), authenticated(context.Background(), "host 10.0.0.1")},
		{"a network", func(n int) context.Context { return at([]string{"2001:db8::1", "2001:db8::2", "2001:db8::3"}[n], 1) }, at("2001:db8:0:1::1", 1), context.Background()},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.listening.PeerSessions = 2
				opens := func(ctx context.Context) *Link {
					t.Helper()
					h, s := n.opens(ctx, t, &parleyv1.Hello{Capabilities: []string{resume}})
					if h.Welcome == nil {
						t.Fatalf("the answer is %+v", h)
					}
					if err := s.SendMsg(wire.NewFrame(nil)); err != nil { // the welcome has come
						t.Fatal(err)
					}
					return <-n.accepted
				}
				refused := func() {
					t.Helper()
					s, err := n.NewStream(test.peer(2), nil, Method)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: &parleyv1.Hello{Capabilities: []string{resume}}}))); err != nil {
						t.Fatal(err)
					}
					if err := s.RecvMsg(&wire.Frame{}); status.Code(err) != codes.Unavailable {
						t.Errorf("one too many: %v, want UNAVAILABLE", err)
					}
				}
				first := opens(test.peer(0))
				opens(test.peer(1))
				refused()
				opens(test.another)
				opens(test.less)
				n.cut() // the sessions wait for other streams, and count
				synctest.Wait()
				if first.Attached() || !first.Live() {
					t.Fatal("the session does not wait for another stream")
				}
				refused()
				first.Kill(errClosed)
				first.Wait()
				opens(test.peer(0))
				refused()
				for _, l := range n.listening.Table.All() {
					l.Kill(errClosed)
					l.Wait()
				}
				if left := len(n.listening.Table.peers); left != 0 {
					t.Errorf("%d peers are still counted", left)
				}
				n.wg.Wait()
			})
		})
	}
}

// TestPeerSessionReplaced: a session of which the dialler may not know, because its welcome may be lost, does not count against the one that ends it.
func TestPeerSessionReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.listening.PeerSessions = 1
		hello := &parleyv1.Hello{Capabilities: []string{resume}, EnvId: uuid.Must(uuid.NewV7()).String()}
		n.opens(t.Context(), t, hello)
		first := <-n.accepted
		n.cut()
		synctest.Wait()
		s, err := n.NewStream(t.Context(), nil, Method)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: hello}))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&wire.Frame{}); err != nil {
			t.Errorf("the next session is refused: %v", err)
		}
		synctest.Wait()
		if first.Live() {
			t.Error("the first session lives on")
		}
		if peers := n.listening.Table.peers; len(peers) != 1 || peers["host "] != 1 {
			t.Errorf("the sessions of peers are %v, want one", peers)
		}
		n.killAll()
	})
}
