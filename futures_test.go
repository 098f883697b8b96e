package parley_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestFuturesOfEndingContexts: an ask uses again what an earlier one is done with, whose context may end at that very moment. It gets its own answer, and
// is not ended by the context of the other.
func TestFuturesOfEndingContexts(t *testing.T) {
	leaktest.Check(t)
	host, caller, ref := calling(t)
	const groups, together = 100, 64
	for group := range groups {
		ctx, cancel := context.WithCancel(soon(t))
		var ending [together]*endpoint.Future[sayhiv1.HiReply]
		for i := range ending {
			ending[i] = ref.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: fmt.Sprint("ending ", group, " ", i)})
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			<-ending[group%together].Done()
			cancel()
		})
		for i, f := range ending {
			reply, err := f.Wait(soon(t))
			if err == nil && reply.GetMsg() != fmt.Sprint("echo ending ", group, " ", i) || err != nil && !errors.Is(err, endpoint.ErrCancelled) {
				t.Fatalf("ask %d of group %d got %q, %v", i, group, reply.GetMsg(), err)
			}
			want := fmt.Sprint("lasting ", group, " ", i)
			lasting, err := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: want}).Wait(soon(t))
			if err != nil || lasting.GetMsg() != "echo "+want {
				t.Fatalf("an ask whose context has not ended got %q, %v, want %q", lasting.GetMsg(), err, want)
			}
		}
		wg.Wait()
	}
	end(t, caller, host)
}

// TestOutcomeIsKept: who waits for a future or a receipt again, or beside others, gets the same, whatever other asks have got meanwhile.
func TestOutcomeIsKept(t *testing.T) {
	leaktest.Check(t)
	host, caller, ref := calling(t)
	nobody, err := endpoint.NewRef("nobody", host.Address())
	if err != nil {
		t.Fatal(err)
	}
	bound, err := caller.Bind(nobody)
	if err != nil {
		t.Fatal(err)
	}
	gone := sayhiv1parley.NewSayHi(bound)
	for k := range 100 {
		want := fmt.Sprint(k)
		future := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: want})
		failing := gone.Hi.Ask(soon(t), &sayhiv1.HiRequest{})
		receipt := ref.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{})
		refused := gone.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 3 {
					if r, err := future.Wait(soon(t)); err != nil || r.GetMsg() != "echo "+want {
						t.Errorf("got %q, %v, want %q", r.GetMsg(), err, want)
					}
					if _, err := failing.Wait(soon(t)); !errors.Is(err, endpoint.ErrEndpointNotFound) {
						t.Errorf("an ask of nobody got %v", err)
					}
					if err := receipt.Wait(soon(t)); err != nil {
						t.Errorf("a receipt says %v", err)
					}
					if err := refused.Wait(soon(t)); !errors.Is(err, endpoint.ErrEndpointNotFound) {
						t.Errorf("a receipt of nobody says %v", err)
					}
					other := "beside " + want
					if r, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: other}); err != nil || r.GetMsg() != "echo "+other {
						t.Errorf("an ask beside them got %q, %v", r.GetMsg(), err)
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			break
		}
	}
	end(t, caller, host)
}

// TestSelfFuture: an endpoint that waits for its own future is told that the ask, which is in its mailbox, may run.
func TestSelfFuture(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	waited, ran := make(chan error, 1), make(chan struct{})
	var self sayhiv1parley.SayHiRef
	self, err = sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if r.GetMsg() == "inner" {
			close(ran)
			return &sayhiv1.HiReply{}, nil
		}
		_, err := self.Hi.Ask(context.WithoutCancel(ctx), &sayhiv1.HiRequest{Msg: "inner"}).Wait(ctx)
		waited <- err
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := self.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "outer"}); err != nil {
		t.Fatal(err)
	}
	var e *endpoint.Error
	if err := <-waited; !errors.Is(err, endpoint.ErrSelfAsk) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted || e.Phase != endpoint.PhaseSent {
		t.Errorf("Wait: %v, want ErrSelfAsk, phase sent, may have executed", err)
	}
	select {
	case <-ran:
	case <-soon(t).Done():
		t.Error("the inner ask did not run")
	}
	if err := env.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
}

// TestOnCompletePanic: a panic of a function of OnComplete is logged, and the program goes on.
func TestOnCompletePanic(t *testing.T) {
	leaktest.Check(t)
	var log strings.Builder // read after Shutdown, which waits for the function
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	env, err := parley.New(parley.WithLogger(before))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{}).OnComplete(func(*sayhiv1.HiReply, error) { panic("in the callback") })
	if err := env.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "in the callback") || !strings.Contains(log.String(), "OnComplete") {
		t.Errorf("the log is %q, want the panic", log.String())
	}
}
