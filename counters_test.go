package parley_test

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestCountersStalls: a message of a streaming call that waits for room is a stall of the session of its sender, whichever side that is, and of its
// Env for good; in one Env it is a stall of the endpoint.
func TestCountersStalls(t *testing.T) {
	leaktest.Check(t)
	goOn := make(chan struct{})
	w := newStreamWorldOf(t, &duplex{full: func(stream duplexServer) error {
		<-goOn
		for {
			if _, err := stream.Recv(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}}, []parley.Option{parley.WithStreamWindow(1)}, nil)
	stalled := func(way string, stalls func() uint64) {
		t.Helper()
		stream, err := w.stubs[way].FullDuplexCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		before := stalls()
		sent := make(chan error, 1)
		go func() {
			err := stream.Send(&outRequest{Payload: &grpc_testing.Payload{Body: []byte("fills the window")}})
			if err == nil {
				err = stream.Send(&outRequest{})
			}
			sent <- err
		}()
		for ctx := soon(t); stalls() == before; runtime.Gosched() {
			if ctx.Err() != nil {
				t.Fatalf("%s: nothing waits for room", way)
			}
		}
		goOn <- struct{}{}
		if err := errors.Join(<-sent, stream.CloseSend()); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	stalled("by an address", func() uint64 { return w.caller.Sessions()[0].Stalls })
	stalled("local", func() uint64 { return w.host.Endpoints()[0].Stalls })
	if n := w.caller.Counters().Stalls; n != 1 {
		t.Errorf("the caller has counted %d stalls, want 1", n)
	}
	w.end(t)
	if c := w.caller.Counters(); c.Sessions != 0 || c.Stalls != 1 {
		t.Errorf("after the end the counters are %+v, want one stall", c)
	}
}
