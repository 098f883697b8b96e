package parleyprom_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	parleyprom "github.com/parley-rpc/parley/prometheus"
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

// gather returns what a registry has: of durations how many there are, of a time whether it is more than nothing, of all else the value, by the name and the values of
// the labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]int64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			switch {
			case m.GetHistogram() != nil:
				got[name] = int64(m.GetHistogram().GetSampleCount())
			case strings.HasSuffix(f.GetName(), "_seconds") && value > 0:
				got[name] = 1
			default:
				got[name] = int64(value)
			}
		}
	}
	return got
}

// TestMailboxMetrics: what waits in a mailbox, and for room in it, is seen while it does, of a peer and of the Env itself, also when the endpoint is stopping and has a
// successor; and of each message how long it has waited, when its turn has come.
func TestMailboxMetrics(t *testing.T) {
	leaktest.Check(t)
	waits := parleyprom.NewWaits()
	host, err := parley.Listen("127.0.0.1:0", parley.WithStatsHandlers(waits), parley.WithWindow(2, 1<<20), parley.WithName("host"))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithName("caller"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(waits, parleyprom.NewCollector(host), parleyprom.NewCollector(caller))
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
	got := gather(t, registry)
	for name, want := range map[string]int64{
		"parley_mailbox_waiting host stuck":        4,
		"parley_mailbox_oldest_seconds host stuck": 1, // more than nothing
		"parley_mailbox_stalls_total host stuck":   int64(host.Endpoints()[0].Stalls),
		"parley_stalls_total caller":               int64(caller.Counters().Stalls),
		"parley_stalls_total host":                 0,
		"parley_replayed_frames_total host":        0,
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
	if n := gather(t, registry)["parley_mailbox_waiting host stuck"]; n != 4 {
		t.Errorf("with its successor %d messages wait, want 4", n)
	}
	close(impl.goOn)
	for _, env := range []*parley.Env{caller, host} {
		if err := env.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if n := gather(t, registry)["parley_mailbox_wait_seconds Hi sayhi.v1.SayHi stuck"]; n != 10 {
		t.Errorf("%d messages have waited, want 10", n)
	}
}
