package parley_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestRelayReportsWhatItLoses: a send that a relay has accepted, and cannot pass on any more, is told to the relay's program.
func TestRelayReportsWhatItLoses(t *testing.T) {
	leaktest.Check(t)
	var reported, handled atomic.Int64
	relay, err := parley.Listen("127.0.0.1:0", parley.WithSessionTTL(300*time.Millisecond), parley.WithUnacknowledged(func(u endpoint.Unacknowledged) {
		if u.Endpoint != "slow" || u.Method != sayhiv1parley.SayHiHiMethod || len(u.Payload) == 0 || u.Execution != endpoint.NotExecuted || u.Reason == nil {
			t.Errorf("reported is %+v", u)
		}
		reported.Add(1)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), relay, "any", hi{}); err != nil {
		t.Fatal(err)
	}
	between := newHalves(t, relay.Address())
	host, err := parley.New(parley.WithWindow(10, 1<<20), parley.WithSessionTTL(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	slow, err := sayhiv1parley.RegisterSayHi(soon(t), host, "slow", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		<-goOn
		handled.Add(1)
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.LookupSayHi(soon(t), host, "parley://any@"+between.Addr().String()); err != nil {
		t.Fatal(err)
	}
	asker := newEnv(t)
	via, err := slow.Ref().WithVia(relay.Address())
	if err != nil {
		t.Fatal(err)
	}
	ref := boundAt(t, asker, via)
	const sends = 100
	for range sends {
		if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{Msg: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(what string, done func() bool) {
		t.Helper()
		for ctx := soon(t); !done(); runtime.Gosched() {
			if ctx.Err() != nil {
				t.Fatalf("%s: %d reported, %d handled", what, reported.Load(), handled.Load())
			}
		}
	}
	wait("the relay does not take the sends over", func() bool { return asker.Sessions()[0].UnacknowledgedFrames == 0 })
	between.setDown(true)
	between.cutNear(t)
	between.cutFar(t)
	wait("the sessions with the host do not end", func() bool { return len(host.Sessions()) == 0 && len(relay.Sessions()) == 1 })
	close(goOn)
	wait("some sends are neither handled nor reported", func() bool { return reported.Load()+handled.Load() == sends })
	if n := reported.Load(); n < sends/2 {
		t.Errorf("only %d are reported: the host has taken the others", n)
	}
	end(t, asker, relay, host)
	between.end(t)
}
