// Package parleyprom has the counters of an Env of Parley for Prometheus. Calls, their codes and durations are counted by go-grpc-middleware's Prometheus provider, whose
// interceptors work unchanged, with a label for the endpoint:
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
//	parley_late_replies            the replies that came when nobody waited any more; of sessions, of those that live
type Collector struct {
	env     *parley.Env
	metrics []metric
}

// metric is one that a Collector has, and what it reads.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(parley.Counters) float64
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector of env, to be registered.
func NewCollector(env *parley.Env) *Collector {
	c := &Collector{env: env}
	add := func(name, help string, kind prometheus.ValueType, read func(parley.Counters) float64) {
		desc := prometheus.NewDesc(name, help, nil, prometheus.Labels{"env": env.Name()})
		c.metrics = append(c.metrics, metric{desc, kind, read})
	}
	add("parley_sessions", "Sessions that live.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.Sessions) })
	add("parley_pending_asks", "Asks to peers that wait for a reply.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.PendingAsks) })
	add("parley_open_asks", "Asks of peers that have not been answered.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.OpenAsks) })
	add("parley_dropped_messages_total", "One-way messages that came for nobody.", prometheus.CounterValue, func(c parley.Counters) float64 { return float64(c.Dropped) })
	add("parley_late_replies", "Replies that came when nobody waited any more; of sessions, of those that live.", prometheus.GaugeValue, func(c parley.Counters) float64 { return float64(c.LateReplies) })
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	counters := c.env.Counters()
	for _, m := range c.metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(counters))
	}
}

// EndpointLabel is the label that Endpoint gives.
const EndpointLabel = "parley_endpoint"

// Endpoint returns the label that names the endpoint whose handler gets ctx, empty where there is none, for the option WithLabelsFromContext of go-grpc-middleware's
// provider, whose WithContextLabels has to name EndpointLabel. A program that makes endpoints without end makes time series without end by it.
func Endpoint(ctx context.Context) prometheus.Labels {
	ref, _ := endpoint.Self(ctx)
	return prometheus.Labels{EndpointLabel: ref.Name()}
}
