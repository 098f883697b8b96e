package parley_test

import (
	"context"
	"runtime"
	"slices"
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
	var reported, uncertain, handled atomic.Int64 // uncertain are those of which an acknowledgement may have been lost
	relay, err := parley.Listen("127.0.0.1:0", parley.WithSessionTTL(300*time.Millisecond), parley.WithUnacknowledged(func(u endpoint.Unacknowledged) {
		if u.Endpoint != "slow" || u.Method != sayhiv1parley.SayHiHiMethod || len(u.Payload) == 0 || u.Reason == nil {
			t.Errorf("reported is %+v", u)
		}
		if u.Execution == endpoint.NotExecuted {
			reported.Add(1)
		} else {
			uncertain.Add(1)
		}
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
	for what, env := range map[string]*parley.Env{"the relay does not take the sends over": asker, "the host does not take over what it may get": relay} {
		wait(what, func() bool {
			return !slices.ContainsFunc(env.Sessions(), func(s parley.SessionInfo) bool { return s.UnacknowledgedFrames > 0 })
		})
	}
	between.setDown(true)
	between.cutNear(t)
	between.cutFar(t)
	wait("the sessions with the host do not end", func() bool { return len(host.Sessions()) == 0 && len(relay.Sessions()) == 1 })
	close(goOn)
	wait("some sends are neither handled nor reported", func() bool { return reported.Load()+uncertain.Load()+handled.Load() >= sends })
	end(t, asker, relay, host)
	if n := reported.Load(); n < sends/2 || n+handled.Load() > sends {
		t.Errorf("%d of %d are reported as not executed, and %d were handled", n, sends, handled.Load())
	}
	between.end(t)
}
