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
//	parley.sessions             the sessions that live
//	parley.asks.pending         the asks of this Env to peers that wait for a reply
//	parley.asks.open            the asks of peers that have not been answered
//	parley.messages.dropped     the one-way messages that came for nobody, in all
//	parley.replies.late         the replies that came when nobody waited any more, in all
//	parley.stalls               how often a message to a peer had to wait for room, in all
//	parley.frames.replayed      the frames that were written again because a stream broke, in all
//	parley.mailbox.waiting      the messages that wait in the mailbox of the endpoint
//	parley.mailbox.oldest_wait  how long the oldest of these has waited, in seconds; see endpoint.Info.OldestWait
//	parley.mailbox.stalls       how often a sender in this Env, or an ordinary gRPC call, had to wait for room at the endpoint
//
// The last three are of each endpoint, which the attribute EndpointKey names, so a program that makes endpoints without end makes time series without end.
// Observe fails if the provider does.
func Observe(env *parley.Env, provider metric.MeterProvider) (metric.Registration, error) {
	o := observables{meter: provider.Meter(scope)}
	sessions := o.level("parley.sessions", "{session}", "Sessions that live.")
	pending := o.level("parley.asks.pending", "{ask}", "Asks to peers that wait for a reply.")
	open := o.level("parley.asks.open", "{ask}", "Asks of peers that have not been answered.")
	dropped := o.total("parley.messages.dropped", "{message}", "One-way messages that came for nobody.")
	late := o.total("parley.replies.late", "{reply}", "Replies that came when nobody waited any more.")
	stalls := o.total("parley.stalls", "{message}", "Messages to peers that had to wait for room.")
	replayed := o.total("parley.frames.replayed", "{frame}", "Frames that were written again because a stream broke.")
	waiting := o.level("parley.mailbox.waiting", "{message}", "Messages that wait in the mailbox.")
	oldest := o.seconds("parley.mailbox.oldest_wait", "How long the oldest message in the mailbox has waited.")
	boxStalls := o.total("parley.mailbox.stalls", "{message}", "Messages of this Env, and ordinary gRPC calls, that had to wait for room at the endpoint.")
	if o.failed != nil {
		return nil, o.failed
	}
	name := attribute.String("parley.env", env.Name())
	return o.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		c := env.Counters()
		here := metric.WithAttributeSet(attribute.NewSet(name))
		to.ObserveInt64(sessions, int64(c.Sessions), here)
		to.ObserveInt64(pending, int64(c.PendingAsks), here)
		to.ObserveInt64(open, int64(c.OpenAsks), here)
		to.ObserveInt64(dropped, int64(c.Dropped), here)
		to.ObserveInt64(late, int64(c.LateReplies), here)
		to.ObserveInt64(stalls, int64(c.Stalls), here)
		to.ObserveInt64(replayed, int64(c.Replayed), here)
		all := env.Endpoints()
		for n, i := range all {
			if n+1 < len(all) && all[n+1].Name == i.Name { // it is stopping: its successor, which comes next, stands for both
				next := &all[n+1]
				next.Waiting, next.OldestWait = next.Waiting+i.Waiting, max(next.OldestWait, i.OldestWait)
				continue
			}
			at := metric.WithAttributeSet(attribute.NewSet(name, EndpointKey.String(i.Name)))
			to.ObserveInt64(waiting, int64(i.Waiting), at)
			to.ObserveFloat64(oldest, i.OldestWait.Seconds(), at)
			to.ObserveInt64(boxStalls, int64(i.Stalls), at)
		}
		return nil
	}, o.all...)
}

// observables makes instruments, until that fails.
type observables struct {
	meter  metric.Meter
	all    []metric.Observable
	failed error
}

func (o *observables) level(name, unit, description string) metric.Int64ObservableUpDownCounter {
	i, err := o.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.all, o.failed = append(o.all, i), errors.Join(o.failed, err)
	return i
}

func (o *observables) total(name, unit, description string) metric.Int64ObservableCounter {
	i, err := o.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	o.all, o.failed = append(o.all, i), errors.Join(o.failed, err)
	return i
}

func (o *observables) seconds(name, description string) metric.Float64ObservableGauge {
	i, err := o.meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
	o.all, o.failed = append(o.all, i), errors.Join(o.failed, err)
	return i
}
