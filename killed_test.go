package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// killedRole is the variable that makes the test binary a program to be killed, and says which; killedPeer is the URI that it talks to.
const (
	killedRole = "PARLEY_TEST_KILLED"
	killedPeer = "PARLEY_TEST_PEER"
)

// playKilled is what such a program does, until it is killed.
func playKilled(role string) error {
	ctx := context.Background()
	switch role {
	case "listener": // hosts an endpoint that never answers
		env, err := parley.Listen("127.0.0.1:0")
		if err != nil {
			return err
		}
		ref, err := sayhiv1parley.RegisterSayHi(ctx, env, "hi", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			fmt.Println("entered")
			select {}
		}))
		if err != nil {
			return err
		}
		fmt.Println(ref.Ref())
		return env.Wait(ctx)
	default: // asks its peer
		env, err := parley.New()
		if err != nil {
			return err
		}
		ref, err := sayhiv1parley.LookupSayHi(ctx, env, os.Getenv(killedPeer))
		if err != nil {
			return err
		}
		_, err = ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: strings.Repeat("x", large)})
		return err
	}
}

// large is the length of messages that are noticed in the heap.
const large = 16 << 20

// startKilled starts a program that the test will kill. It returns its output, by lines, what makes it stand still, and what kills it with
// SIGKILL and waits for it.
func startKilled(t *testing.T, role, peer string) (lines *bufio.Scanner, stop, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedRole+"="+role, killedPeer+"="+peer)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
	}
	return bufio.NewScanner(out), stop, func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the program ended well")
		}
	}
}

// TestListenerKilled: who has dialled a program that is killed has everything ended within the time-to-live, with what is known of it.
func TestListenerKilled(t *testing.T) {
	leaktest.Check(t)
	lines, _, kill := startKilled(t, "listener", "")
	if !lines.Scan() {
		t.Fatal("no URI")
	}
	lost := make(chan endpoint.Unacknowledged, 1)
	env, err := parley.New(parley.WithSessionTTL(300*time.Millisecond), parley.WithUnacknowledged(func(u endpoint.Unacknowledged) { lost <- u }))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, strings.TrimSpace(lines.Text()))
	if err != nil {
		t.Fatal(err)
	}
	running := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{})
	if !lines.Scan() || lines.Text() != "entered" {
		t.Fatalf("the handler says %q", lines.Text())
	}
	kill()
	_, err = running.Wait(soon(t))
	var e *endpoint.Error
	if !errors.Is(err, endpoint.ErrSessionEnded) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted {
		t.Errorf("the ask that ran: %v, want ErrSessionEnded, may have executed", err)
	}
	for ctx := soon(t); len(env.Sessions()) != 0; runtime.Gosched() { // it is about to forget the session
		if ctx.Err() != nil {
			t.Fatalf("%d sessions are left", len(env.Sessions()))
		}
	}
	if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); !errors.Is(err, endpoint.ErrUnreachable) {
		t.Errorf("an ask after the end: %v, want ErrUnreachable", err)
	}
	end(t, env)
	if len(lost) != 0 {
		t.Errorf("a send is reported, and none was made: %+v", <-lost)
	}
}

// TestDiallerKilled: handlers that run for a program that is killed have their contexts cancelled, with the cause, within the time-to-live.
func TestDiallerKilled(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("127.0.0.1:0", parley.WithSessionTTL(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	entered, cause := make(chan struct{}), make(chan error, 1)
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		close(entered)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, ctx.Err()
	}))
	if err != nil {
		t.Fatal(err)
	}
	_, _, kill := startKilled(t, "dialler", ref.Ref().String())
	<-entered
	kill()
	select {
	case err := <-cause:
		if !errors.Is(err, endpoint.ErrSessionEnded) {
			t.Errorf("the cause is %v, want ErrSessionEnded", err)
		}
	case <-soon(t).Done():
		t.Error("the handler's context has not ended")
	}
	end(t, env)
}

// heap returns how much of the heap is in use, and may be for good.
func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // a sync.Pool lets go of what it has after two
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// returned waits until no session is left, and checks that the heap is where it was before, give or take an eighth of one message.
func returned(t *testing.T, env *parley.Env, before uint64) {
	t.Helper()
	ctx := soon(t)
	for len(env.Sessions()) != 0 || heap() > before+large/8 {
		if ctx.Err() != nil {
			t.Fatalf("%d sessions are left, and %d bytes more than before", len(env.Sessions()), heap()-before)
		}
	}
}

// TestKilledListenerLeavesNoMemory: all that was kept for a program that is killed is let go of: what waited for its reply, and what was not written.
func TestKilledListenerLeavesNoMemory(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.New(parley.WithSessionTTL(300 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var ref sayhiv1parley.SayHiRef // the program keeps it, and what has come of its asks
	var futures []*endpoint.Future[sayhiv1.HiReply]
	func() {
		lines, stop, kill := startKilled(t, "listener", "")
		if !lines.Scan() {
			t.Fatal("no URI")
		}
		if ref, err = sayhiv1parley.LookupSayHi(soon(t), env, strings.TrimSpace(lines.Text())); err != nil {
			t.Fatal(err)
		}
		stop()
		for range 50 {
			futures = append(futures, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "small"}))
		}
		futures = append(futures, ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: strings.Repeat("x", large)}))
		if n := heap(); n < before+large {
			t.Errorf("%d bytes more while asks wait: the test does not see them", n-before)
		}
		kill()
		for _, f := range futures {
			if _, err := f.Wait(soon(t)); !errors.Is(err, endpoint.ErrSessionEnded) {
				t.Errorf("%v, want ErrSessionEnded", err)
			}
		}
	}()
	returned(t, env, before)
	runtime.KeepAlive(ref)
	runtime.KeepAlive(futures)
	end(t, env)
}

// TestKilledDiallerLeavesNoMemory: so it is with a program that is killed after it has sent something large, whose handler ends with its context.
func TestKilledDiallerLeavesNoMemory(t *testing.T) {
	leaktest.Check(t)
	env, err := parley.Listen("127.0.0.1:0", parley.WithSessionTTL(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	during := make(chan uint64)
	ref, err := sayhiv1parley.RegisterSayHi(soon(t), env, "hi", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		during <- heap()
		<-ctx.Done()
		if len(r.GetMsg()) != large {
			t.Errorf("a message of %d bytes came", len(r.GetMsg()))
		}
		return nil, ctx.Err()
	}))
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	_, _, kill := startKilled(t, "dialler", ref.Ref().String())
	if n := <-during; n < before+large {
		t.Errorf("%d bytes more while the handler runs: the test does not see the message", n-before)
	}
	kill()
	returned(t, env, before)
	end(t, env)
}
