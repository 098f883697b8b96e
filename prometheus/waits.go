package parleyprom

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley/endpoint"
)

// Waits measures how long each message, or streaming call, has waited in its mailbox when its turn comes: the histogram parley_mailbox_wait_seconds, by service, method and
// endpoint. It is a stats.Handler for parley.WithStatsHandlers, of any number of Envs, and is to be registered. Its methods may be called concurrently.
type Waits struct {
	seconds *prometheus.HistogramVec
}

var (
	_ prometheus.Collector = (*Waits)(nil)
	_ stats.Handler        = (*Waits)(nil)
)

// NewWaits returns Waits with the buckets, in seconds; without any, from 100 µs to 30 s.
func NewWaits(buckets ...float64) *Waits {
	if len(buckets) == 0 {
		buckets = []float64{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
	}
	return &Waits{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "parley_mailbox_wait_seconds", Help: "How long messages have waited in the mailbox.", Buckets: buckets,
	}, []string{"grpc_service", "grpc_method", EndpointLabel})}
}

// TagRPC implements stats.Handler.
func (w *Waits) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if at, ok := endpoint.Arrived(ctx); ok {
		service, method, _ := strings.Cut(strings.TrimPrefix(info.FullMethodName, "/"), "/")
		self, _ := endpoint.Self(ctx)
		w.seconds.WithLabelValues(service, method, self.Name()).Observe(time.Since(at).Seconds())
	}
	return ctx
}

// HandleRPC implements stats.Handler.
func (*Waits) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn implements stats.Handler.
func (*Waits) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (*Waits) HandleConn(context.Context, stats.ConnStats) {}

// Describe implements prometheus.Collector.
func (w *Waits) Describe(to chan<- *prometheus.Desc) { w.seconds.Describe(to) }

// Collect implements prometheus.Collector.
func (w *Waits) Collect(to chan<- prometheus.Metric) { w.seconds.Collect(to) }
