package semantics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// meter lets only so many bytes out of connections as it has been given.
type meter struct {
	mu     sync.Mutex
	room   *sync.Cond
	given  int
	closed bool
}

func newMeter(given int) *meter {
	m := &meter{given: given}
	m.room = sync.NewCond(&m.mu)
	return m
}

// give lets n more bytes out.
func (m *meter) give(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given += n
	m.room.Broadcast()
}

// open lets everything out.
func (m *meter) open() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.room.Broadcast()
}

// take waits for room for n bytes.
func (m *meter) take(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.given < n && !m.closed {
		m.room.Wait()
	}
	m.given -= n
}

// dial is a dialler for grpc.WithContextDialer.
func (m *meter) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	return meteredConn{conn, m}, err
}

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c meteredConn) Write(b []byte) (int, error) {
	c.meter.take(len(b))
	return c.Conn.Write(b)
}

func TestLargeMessages(t *testing.T) {
	// The connection lets 3 MiB out for every 50 small asks. 1,000 of them have an answer when 61 of the 64 MiB are out, or
	// else hang: it does not depend on how fast anything is.
	run(t, "G12 64 MiB message while small asks run", func(t *testing.T) {
		const size, rounds, asks, step = 64 << 20, 20, 50, 3 << 20
		m := newMeter(1 << 20)
		server := listen(t)
		client := newEnv(t, parley.WithDialOptions(grpc.WithContextDialer(m.dial)))
		t.Cleanup(m.open)
		large := lookup(t, client, register(t, server, "large", newProbe(t)).Ref().String())
		small := lookup(t, client, register(t, server, "small", newProbe(t)).Ref().String())

		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		f := large.Blob.Ask(ctx, &parleytestv1.BlobRequest{Payload: make([]byte, size)})
		text := string(make([]byte, 1<<10))
		for round := range rounds {
			futures := make([]*endpoint.Future[parleytestv1.EchoResponse], asks)
			for i := range futures {
				futures[i] = small.Echo.Ask(ctx, &parleytestv1.EchoRequest{Text: text})
			}
			m.give(step) // not before: the large message would use it up
			for _, f := range futures {
				if _, err := f.Wait(within(t)); err != nil {
					t.Fatalf("round %d: a small ask behind the large one: %v", round, err)
				}
			}
		}
		select {
		case <-f.Done():
			t.Fatal("the large message is done before the small ones; it was not under way while they ran")
		default:
		}
		m.open()
		if r, err := f.Wait(ctx); err != nil || r.GetSize() != size {
			t.Errorf("the large message: size %d, %v; want %d", r.GetSize(), err, size)
		}
	})
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what had finalizers or was in a sync.Pool
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSlowConsumer(t *testing.T) {
	const (
		slack   = 16 << 20
		window  = 1 << 20 // of a mailbox
		session = 4 << 20 // of a session
	)
	// overwhelm sends messages of size bytes to blocked endpoints until none of them takes any more. windows is how many bytes
	// they should take; each window may be overdrawn by one message, and each sender that waits holds one.
	overwhelm := func(t *testing.T, w *world, endpoints, senders, size, windows int) {
		payload := make([]byte, size)
		most := windows + endpoints*size
		before := heap()
		probes := make([]*probe, endpoints)
		refs := make([]parleytestv1parley.ProbeRef, endpoints)
		for i := range probes {
			probes[i] = newProbe(t)
			refs[i] = w.register(t, fmt.Sprintf("slow-%d", i), probes[i])
			if err := refs[i].Block.Send(within(t), nil); err != nil {
				t.Fatal(err)
			}
			await(t, probes[i].block.entered, "handler")
		}
		ctx, cancel := context.WithCancel(within(t))
		var taken atomic.Int64
		var wg sync.WaitGroup
		for i := range endpoints * senders {
			wg.Go(func() {
				for {
					err := refs[i%endpoints].Blob.Send(ctx, &parleytestv1.BlobRequest{Payload: payload})
					if err == nil {
						taken.Add(1)
						continue
					}
					if !errors.Is(err, endpoint.ErrCancelled) {
						t.Errorf("Send: %v, want it to wait until it is cancelled", err)
					}
					return
				}
			})
		}
		for int(taken.Load())*size < windows*3/4 && ctx.Err() == nil {
			runtime.Gosched()
		}
		lookup(t, w.caller, refs[0].Ref().String()) // behind all that is on its way; it takes no room
		held := endpoints * senders * size
		if grown := heap() - before; grown > int64(most+held+slack) {
			t.Errorf("the heap has grown by %d bytes, want at most %d that were taken, %d of those who wait, and %d", grown, most, held, slack)
		}
		cancel()
		wg.Wait()
		if n := int(taken.Load()) * size; n < windows*3/4 || n > most {
			t.Errorf("%d bytes were taken, want %d, and at most %d", n, windows, most)
		}
		for _, p := range probes { // all first: together they hold the session's window, perhaps one of them none of it
			p.block.open()
		}
		for i := range probes {
			if _, err := refs[i].Count.AskSync(within(t), nil); err != nil { // behind all that was taken
				t.Fatal(err)
			}
		}
		var received int64
		for _, p := range probes {
			received += p.received.Load()
		}
		if received != taken.Load() {
			t.Errorf("%d messages were handled, %d were taken", received, taken.Load())
		}
	}
	bothWays(t, "G13 slow consumer with bounded memory/small messages", func(t *testing.T, w *world) {
		overwhelm(t, w, 1, 16, 8<<10, window)
	})
	remotely(t, "G13 slow consumer with bounded memory/many endpoints", func(t *testing.T, w *world) {
		overwhelm(t, w, 32, 2, 8<<10, session)
	})
	bothWays(t, "G13 slow consumer with bounded memory/large messages", func(t *testing.T, w *world) {
		overwhelm(t, w, 1, 2, 2<<20, window)
	})
}
