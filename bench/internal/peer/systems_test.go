package peer_test

import (
	"context"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/leaktest"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/drpcpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/hollywoodpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/natspeer"
	"github.com/parley-rpc/parley/bench/internal/peer/protoactorpeer"
	"github.com/parley-rpc/parley/bench/internal/workload"
)

const (
	payloadBytes = 64
	// patience is so long that only a hang meets it.
	patience = time.Minute
)

// systems are the frameworks that are tested.
var systems = []peer.System{
	drpcpeer.System{},
	hollywoodpeer.System{},
	protoactorpeer.System{},
	natspeer.System{},
}

// counts are numbers of operations below and above the number of callers, which do not divide by it.
var counts = []int{1, 3, 10_007}

// pair is a server and a client of a system.
type pair struct {
	server   peer.Server
	client   peer.Client
	sink     *workload.Sink
	messages *workload.Messages
}

// open starts a server and a client, which are closed at the end of the test: the client first.
func open(tb testing.TB, s peer.System, o peer.Options, payload int) *pair {
	tb.Helper()
	p := &pair{sink: &workload.Sink{}, messages: workload.NewMessages(payload)}
	var err error
	if p.server, err = s.Serve(tb.Context(), o, p.sink); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.closeServer(tb) })
	if p.client, err = s.Dial(tb.Context(), p.server.Address(), o); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.closeClient(tb) })
	return p
}

func (p *pair) closeServer(tb testing.TB) {
	tb.Helper()
	if p.server != nil {
		closeInTime(tb, p.server.Close)
	}
	p.server = nil
}

func (p *pair) closeClient(tb testing.TB) {
	tb.Helper()
	closeInTime(tb, p.client.Close)
}

// closeInTime closes, although the context of the test has ended by now.
func closeInTime(tb testing.TB, end func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := end(ctx); err != nil {
		tb.Error(err)
	}
}

// ask makes n asks from a number of callers.
func (p *pair) ask(ctx context.Context, callers, n int) error {
	return workload.RunCallers(ctx, callers, n, p.messages, func(k int) (workload.Call, error) {
		return p.client.Caller(ctx, k)
	})
}

// send sends n messages, and returns when they have been received.
func (p *pair) send(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.sink.Expect(n, p.messages)
	for i := range n {
		if err := p.client.Send(ctx, p.messages.Request(i)); err != nil {
			return err
		}
	}
	if err := p.client.Flush(ctx); err != nil {
		return err
	}
	return p.sink.Wait(ctx)
}

// all asks and sends each of counts, twice on the same client.
func (p *pair) all(t *testing.T, counts []int) {
	t.Helper()
	for range 2 {
		for _, n := range counts {
			if err := p.ask(t.Context(), 64, n); err != nil {
				t.Fatalf("%d asks: %v", n, err)
			}
			if err := p.send(t.Context(), n); err != nil {
				t.Fatalf("%d sends: %v", n, err)
			}
		}
	}
	if err := p.sink.Check(); err != nil {
		t.Error(err)
	}
}

// eachSystem runs a test for every system, and fails if it leaves goroutines.
func eachSystem(t *testing.T, test func(t *testing.T, s peer.System)) {
	for _, s := range systems {
		t.Run(s.Name(), func(t *testing.T) {
			if _, races := s.(protoactorpeer.System); races && raceDetector {
				t.Skip("protoactor sets gRPC's logger whenever a remote starts, and fields of a remote that runs when it stops")
			}
			leaktest.Check(t)
			test(t, s)
		})
	}
}

func TestSystemsLoseNothing(t *testing.T) {
	eachSystem(t, func(t *testing.T, s peer.System) {
		open(t, s, peer.Options{}, payloadBytes).all(t, counts)
	})
}

func TestSystemsWorkOverTLS(t *testing.T) {
	certificate, err := peer.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	eachSystem(t, func(t *testing.T, s peer.System) {
		open(t, s, peer.Options{TLS: true, Certificate: certificate}, payloadBytes).all(t, []int{3, 1009})
	})
}

// Neither batches nor windows may exceed what a connection carries.
func TestSystemsCarryPayloadsOfAnySize(t *testing.T) {
	eachSystem(t, func(t *testing.T, s peer.System) {
		open(t, s, peer.Options{}, 0).all(t, []int{101})
		open(t, s, peer.Options{}, 128<<10).all(t, []int{3})
	})
}

func TestSystemsCloseServersBeforeClients(t *testing.T) {
	eachSystem(t, func(t *testing.T, s peer.System) {
		p := open(t, s, peer.Options{}, payloadBytes)
		p.all(t, []int{101})
		p.closeServer(t)
	})
}

func TestSystemsCloseUnused(t *testing.T) {
	eachSystem(t, func(t *testing.T, s peer.System) {
		open(t, s, peer.Options{}, payloadBytes)
	})
}

func BenchmarkAsk64(b *testing.B) {
	benchmark(b, func(ctx context.Context, p *pair, n int) error { return p.ask(ctx, 64, n) })
}

func BenchmarkSend(b *testing.B) {
	benchmark(b, func(ctx context.Context, p *pair, n int) error { return p.send(ctx, n) })
}

func benchmark(b *testing.B, run func(ctx context.Context, p *pair, n int) error) {
	for _, s := range systems {
		b.Run(s.Name(), func(b *testing.B) {
			p := open(b, s, peer.Options{}, payloadBytes)
			if err := run(b.Context(), p, 1000); err != nil { // connections are made at first use
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			if err := run(b.Context(), p, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
