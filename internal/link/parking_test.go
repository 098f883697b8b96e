package link

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// guest is a session that was opened on a network by hand.
type guest struct {
	n       *network
	welcome *parleyv1.Welcome
	link    *Link
	epoch   uint64
}

func (n *network) guest(t *testing.T) *guest {
	t.Helper()
	h, _ := n.opens(t.Context(), t, &parleyv1.Hello{Capabilities: []string{resume}})
	return &guest{n: n, welcome: h.Welcome, link: <-n.accepted, epoch: 1}
}

// attach gives g another stream.
func (g *guest) attach(t *testing.T) *wire.Head {
	t.Helper()
	g.epoch++
	h, _ := g.n.opens(t.Context(), t, &parleyv1.Hello{Capabilities: []string{resume}, Opening: &parleyv1.Hello_Attach{Attach: &parleyv1.Attach{
		Session: g.welcome.GetSession(), Token: g.welcome.GetToken(), EnvId: g.welcome.GetEnvId(), Epoch: g.epoch,
	}}})
	return h
}

func (n *network) killAll() {
	for _, l := range n.listening.Table.All() {
		l.Kill(errClosed)
	}
	n.wg.Wait()
}

func (n *network) guests(t *testing.T, count int) []*guest {
	var all []*guest
	for range count {
		all = append(all, n.guest(t))
	}
	return all
}

// lose cuts the streams of all, in the order in which they were opened.
func (n *network) lose(t *testing.T) {
	for n.streams() > 0 {
		n.mu.Lock()
		n.cuts[0]()
		n.cuts = n.cuts[1:]
		n.mu.Unlock()
		synctest.Wait()
	}
}

func (n *network) bound(sessions int, bytes uint64) {
	n.listening.Table.mostDetached, n.listening.Table.mostDetachedBytes = sessions, bytes
}

func lives(all []*guest) []bool {
	var live []bool
	for _, g := range all {
		live = append(live, g.link.Live())
	}
	return live
}

// TestDetachedAreBoundInNumber: the session that has been without a stream for longest ends, and says so. Those with a stream do not count.
func TestDetachedAreBoundInNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.bound(3, 1<<20)
		all := n.guests(t, 5)
		n.lose(t)
		attached := n.guests(t, 10)
		synctest.Wait()
		if live := lives(all); !slices.Equal(live, []bool{false, false, true, true, true}) {
			t.Errorf("those alive are %v, want the last three", live)
		}
		if len(n.at.ends) != 2 || !errors.Is(n.at.ends[0], endpoint.ErrSessionEnded) || !strings.Contains(n.at.ends[0].Text, "more than 3 sessions had no stream") {
			t.Errorf("the ends are %v", n.at.ends)
		}
		if h := all[0].attach(t); h.Refusal.GetReason() != unknown {
			t.Errorf("an attach to one that has ended is answered %+v, want UNKNOWN", h)
		}
		if h := all[2].attach(t); h.Welcome == nil {
			t.Errorf("an attach to one that lives is answered %+v", h)
		}
		synctest.Wait()
		// It has a stream now, so there is room for one more; then the order is that of the last loss.
		n.lose(t) // of it, and of the ten
		if live := lives(append(all, attached...)); !slices.Equal(live, []bool{2: true, 13: true, 14: true}) {
			t.Errorf("those alive are %v, want the last two and the third, which lost its stream after them", live)
		}
		n.killAll()
		if parked, bytes := n.listening.Table.parkedNow(); parked != 0 || bytes != 0 {
			t.Errorf("%d sessions with %d bytes are parked at the end", parked, bytes)
		}
	})
}

// TestDetachedOrder: a session that has had a stream in between has not been without for longest.
func TestDetachedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.bound(3, 1<<20)
		all := n.guests(t, 3)
		n.lose(t)
		if h := all[0].attach(t); h.Welcome == nil {
			t.Fatalf("%+v", h)
		}
		n.lose(t)
		all = append(all, n.guest(t))
		n.lose(t)
		if live := lives(all); !slices.Equal(live, []bool{true, false, true, true}) {
			t.Errorf("those alive are %v, want all but the second", live)
		}
		n.killAll()
	})
}

// TestDetachedAreBoundInBytes: what is unacknowledged counts, and what comes while there is no stream.
func TestDetachedAreBoundInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.bound(100, 100_000)
		all := n.guests(t, 3)
		post := func(g *guest, size int) {
			t.Helper()
			if err := g.link.Post(t.Context(), sending("a", make([]byte, size)), PostOptions{NoWait: true}); err != nil {
				t.Fatal(err)
			}
		}
		post(all[0], 50_000) // written, and not acknowledged
		synctest.Wait()
		n.lose(t)
		if _, bytes := n.listening.Table.parkedNow(); bytes < 50_000 || bytes > 51_000 {
			t.Errorf("%d bytes are kept, want about 50,000", bytes)
		}
		post(all[1], 5_000)
		post(all[2], 40_000)
		synctest.Wait()
		if live := lives(all); !slices.Equal(live, []bool{true, true, true}) {
			t.Fatalf("those alive are %v", live)
		}
		all[2].link.Reply(&session.Reply{ID: 1, Payload: make([]byte, 20_000), Encoding: wire.Proto})
		<-time.After(time.Nanosecond) // for the timer
		synctest.Wait()
		if live := lives(all); !slices.Equal(live, []bool{false, true, true}) {
			t.Errorf("those alive are %v, want the last two", live)
		}
		if len(n.at.ends) != 1 || !strings.Contains(n.at.ends[0].Text, "more than 100000 bytes") {
			t.Errorf("the ends are %v", n.at.ends)
		}
		post(all[1], 200_000) // more than all may: it ends itself
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if live := lives(all); !slices.Equal(live, []bool{false, false, true}) {
			t.Errorf("those alive are %v, want the last one", live)
		}
		if h := all[2].attach(t); h.Welcome == nil {
			t.Errorf("%+v", h)
		}
		synctest.Wait()
		if parked, bytes := n.listening.Table.parkedNow(); parked != 0 || bytes != 0 {
			t.Errorf("%d sessions with %d bytes are parked, where the only one has a stream", parked, bytes)
		}
		n.killAll()
	})
}

// TestPartsAreBound: the parts of messages that a peer has sent, and the names of its routes, count like what is sent to it.
func TestPartsAreBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.bound(100, 100_000)
		for _, body := range []func() []*wire.Envelope{
			func() []*wire.Envelope {
				return []*wire.Envelope{
					{Kind: wire.KindSend, Text: true, Target: target("a"), Encoding: wire.Transfer, Transfer: 1, TransferSize: 200_000},
					{Kind: wire.KindChunk, ID: 1, Payload: make([]byte, 150_000)},
				}
			},
			func() (routes []*wire.Envelope) {
				for i := range 300 {
					routes = append(routes, &wire.Envelope{Kind: wire.KindRoute, Route: uint32(i + 1), Target: target(strings.Repeat("a", 250))})
				}
				return routes
			},
		} {
			h, s := n.opens(t.Context(), t, &parleyv1.Hello{Capabilities: []string{resume}})
			if h.Welcome == nil {
				t.Fatalf("%+v", h)
			}
			var b []byte
			for _, e := range body() {
				b = e.Append(b)
			}
			if err := s.SendMsg(wire.NewFrame(wire.AppendHead(b, &wire.Head{Number: 1}))); err != nil {
				t.Fatal(err)
			}
			l := <-n.accepted
			synctest.Wait()
			if !l.Live() {
				t.Fatalf("it has ended: %v", n.at.ends)
			}
			n.lose(t)
			if l.Live() {
				t.Errorf("more than 100,000 bytes are kept")
			}
		}
		n.killAll()
	})
}

// TestRotationEndsNobody: a session that gets another stream while it has one takes nobody's place.
func TestRotationEndsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.bound(3, 1<<20)
		all := n.guests(t, 3)
		n.lose(t)
		all = append(all, n.guest(t))
		for range 10 {
			if h := all[3].attach(t); h.Welcome == nil {
				t.Fatalf("%+v", h)
			}
		}
		synctest.Wait()
		if live := lives(all); !slices.Equal(live, []bool{true, true, true, true}) {
			t.Errorf("those alive are %v, want all", live)
		}
		n.killAll()
	})
}

// TestDialledAreNotBound: sessions that this side has opened are not a peer's doing.
func TestDialledAreNotBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLasting(t)
		w.dialler.config.Table.mostDetached = 0
		w.asks()
		w.cut()
		w.asks()
		w.close()
	})
}

// TestParkingAtRandom: whatever comes in whatever order, the table knows who has no stream, and how much is kept.
func TestParkingAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			n := newNetwork()
			n.bound(5, 60_000)
			var all []*guest
			for range 200 {
				var g *guest
				if len(all) > 0 {
					g = all[random.IntN(len(all))]
				}
				switch k := random.IntN(6); {
				case k == 0 || g == nil:
					all = append(all, n.guest(t))
				case k == 1:
					n.cut()
				case k == 2:
					g.attach(t)
				case k == 3 && random.IntN(5) == 0:
					g.link.Kill(errClosed)
				default:
					_ = g.link.Post(t.Context(), sending("a", make([]byte, random.IntN(30_000))), PostOptions{NoWait: true}) // it may be over
				}
				if random.IntN(3) == 0 {
					<-time.After(time.Millisecond)
				}
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
			want, wantBytes := 0, uint64(0)
			for _, l := range n.listening.Table.All() {
				l.mu.Lock()
				if l.session.Detached() {
					want++
					wantBytes += l.session.Kept()
				}
				l.mu.Unlock()
			}
			if got, bytes := n.listening.Table.parkedNow(); got != want || bytes != wantBytes || got > 5 || bytes > 60_000 {
				t.Errorf("seed %d: %d sessions with %d bytes are parked, want %d with %d", seed, got, bytes, want, wantBytes)
			}
			n.killAll()
			if got, bytes := n.listening.Table.parkedNow(); got != 0 || bytes != 0 {
				t.Errorf("seed %d: %d sessions with %d bytes are parked at the end", seed, got, bytes)
			}
		})
	}
}

// TestEvictSpares: a session that has got a stream since it was chosen to end stays; one that has not takes none any more.
func TestEvictSpares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		back, gone := n.guest(t), n.guest(t)
		n.lose(t)
		table := n.listening.Table
		table.mu.Lock()
		for _, g := range []*guest{back, gone} { // as evict does
			table.unparkLocked(g.link)
			g.link.place.chosen = true
		}
		table.mu.Unlock()
		if h := back.attach(t); h.Welcome == nil {
			t.Fatalf("the answer is %v", h)
		}
		synctest.Wait()
		if back.link.evict() || !gone.link.evict() {
			t.Error("a session ends that has a stream, or one stays that has none")
		}
		if h := gone.attach(t); h.Refusal.GetReason() != parleyv1.Refusal_REASON_UNKNOWN {
			t.Errorf("a session that is about to end takes a stream: %v", h)
		}
		n.lose(t)
		if parked, _ := table.parkedNow(); parked != 1 {
			t.Errorf("%d sessions count as without a stream, want the one that was spared", parked)
		}
		n.killAll()
	})
}

// TestGetTakesWhatHasAStream: of several sessions with one Env, messages take the oldest that has a stream.
func TestGetTakesWhatHasAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		id := uuid.NewString()
		opens := func(token []byte) *guest {
			h, _ := n.opens(t.Context(), t, &parleyv1.Hello{
				EnvId: id, Capabilities: []string{resume}, Opening: &parleyv1.Hello_New{New: &parleyv1.NewSession{Token: token}},
			})
			return &guest{n: n, welcome: h.Welcome, link: <-n.accepted, epoch: 1}
		}
		first := opens(nil)
		synctest.Wait()
		get := func() *Link { return n.listening.Table.Get(id) }
		n.lose(t)
		if get() != first.link {
			t.Error("the only session is not found while it has no stream")
		}
		second := opens(first.link.token)
		synctest.Wait()
		if get() != second.link {
			t.Error("messages take a session that has no stream, where another has one")
		}
		first.attach(t)
		synctest.Wait()
		if get() != first.link {
			t.Error("messages do not take the oldest session")
		}
		n.cut()
		n.killAll()
	})
}
