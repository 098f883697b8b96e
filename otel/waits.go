package parleyotel

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
)

// Waits returns an option of an Env that has the provider know how long each message, or streaming call, has waited in its mailbox when its turn comes: the histogram
// parley.mailbox.wait, in seconds, with the attributes rpc.method and EndpointKey. Given after those of Options, its exemplars have the spans of the calls. It fails if
// the provider does.
func Waits(provider metric.MeterProvider) (parley.Option, error) {
	h, err := provider.Meter(scope).Float64Histogram("parley.mailbox.wait", metric.WithUnit("s"), metric.WithDescription("How long messages have waited in the mailbox."),
		metric.WithExplicitBucketBoundaries(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, err
	}
	return parley.WithStatsHandlers(tagging(func(ctx context.Context, info *stats.RPCTagInfo) context.Context {
		if at, ok := endpoint.Arrived(ctx); ok {
			method := attribute.String("rpc.method", strings.TrimPrefix(info.FullMethodName, "/"))
			h.Record(ctx, time.Since(at).Seconds(), metric.WithAttributes(append(endpointOf(ctx), method)...))
		}
		return ctx
	})), nil
}
