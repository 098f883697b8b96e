// Package parleyprom has the counters of an Env of Parley for Prometheus. Calls, their codes and durations are counted by go-grpc-middleware's Prometheus provider, whose
// interceptors work unchanged, with a label for the endpoint (Target is for those of clients):
//
//	calls := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(), grpcprom.WithContextLabels(parleyprom.EndpointLabel))
//	named := grpcprom.WithLabelsFromContext(parleyprom.Endpoint)
//	env, err := parley.Listen(":5678",
//		parley.WithUnaryInterceptors(calls.UnaryServerInterceptor(named)), parley.WithStreamInterceptors(calls.StreamServerInterceptor(named)))
//	prometheus.MustRegister(calls, parleyprom.NewCollector(env))
package parleyprom

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
)

// Collector reads the counters of an Env whenever it is asked to. The label env is the Env's name: two that are registered with one registry need different ones
// (parley.WithName). Its methods may be called concurrently, also when the Env is shut down.
//
//	parley_sessions                the sessions that live
//	parley_pending_asks            the asks of this Env to peers that wait for a reply
//	parley_open_asks               the asks of peers that have not been answered
//	parley_dropped_messages_total  the one-way messages that came for nobody
//	parley_late_replies_total      the replies that came when nobody waited any more
//	parley_stalls_total            how often a message to a peer had to wait for room
//	parley_replayed_frames_total   the frames that were written again because a stream broke
//	parley_mailbox_waiting         the messages that wait in the mailbox of the endpoint
//	parley_mailbox_oldest_seconds  how long the oldest of these has waited; see endpoint.Info.OldestWait
//	parley_mailbox_stalls_total    how often a sender in this Env, or an ordinary gRPC call, had to wait for room at the endpoint
//
// The last three are of each endpoint, which the label EndpointLabel names, so a program that makes endpoints without end makes time series without end.
type Collector struct {
	env         *parley.Env
	ofEnv       []metric[parley.Counters]
	ofEndpoints []metric[endpoint.Info]
}

// metric is one that a Collector has, and what it reads of a T.
type metric[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(T) float64
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector of env, to be registered.
func NewCollector(env *parley.Env) *Collector {
	c := &Collector{env: env}
	labels := prometheus.Labels{"env": env.Name()}
	add := func(name, help string, kind prometheus.ValueType, read func(parley.Counters) float64) {
		c.ofEnv = append(c.ofEnv, metric[parley.Counters]{prometheus.NewDesc(name, help, nil, labels), kind, read})
	}
	add("parley_sessions", "Sessions that live.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.Sessions) })
	add("parley_pending_asks", "Asks to peers that wait for a reply.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.PendingAsks) })
	add("parley_open_asks", "Asks of peers that have not been answered.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.OpenAsks) })
	add("parley_dropped_messages_total", "One-way messages that came for nobody.", prometheus.CounterValue, func(c parley.Counters) float64 { return float64(c.Dropped) })
	add("parley_late_replies_total", "Replies that came when nobody waited any more.", prometheus.CounterValue, func(c parley.Counters) float64 { return float64(c.LateReplies) })
	add("parley_stalls_total", "Messages to peers that had to wait for room.", prometheus.CounterValue, func(c parley.Counters) float64 { return float64(c.Stalls) })
	add("parley_replayed_frames_total", "Frames that were written again because a stream broke.", prometheus.CounterValue, func(c parley.Counters) float64 { return float64(c.Replayed) })
	addEach := func(name, help string, kind prometheus.ValueType, read func(endpoint.Info) float64) {
		c.ofEndpoints = append(c.ofEndpoints, metric[endpoint.Info]{prometheus.NewDesc(name, help, []string{EndpointLabel}, labels), kind, read})
	}
	addEach("parley_mailbox_waiting", "Messages that wait in the mailbox.", prometheus.GaugeValue, func(i endpoint.Info) float64 { return float64(i.Waiting) })
	addEach("parley_mailbox_oldest_seconds", "How long the oldest message in the mailbox has waited.", prometheus.GaugeValue, func(i endpoint.Info) float64 { return i.OldestWait.Seconds() })
	addEach("parley_mailbox_stalls_total", "Messages of this Env, and ordinary gRPC calls, that had to wait for room at the endpoint.", prometheus.CounterValue,
		func(i endpoint.Info) float64 { return float64(i.Stalls) })
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.ofEnv {
		to <- m.desc
	}
	for _, m := range c.ofEndpoints {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	counters := c.env.Counters()
	for _, m := range c.ofEnv {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(counters))
	}
	all := c.env.Endpoints()
	for n, i := range all {
		if n+1 < len(all) && all[n+1].Name == i.Name { // it is stopping: its successor, which comes next, stands for both
			next := &all[n+1]
			next.Waiting, next.OldestWait = next.Waiting+i.Waiting, max(next.OldestWait, i.OldestWait)
			continue
		}
		for _, m := range c.ofEndpoints {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(i), i.Name)
		}
	}
}

// EndpointLabel is the label that Endpoint and Target give, and the metrics of mailboxes have.
const EndpointLabel = "parley_endpoint"

// Endpoint returns the label that names the endpoint whose handler gets ctx, empty where there is none, for the option WithLabelsFromContext of go-grpc-middleware's
// provider, whose WithContextLabels has to name EndpointLabel. A program that makes endpoints without end makes time series without end by it.
func Endpoint(ctx context.Context) prometheus.Labels {
	ref, _ := endpoint.Self(ctx)
	return prometheus.Labels{EndpointLabel: ref.Name()}
}

// Target is Endpoint for the side that makes a call: it returns the label that names the endpoint that a call with the context ctx is for. WithClientContextLabels has to
// name EndpointLabel.
func Target(ctx context.Context) prometheus.Labels {
	ref, _ := endpoint.Target(ctx)
	return prometheus.Labels{EndpointLabel: ref.Name()}
}
