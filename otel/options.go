package parleyotel

import (
	"context"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
)

// EndpointKey is the key of the attribute that names the endpoint that a call is for, of the spans and the durations of both sides, and of the metrics of mailboxes.
const EndpointKey = attribute.Key("parley.endpoint")

// Options returns the options of an Env whose calls are to have spans and durations, those that it makes and those that it handles. opts are for both sides; what
// they leave out is as with otelgrpc: the global providers and propagator.
//
// Durations have the name of the endpoint, so a program that makes endpoints without end makes time series without end. An otelgrpc.WithMetricAttributesFn among opts
// takes the place of that.
func Options(opts ...otelgrpc.Option) []parley.Option {
	named := func(name attributes) []otelgrpc.Option {
		return append([]otelgrpc.Option{otelgrpc.WithMetricAttributesFn(name)}, opts...)
	}
	return []parley.Option{
		parley.WithStatsHandlers(otelgrpc.NewServerHandler(named(endpointOf)...), nameSpan(endpointOf)),
		parley.WithClientStatsHandlers(otelgrpc.NewClientHandler(named(targetOf)...), nameSpan(targetOf)),
	}
}

// NotCarrier is an otelgrpc.Filter for handlers of the gRPC server itself and of its connections (parley.WithServerOptions, parley.WithDialOptions): it leaves out the
// stream that carries all messages, whose span would end with the session only.
func NotCarrier(info *stats.RPCTagInfo) bool {
	return info.FullMethodName != "/parley.v1.Parley/Connect"
}

// attributes returns those of a call.
type attributes = func(ctx context.Context) []attribute.KeyValue

// endpointOf returns the attributes of the endpoint whose handler gets ctx: none if it has no name any more, because it is stopping.
func endpointOf(ctx context.Context) []attribute.KeyValue {
	ref, ok := endpoint.Self(ctx)
	if !ok {
		return nil
	}
	return []attribute.KeyValue{EndpointKey.String(ref.Name())}
}

// targetOf returns the attributes of the endpoint that the call with the context ctx is for.
func targetOf(ctx context.Context) []attribute.KeyValue {
	ref, ok := endpoint.Target(ctx)
	if !ok {
		return nil
	}
	return []attribute.KeyValue{EndpointKey.String(ref.Name())}
}

// nameSpan returns a handler that gives the span of the one before it the name of the endpoint.
func nameSpan(name attributes) tagging {
	return func(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
		if span := trace.SpanFromContext(ctx); span.IsRecording() {
			span.SetAttributes(name(ctx)...)
		}
		return ctx
	}
}

// tagging is a stats.Handler that looks at calls when they begin.
type tagging func(ctx context.Context, info *stats.RPCTagInfo) context.Context

// TagRPC implements stats.Handler.
func (f tagging) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return f(ctx, info)
}

// HandleRPC implements stats.Handler.
func (tagging) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn implements stats.Handler.
func (tagging) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (tagging) HandleConn(context.Context, stats.ConnStats) {}
