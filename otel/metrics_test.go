package parleyotel_test

import (
	"context"
	"fmt"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	parleyotel "github.com/parley-rpc/parley/otel"
)

// collect returns what a reader reads: of durations how many there are, of a gauge whether it is more than nothing, of all else the value, by the name, the method, the endpoint and the code.
func collect(t *testing.T, reader metric.Reader) map[string]int64 {
	t.Helper()
	var read metricdata.ResourceMetrics
	if err := reader.Collect(soon(t), &read); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	key := func(name string, set attribute.Set) string {
		for _, k := range []attribute.Key{"rpc.method", parleyotel.EndpointKey, "rpc.response.status_code", "parley.env"} {
			if v, ok := set.Value(k); ok {
				name += " " + v.AsString()
			}
		}
		return name
	}
	for _, scope := range read.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[key(m.Name, p.Attributes)] = int64(p.Count)
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[key(m.Name, p.Attributes)] = p.Value
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					got[key(m.Name, p.Attributes)] = 0
					if p.Value > 0 {
						got[key(m.Name, p.Attributes)] = 1
					}
				}
			default:
				t.Errorf("%s has data of type %T", m.Name, data)
			}
		}
	}
	return got
}

// TestMetrics: calls, errors and durations by method and endpoint, and the counters of an Env.
func TestMetrics(t *testing.T) {
	leaktest.Check(t)
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	options := append(parleyotel.Options(otelgrpc.WithMeterProvider(provider), otelgrpc.WithTracerProvider(tracenoop.NewTracerProvider())), parley.WithName("here"))
	host, err := parley.Listen("127.0.0.1:0", options...)
	if err != nil {
		t.Fatal(err)
	}
	registration, err := parleyotel.Observe(host, provider)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, name, &impl{})
		if err != nil {
			t.Fatal(err)
		}
		bound, err := caller.Bind(ref.Ref())
		if err != nil {
			t.Fatal(err)
		}
		remote := sayhiv1parley.NewSayHi(bound)
		for i := range 3 {
			if _, err := remote.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
				t.Error(err)
			}
			if _, err := remote.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "fail"}); i == 0 && err == nil {
				t.Error("the ask did not fail as it was to")
			}
			if _, err := ref.Bye.AskSync(soon(t), &sayhiv1.ByeRequest{}); err != nil {
				t.Error(err)
			}
		}
	}
	nobody, _ := endpoint.NewRef("nobody", host.Address())
	bound, err := caller.Bind(nobody)
	if err != nil {
		t.Fatal(err)
	}
	hi := sayhiv1parley.NewSayHi(bound).Hi
	if err := hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err == nil { // comes after what was sent
		t.Error("nobody has answered")
	}
	for _, name := range []string{"a", "b"} { // the last call of each has ended when the endpoint has stopped
		ref, _ := endpoint.NewRef(name, host.Address())
		if err := host.Stop(soon(t), ref); err != nil {
			t.Error(err)
		}
	}
	got := collect(t, reader)
	want := map[string]int64{
		"rpc.server.call.duration sayhi.v1.SayHi/Hi a OK":       3,
		"rpc.server.call.duration sayhi.v1.SayHi/Hi a INTERNAL": 3,
		"rpc.server.call.duration sayhi.v1.SayHi/Bye a OK":      3,
		"rpc.server.call.duration sayhi.v1.SayHi/Hi b OK":       3,
		"rpc.server.call.duration sayhi.v1.SayHi/Hi b INTERNAL": 3,
		"rpc.server.call.duration sayhi.v1.SayHi/Bye b OK":      3,
		"rpc.client.call.duration sayhi.v1.SayHi/Bye a OK":      3,
		"rpc.client.call.duration sayhi.v1.SayHi/Bye b OK":      3,
		"parley.sessions here":                                  1,
		"parley.asks.pending here":                              0,
		"parley.asks.open here":                                 0,
		"parley.messages.dropped here":                          1,
		"parley.replies.late here":                              0,
		"parley.stalls here":                                    0,
		"parley.frames.replayed here":                           0,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	if err := registration.Unregister(); err != nil {
		t.Error(err)
	}
	if _, ok := collect(t, reader)["parley.sessions here"]; ok {
		t.Error("what is unregistered is still collected")
	}
	if _, err := parleyotel.Observe(host, noop.NewMeterProvider()); err != nil {
		t.Error(err)
	}
	for _, env := range []*parley.Env{caller, host} {
		if err := env.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
