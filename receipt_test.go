package parley_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestReceipt: a receipt comes when the mailbox has taken the message, before its handler runs, locally and from afar, small and in chunks;
// or it says why the mailbox has not.
func TestReceipt(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	goOn := make(chan struct{})
	busy, err := sayhiv1parley.RegisterSayHi(soon(t), host, "busy", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		<-goOn
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := sayhiv1parley.RegisterSayHi(soon(t), host, "stopped", hi{})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Stop(soon(t), stopped.Ref()); err != nil {
		t.Fatal(err)
	}
	for where, env := range map[string]*parley.Env{"local": host, "remote": caller} {
		for _, size := range []int{0, 100_000} {
			ref := boundAt(t, env, busy.Ref())
			if err := ref.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{Msg: strings.Repeat("x", size)}).Wait(soon(t)); err != nil {
				t.Errorf("%s, %d bytes: %v", where, size, err)
			}
		}
		nobody, err := endpoint.NewRef("nobody", host.Address())
		if err != nil {
			t.Fatal(err)
		}
		for ref, want := range map[endpoint.Ref]error{nobody: endpoint.ErrEndpointNotFound, stopped.Ref(): endpoint.ErrEndpointStopped} {
			err := boundAt(t, env, ref).Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{}).Wait(soon(t))
			var e *endpoint.Error
			if !errors.Is(err, want) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted || !strings.Contains(err.Error(), "send with receipt") {
				t.Errorf("%s, %s: %v, want %v, not executed", where, ref.Name(), err, want)
			}
		}
	}
	close(goOn)
	for _, s := range caller.Sessions() {
		if s.PendingAsks != 0 {
			t.Errorf("%d receipts are pending", s.PendingAsks)
		}
	}
	end(t, caller, host)
}

func boundAt(t *testing.T, env *parley.Env, ref endpoint.Ref) sayhiv1parley.SayHiRef {
	t.Helper()
	b, err := env.Bind(ref)
	if err != nil {
		t.Fatal(err)
	}
	return sayhiv1parley.NewSayHi(b)
}

// TestReceiptRelayed: the receipt is that of the mailbox in the end.
func TestReceiptRelayed(t *testing.T) {
	leaktest.Check(t)
	r := newRelayed(t, slog.New(slog.DiscardHandler))
	if err := r.byThird.Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{}).Wait(soon(t)); err != nil {
		t.Error(err)
	}
	nobody, err := endpoint.NewClientRef("nobody", r.host.ID())
	if err == nil {
		nobody, err = nobody.WithVia(r.hub.Address())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := boundAt(t, r.third, nobody).Hi.SendWithReceipt(soon(t), &sayhiv1.HiRequest{}).Wait(soon(t)); !errors.Is(err, endpoint.ErrEndpointNotFound) {
		t.Errorf("a receipt of nobody: %v, want ErrEndpointNotFound", err)
	}
	close(r.release)
	end(t, r.third, r.host, r.hub)
}

// TestReceiptGivenUp: who does not wait any more takes nothing back.
func TestReceiptGivenUp(t *testing.T) {
	leaktest.Check(t)
	host, ref := hosting(t)
	env := newEnv(t)
	counting := newCounting(t, "counting")
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "counting", counting); err != nil {
		t.Fatal(err)
	}
	target, err := endpoint.NewRef("counting", ref.Ref().Address())
	if err != nil {
		t.Fatal(err)
	}
	bound := boundAt(t, env, target)
	ctx, cancel := context.WithCancel(soon(t))
	receipt := bound.Hi.SendWithReceipt(ctx, &sayhiv1.HiRequest{Msg: "1"})
	cancel()
	if err := receipt.Wait(soon(t)); err != nil && !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("the receipt: %v", err)
	}
	if _, err := bound.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "2"}); err != nil { // behind it
		t.Error(err)
	}
	if counting.last != 2 {
		t.Errorf("the last message is %d, want 2", counting.last)
	}
	end(t, env, host)
}
