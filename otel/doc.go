// Package parleyotel gives an Env of Parley traces and metrics of OpenTelemetry:
//
//	env, err := parley.Listen(":5678", parleyotel.Options()...)
//	registration, err := parleyotel.Observe(env, otel.GetMeterProvider())
//
// Each call has a span at the side that makes it and one at the side that handles it, whichever way it goes; the trace context travels in the metadata of each message.
// The stream that carries all messages has none, as it would not end. The spans and the durations are those of otelgrpc, whose stats handlers work unchanged; what they
// are called is in the semantic conventions for gRPC.
package parleyotel
