package parleyotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/parley-rpc/parley"
)

// scope is the name of the meter.
const scope = "github.com/parley-rpc/parley/otel"

// Observe has the provider read the counters of env whenever it collects, with the attribute parley.env, the Env's name, until Unregister of what is returned:
//
//	parley.sessions          the sessions that live
//	parley.asks.pending      the asks of this Env to peers that wait for a reply
//	parley.asks.open         the asks of peers that have not been answered
//	parley.messages.dropped  the one-way messages that came for nobody, in all
//	parley.replies.late      the replies that came when nobody waited any more; of sessions, of those that live
//
// It fails if the provider does.
func Observe(env *parley.Env, provider metric.MeterProvider) (metric.Registration, error) {
	meter := provider.Meter(scope)
	var failed error
	level := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		i, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = errors.Join(failed, err)
		return i
	}
	sessions := level("parley.sessions", "{session}", "Sessions that live.")
	pending := level("parley.asks.pending", "{ask}", "Asks to peers that wait for a reply.")
	open := level("parley.asks.open", "{ask}", "Asks of peers that have not been answered.")
	late := level("parley.replies.late", "{reply}", "Replies that came when nobody waited any more; of sessions, of those that live.")
	dropped, err := meter.Int64ObservableCounter("parley.messages.dropped", metric.WithUnit("{message}"), metric.WithDescription("One-way messages that came for nobody."))
	if failed = errors.Join(failed, err); failed != nil {
		return nil, failed
	}
	name := metric.WithAttributes(attribute.String("parley.env", env.Name()))
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c := env.Counters()
		o.ObserveInt64(sessions, int64(c.Sessions), name)
		o.ObserveInt64(pending, int64(c.PendingAsks), name)
		o.ObserveInt64(open, int64(c.OpenAsks), name)
		o.ObserveInt64(late, int64(c.LateReplies), name)
		o.ObserveInt64(dropped, int64(c.Dropped), name)
		return nil
	}, sessions, pending, open, late, dropped)
}
