package parley_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// relayed is a hub, an endpoint behind it in a client-mode Env that holds up its senders, and a third Env that sends through
// the hub.
type relayed struct {
	hub, host, third *parley.Env
	byHub, byThird   sayhiv1parley.SayHiRef
	release          chan struct{}
	handled          atomic.Int32
}

func newRelayed(t *testing.T, logger *slog.Logger) *relayed {
	t.Helper()
	r := &relayed{release: make(chan struct{})}
	var err error
	if r.hub, err = parley.Listen("localhost:0", parley.WithQueueTimeout(20*time.Millisecond), parley.WithLogger(logger)); err != nil {
		t.Fatal(err)
	}
	if r.host, err = parley.New(parley.WithWindow(2, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if r.third, err = parley.New(); err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), r.host, "hi", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		<-r.release
		r.handled.Add(1)
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.host.Lookup(soon(t), "parley://nobody@"+r.hub.Address(), ""); !errors.Is(err, endpoint.ErrEndpointNotFound) {
		t.Fatal(err)
	}
	byHub, err := r.hub.Bind(ref.Ref())
	if err != nil {
		t.Fatal(err)
	}
	via, err := ref.Ref().WithVia(r.hub.Address())
	if err != nil {
		t.Fatal(err)
	}
	byThird, err := r.third.Bind(via)
	if err != nil {
		t.Fatal(err)
	}
	r.byHub, r.byThird = sayhiv1parley.NewSayHi(byHub), sayhiv1parley.NewSayHi(byThird)
	return r
}

// TestRelayKeepsSends: a relay drops no send that it has accepted, however long the receiver holds it up.
func TestRelayKeepsSends(t *testing.T) {
	leaktest.Check(t)
	r := newRelayed(t, slog.New(slog.DiscardHandler))
	const sends = 10
	for range sends {
		if err := r.byThird.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	own := 0 // sends of the hub that were accepted; each refused one has waited for the hub's queue timeout
	for refused := 0; refused < 3; {
		switch err := r.byHub.Hi.Send(soon(t), &sayhiv1.HiRequest{}); {
		case err == nil:
			own++
		case errors.Is(err, endpoint.ErrOverloaded):
			refused++
		default:
			t.Fatal(err)
		}
	}
	close(r.release)
	if _, err := r.byThird.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil { // behind the sends
		t.Error(err)
	}
	if got, dropped := int(r.handled.Load()), r.hub.Counters().Dropped; got != sends+own+1 || dropped > 0 {
		t.Errorf("%d messages were handled and %d dropped, want %d and 0", got, dropped, sends+own+1)
	}
	if err := errors.Join(r.third.Shutdown(soon(t)), r.host.Shutdown(soon(t)), r.hub.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}

// dropLog is a log that tells when a message was dropped.
type dropLog chan struct{}

func (l dropLog) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "was dropped") {
		select {
		case l <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// TestRelayOfSenderThatLeft: what a relay holds of a sender whose session has ended waits no longer than the queue timeout.
func TestRelayOfSenderThatLeft(t *testing.T) {
	leaktest.Check(t)
	log := make(dropLog, 1)
	r := newRelayed(t, slog.New(slog.NewTextHandler(log, nil)))
	for range 10 {
		if err := r.byThird.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.third.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	select {
	case <-log:
	case <-soon(t).Done():
		t.Error("the relay still waits for room, and nobody waits for it")
	}
	close(r.release)
	if err := errors.Join(r.host.Shutdown(soon(t)), r.hub.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}
