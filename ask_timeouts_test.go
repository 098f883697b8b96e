package parley_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// wantAskTimeout checks that err is the end of an ask by the Env's ask timeout, before it was handed over.
func wantAskTimeout(t *testing.T, what string, err error, phase endpoint.Phase) {
	t.Helper()
	var e *endpoint.Error
	if !errors.Is(err, endpoint.ErrTimeout) || !errors.As(err, &e) {
		t.Errorf("%s: %v, want ErrTimeout", what, err)
		return
	}
	if e.Setting != "parley.WithAskTimeout" || e.Phase != phase || e.Execution != endpoint.NotExecuted {
		t.Errorf("%s: %v, want phase %s, not executed, by parley.WithAskTimeout", what, err, phase)
	}
}

// TestAskTimeoutConnecting: without a deadline, the ask timeout covers the wait for a session, of asks and of lookups.
func TestAskTimeoutConnecting(t *testing.T) {
	leaktest.Check(t)
	silent, err := net.Listen("tcp", "localhost:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	env, err := parley.New(parley.WithAskTimeout(50 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	req := &sayhiv1.HiRequest{}
	for name, l := range map[string]net.Listener{"silent": silent, "gone": gone} {
		ref := refAt(t, "hi", l.Addr().String())
		method := boundAt(t, env, ref).Hi
		_, err = method.AskSync(context.Background(), req, grpc.WaitForReady(true))
		wantAskTimeout(t, name+", AskSync", err, endpoint.PhaseConnecting)
		_, err = method.Ask(context.Background(), req, grpc.WaitForReady(true)).Wait(soon(t))
		wantAskTimeout(t, name+", Ask", err, endpoint.PhaseConnecting)
		if name == "silent" { // a lookup does not wait for one that is gone
			_, err = env.LookupRef(context.Background(), ref, "")
			wantAskTimeout(t, name+", Lookup", err, endpoint.PhaseConnecting)
		}
	}
	if err := errors.Join(env.Shutdown(soon(t)), silent.Close()); err != nil {
		t.Error(err)
	}
}

// TestAskTimeoutFullWindow: without a deadline, the ask timeout covers the wait for room.
func TestAskTimeoutFullWindow(t *testing.T) {
	leaktest.Check(t)
	opts := []parley.Option{parley.WithWindow(1, 1<<20), parley.WithAskTimeout(50 * time.Millisecond)}
	host, err := parley.Listen("localhost:0", opts...)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"local", "remote"} {
		entered, goOn := make(chan struct{}, 2), make(chan struct{})
		local, err := sayhiv1parley.RegisterSayHi(soon(t), host, name, hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			entered <- struct{}{}
			<-goOn
			return &sayhiv1.HiReply{}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		ref := local
		if name == "remote" {
			if ref, err = sayhiv1parley.LookupSayHi(soon(t), caller, local.Ref().String()); err != nil {
				t.Fatal(err)
			}
		}
		req := &sayhiv1.HiRequest{}
		err = ref.Hi.Send(soon(t), req)
		<-entered
		// The second has the room that the first gives back, and stays in the mailbox.
		if err := errors.Join(err, ref.Hi.Send(soon(t), req)); err != nil {
			t.Fatal(err)
		}
		_, err = ref.Hi.AskSync(context.Background(), req)
		wantAskTimeout(t, name, err, endpoint.PhaseQueued)
		close(goOn)
	}
	if err := errors.Join(caller.Shutdown(soon(t)), host.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}

// TestRemaining: the time that connecting takes is not given to the handler once more.
func TestRemaining(t *testing.T) {
	leaktest.Check(t)
	const slow, tolerance = time.Second, time.Second / 2
	host, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	deadlines := make(chan time.Time, 1)
	local, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		d, _ := ctx.Deadline()
		deadlines <- d
		return &sayhiv1.HiReply{}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		select {
		case <-time.After(slow):
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})))
	if err != nil {
		t.Fatal(err)
	}
	b, err := caller.Bind(local.Ref())
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	if _, err := sayhiv1parley.NewSayHi(b).Hi.AskSync(ctx, &sayhiv1.HiRequest{}); err != nil {
		t.Fatal(err)
	}
	want, _ := ctx.Deadline()
	if late := (<-deadlines).Sub(want); late > tolerance {
		t.Errorf("the handler's deadline is %s after the asker's", late)
	}
	if err := errors.Join(caller.Shutdown(soon(t)), host.Shutdown(soon(t))); err != nil {
		t.Error(err)
	}
}
