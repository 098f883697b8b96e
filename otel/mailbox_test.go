package parleyotel_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	parleyotel "github.com/parley-rpc/parley/otel"
)

// stuck is an endpoint whose handlers go on when they are told to.
type stuck struct {
	sayhiv1parley.UnimplementedSayHi
	goOn chan struct{}
}

func (s stuck) Hi(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	<-s.goOn
	return &sayhiv1.HiReply{}, nil
}

// TestMailboxMetrics: what waits in a mailbox, and for room in it, is seen while it does, of a peer and of the Env itself, also when the endpoint is stopping and has a
// successor; and of each message how long it has waited, when its turn has come.
func TestMailboxMetrics(t *testing.T) {
	leaktest.Check(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	waits, err := parleyotel.Waits(provider)
	if err != nil {
		t.Fatal(err)
	}
	host, err := parley.Listen("127.0.0.1:0", waits, parley.WithWindow(2, 1<<20), parley.WithName("host"))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithName("caller"))
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []*parley.Env{host, caller} {
		if _, err := parleyotel.Observe(env, provider); err != nil {
			t.Fatal(err)
		}
	}
	impl := stuck{goOn: make(chan struct{})}
	local, err := sayhiv1parley.RegisterSayHi(soon(t), host, "stuck", impl)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := caller.Bind(local.Ref())
	if err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	send := func(ref sayhiv1parley.SayHiRef, n int) {
		senders.Go(func() {
			for range n {
				if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	await := func(what string, is func(waiting int, stalls uint64) bool) {
		t.Helper()
		for ctx := soon(t); ; runtime.Gosched() {
			waiting, stalls := 0, uint64(0)
			for _, i := range host.Endpoints() {
				waiting, stalls = waiting+i.Waiting, i.Stalls
			}
			if is(waiting, stalls) {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("%s: %+v", what, host.Endpoints())
			}
		}
	}
	send(local, 4) // one runs, at most, and two wait in the mailbox
	send(sayhiv1parley.NewSayHi(bound), 4)
	await("nobody waits for room", func(waiting int, stalls uint64) bool {
		return waiting == 4 && stalls > 0 && caller.Counters().Stalls > 0
	})
	got := collect(t, reader)
	for name, want := range map[string]int64{
		"parley.mailbox.waiting stuck host":     4,
		"parley.mailbox.oldest_wait stuck host": 1, // more than nothing
		"parley.mailbox.stalls stuck host":      int64(host.Endpoints()[0].Stalls),
		"parley.stalls caller":                  int64(caller.Counters().Stalls),
		"parley.stalls host":                    0,
		"parley.frames.replayed host":           0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %d, want %d, of %v", name, n, want, got)
		}
	}
	for range 4 { // there is room for all then
		impl.goOn <- struct{}{}
	}
	senders.Wait()
	await("not all have come", func(waiting int, _ uint64) bool { return waiting == 3 })

	stopping, cancel := context.WithCancel(t.Context())
	cancel()
	if err := host.Stop(stopping, local.Ref()); err == nil {
		t.Error("Stop has waited for the handlers")
	}
	successor, err := sayhiv1parley.RegisterSayHi(soon(t), host, "stuck", impl)
	if err != nil {
		t.Fatal(err)
	}
	send(successor, 2)
	senders.Wait()
	await("the successor has none", func(waiting int, _ uint64) bool { return waiting == 4 })
	if n := collect(t, reader)["parley.mailbox.waiting stuck host"]; n != 4 {
		t.Errorf("with its successor %d messages wait, want 4", n)
	}
	close(impl.goOn)
	for _, env := range []*parley.Env{caller, host} {
		if err := env.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if n := collect(t, reader)["parley.mailbox.wait sayhi.v1.SayHi/Hi stuck"]; n != 10 {
		t.Errorf("%d messages have waited, want 10", n)
	}
}
