package parley_test

import (
	"context"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestArrived: a handler knows when its message came, and an Env how long the oldest one that waits has waited: but for its own sends, unless it has
// stats handlers.
func TestArrived(t *testing.T) {
	leaktest.Check(t)
	for name, opts := range map[string][]parley.Option{"alone": nil, "with a stats handler": {parley.WithStatsHandlers(newRecorder(""))}} {
		t.Run(name, func(t *testing.T) {
			host, err := parley.Listen("127.0.0.1:0", opts...)
			if err != nil {
				t.Fatal(err)
			}
			type arrival struct {
				at, now time.Time
				known   bool
			}
			arrivals, goOn := make(chan arrival), make(chan struct{})
			local, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
				at, known := endpoint.Arrived(ctx)
				arrivals <- arrival{at, time.Now(), known}
				<-goOn
				return &sayhiv1.HiReply{}, nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			caller := newEnv(t)
			remote := boundAt(t, caller, local.Ref())
			ask := func(r sayhiv1parley.SayHiRef) { r.Hi.Ask(soon(t), &sayhiv1.HiRequest{}) }
			send := func(r sayhiv1parley.SayHiRef) {
				if err := r.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
					t.Error(err)
				}
			}
			for _, way := range []struct {
				name  string
				call  func(sayhiv1parley.SayHiRef)
				ref   sayhiv1parley.SayHiRef
				known bool
			}{{"an ask of a peer", ask, remote, true}, {"a send of a peer", send, remote, true}, {"an own ask", ask, local, true}, {"an own send", send, local, opts != nil}} {
				before := time.Now()
				way.call(way.ref)
				if a := <-arrivals; a.known != way.known || a.known && (a.at.Before(before) || a.at.After(a.now)) {
					t.Errorf("%s: arrived %v, %t, want that it is known: %t, and between %v and %v", way.name, a.at, a.known, way.known, before, a.now)
				}
				if i := host.Endpoints()[0]; i.OldestWait != 0 {
					t.Errorf("%s: nothing waits, but the oldest for %v", way.name, i.OldestWait)
				}
				way.call(way.ref) // waits behind the first
				i := host.Endpoints()[0]
				for ctx := soon(t); i.Waiting == 0 && ctx.Err() == nil; {
					i = host.Endpoints()[0]
				}
				if known := i.OldestWait > 0; i.Waiting != 1 || known != way.known || i.OldestWait > time.Since(before) {
					t.Errorf("%s: of %d that wait, the oldest does for %v, want that it is known: %t", way.name, i.Waiting, i.OldestWait, way.known)
				}
				goOn <- struct{}{}
				<-arrivals
				goOn <- struct{}{}
			}
			end(t, caller, host)
		})
	}
	if _, known := endpoint.Arrived(t.Context()); known {
		t.Error("something arrived outside of handlers")
	}
}
