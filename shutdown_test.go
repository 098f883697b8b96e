package parley_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestShutdownNamesWhoMissesSomething: a Shutdown that could not hand over what was accepted for a peer that stays away says so, also where
// the session has ended by itself.
func TestShutdownNamesWhoMissesSomething(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	env, err := parley.New(parley.WithSessionTTL(300 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	between := newHalves(t, host.Address())
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for host.Sessions()[0].UnacknowledgedFrames > 0 { // or the listener misses an acknowledgement, too
		runtime.Gosched()
	}
	between.end(t)
	awaitDetached(t, env)
	if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{Msg: "lost"}); err != nil {
		t.Fatal(err)
	}
	if err := env.Shutdown(soon(t)); err == nil || !strings.Contains(err.Error(), host.Address()) {
		t.Errorf("Shutdown = %v, want an error that names %s", err, host.Address())
	}
	if err := host.Shutdown(soon(t)); err != nil { // has nothing for the dialler
		t.Error(err)
	}
}

// TestShutdownOfBoth: two Envs that end at the same moment miss nothing of each other.
func TestShutdownOfBoth(t *testing.T) {
	leaktest.Check(t)
	for range 20 {
		host, _ := hosting(t)
		env := newEnv(t)
		ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+host.Address())
		if err != nil {
			t.Fatal(err)
		}
		if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{Msg: "there"}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- host.Shutdown(soon(t)) }()
		if err := env.Shutdown(soon(t)); err != nil {
			t.Errorf("the dialler: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the listener: %v", err)
		}
	}
}

// TestShutdownWhileConnecting: whoever waits for a session is told at once, however long an attempt to connect may take.
func TestShutdownWhileConnecting(t *testing.T) {
	leaktest.Check(t)
	silent := listening(t) // accepts, and says nothing
	env := newEnv(t, parley.WithConnectTimeout(time.Hour), parley.WithAskTimeout(time.Hour))
	method := boundAt(t, env, refAt(t, "hi", silent.Addr().String())).Hi
	asked := make(chan error, 1)
	go func() {
		_, err := method.AskSync(context.Background(), &sayhiv1.HiRequest{})
		asked <- err
	}()
	conn, err := silent.Accept() // the attempt is under way
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	if err := env.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	select {
	case err := <-asked:
		if !errors.Is(err, endpoint.ErrEnvStopped) {
			t.Errorf("the ask: %v, want ErrEnvStopped", err)
		}
	case <-ctx.Done():
		t.Error("the ask was not told")
	}
	if err := errors.Join(conn.Close(), silent.Close()); err != nil {
		t.Error(err)
	}
}

// TestConnectTimeout: an attempt to connect ends in time, and its error says what has ended it.
func TestConnectTimeout(t *testing.T) {
	leaktest.Check(t)
	silent := listening(t) // accepts, and says nothing
	env := newEnv(t, parley.WithConnectTimeout(50*time.Millisecond))
	err := boundAt(t, env, refAt(t, "hi", silent.Addr().String())).Hi.Send(soon(t), &sayhiv1.HiRequest{})
	var e *endpoint.Error
	if !errors.Is(err, endpoint.ErrUnreachable) || !errors.As(err, &e) || e.Setting != "parley.WithConnectTimeout" || e.Execution != endpoint.NotExecuted {
		t.Errorf("%v, want ErrUnreachable by parley.WithConnectTimeout, not executed", err)
	}
	if err := errors.Join(env.Shutdown(soon(t)), silent.Close()); err != nil {
		t.Error(err)
	}
}
