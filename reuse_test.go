package parley_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"weak"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestAsksAfterStreams: what the server keeps of streaming calls, to use it again, does not make streaming calls of asks.
func TestAsksAfterStreams(t *testing.T) {
	leaktest.Check(t)
	const many = 300 // a frame has some of them, which is when calls are used again
	host, _ := hosting(t)
	caller := newEnv(t)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), &streamer{ended: make(chan error, many)})
	streams, err := caller.Lookup(soon(t), "parley://streams@"+host.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := caller.Conn(streams.Ref())
	if err != nil {
		t.Fatal(err)
	}
	bound, err := caller.Lookup(soon(t), "parley://hi@"+host.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	ref := sayhiv1parley.NewSayHi(bound)
	for range 5 {
		var opened []grpc.BidiStreamingClient[outRequest, outReply]
		for range many {
			stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, stream)
		}
		for _, stream := range opened {
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
			var tr transcript
			tr.rest(stream)
		}
		var futures []*endpoint.Future[sayhiv1.HiReply]
		for range many {
			futures = append(futures, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{}))
		}
		for _, f := range futures {
			if _, err := f.Wait(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	end(t, caller, host)
}

// waiting is an endpoint that holds some messages until it is told.
type waiting struct {
	hi
	goOn chan struct{}
}

func (w waiting) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	if r.GetMsg() == "wait" {
		<-w.goOn
	}
	return w.hi.Hi(ctx, r)
}

// TestFuturesDoNotKeepEachOther: what asks use again keeps nothing of those that are over, and neither does one that waits for long.
func TestFuturesDoNotKeepEachOther(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	w := waiting{goOn: make(chan struct{})}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "waiting", w, endpoint.Concurrent(2)); err != nil {
		t.Fatal(err)
	}
	caller := newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), caller, "parley://waiting@"+host.Address())
	if err != nil {
		t.Fatal(err)
	}
	const many = 100
	long := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "wait"})
	var over []weak.Pointer[endpoint.Future[sayhiv1.HiReply]]
	ask := func() {
		var asked []*endpoint.Future[sayhiv1.HiReply]
		for range many {
			failing := ref.Hi.Ask(metadata.AppendToOutgoingContext(soon(t), "no key!", ""), &sayhiv1.HiRequest{})
			asked = append(asked, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{}), failing)
		}
		for i, f := range asked {
			if _, err := f.Wait(soon(t)); i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, endpoint.ErrInvalid) {
				t.Fatalf("ask %d got %v", i, err)
			}
			over = append(over, weak.Make(f))
		}
	}
	ask()
	runtime.GC() // once, as what is kept to be used again goes with the second one
	kept := 0
	for _, f := range over {
		if f.Value() != nil {
			kept++
		}
	}
	if kept > 2 { // the last ones may still be in registers of those who have completed them
		t.Errorf("%d futures of %d are in memory when nobody has them any more", kept, len(over))
	}
	close(w.goOn)
	if _, err := long.Wait(soon(t)); err != nil {
		t.Error(err)
	}
	end(t, caller, host)
}

// greeter is an endpoint with a name of its own.
type greeter struct {
	sayhiv1parley.UnimplementedSayHi
	name string
}

func (g *greeter) Hi(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: g.name}, nil
}

// TestNameIsUsedAgain: a session that has found an endpoint finds the next one of that name, and keeps nothing of those before.
func TestNameIsUsedAgain(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	var before []weak.Pointer[greeter]
	var remote sayhiv1parley.SayHiRef
	for i := range 3 {
		g := &greeter{name: fmt.Sprint("greeter ", i)}
		ref, err := sayhiv1parley.RegisterSayHi(soon(t), host, "greeter", g)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if remote, err = sayhiv1parley.LookupSayHi(soon(t), caller, ref.Ref().String()); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if reply, err := remote.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil || reply.GetMsg() != g.name {
				t.Errorf("%s: got %v, %v", g.name, reply, err)
			}
		}
		if err := host.Stop(soon(t), ref.Ref()); err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrEndpointStopped) {
			t.Errorf("%s has stopped, and an ask got %v", g.name, err)
		}
		before = append(before, weak.Make(g))
	}
	for range 3 { // pools give up what they have with the second collection
		runtime.GC()
	}
	for i, g := range before {
		if g.Value() != nil {
			t.Errorf("greeter %d has stopped, and is in memory", i)
		}
	}
	end(t, caller, host)
}

// holding is an endpoint whose handlers drop their request, let the next one run, and wait.
type holding struct {
	sayhiv1parley.UnimplementedSayHi
	began chan struct{}
	goOn  chan struct{}
}

func (h holding) Hi(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	if err := endpoint.Release(ctx); err != nil {
		return nil, err
	}
	h.began <- struct{}{}
	<-h.goOn
	return &sayhiv1.HiReply{}, nil
}

// TestHandlersDoNotKeepLargeRequests: what a large message came in is used again, or collected, while its handler runs. So it is in a relay.
func TestHandlersDoNotKeepLargeRequests(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		t.Run(fmt.Sprintf("relayed %t", relayed), func(t *testing.T) {
			leaktest.Check(t)
			const many, size = 40, 500_000
			h := holding{began: make(chan struct{}), goOn: make(chan struct{})}
			listener, _ := hosting(t)
			host := listener
			if relayed {
				host = newEnv(t)
				if _, err := host.Lookup(soon(t), "parley://hi@"+listener.Address(), ""); err != nil { // there is a session to relay by
					t.Fatal(err)
				}
			}
			hosted, err := sayhiv1parley.RegisterSayHi(soon(t), host, "holding", h)
			if err != nil {
				t.Fatal(err)
			}
			target := hosted.Ref()
			if relayed {
				if target, err = target.WithVia(listener.Address()); err != nil {
					t.Fatal(err)
				}
			}
			caller := newEnv(t)
			bound, err := caller.LookupRef(soon(t), target, "")
			if err != nil {
				t.Fatal(err)
			}
			ref := sayhiv1parley.NewSayHi(bound)
			before := heap()
			var futures []*endpoint.Future[sayhiv1.HiReply]
			for range many {
				futures = append(futures, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: strings.Repeat("x", size)}))
				<-h.began
				heap() // pools let go of what they have, so that only who still has it keeps it
			}
			most := before + many*size/4
			now := heap()
			for range 100 { // the last one may still be on its way through the relay
				if now <= most {
					break
				}
				now = heap()
			}
			if now > most {
				t.Errorf("%d handlers of messages of %d bytes, which they have dropped, keep %d bytes", many, size, now-before)
			}
			close(h.goOn)
			for _, f := range futures {
				if _, err := f.Wait(soon(t)); err != nil {
					t.Error(err)
				}
			}
			if relayed {
				end(t, host)
			}
			end(t, caller, listener)
		})
	}
}
