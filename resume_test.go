package parley_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// counting is an endpoint that checks that numbers come one after the other, and tells what it has got.
type counting struct {
	hi
	t    *testing.T
	name string

	mu      sync.Mutex
	last    int
	reached chan int // gets every hundredth number
}

func newCounting(t *testing.T, name string) *counting {
	return &counting{t: t, name: name, reached: make(chan int, 1000)}
}

func (c *counting) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	n, err := strconv.Atoi(r.GetMsg())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n != c.last+1 {
		c.t.Errorf("%s: %d came after %d", c.name, n, c.last)
	}
	c.last = n
	if n%100 == 0 {
		c.reached <- n
	}
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// watched counts what an Env tells an endpoint of sessions and streams.
type watched struct {
	hi
	mu                              sync.Mutex
	connected, disconnected, broken int
}

func (w *watched) OnConnected(context.Context, endpoint.Peer) {
	w.mu.Lock()
	w.connected++
	w.mu.Unlock()
}

func (w *watched) OnDisconnected(context.Context, endpoint.Peer) {
	w.mu.Lock()
	w.disconnected++
	w.mu.Unlock()
}

func (w *watched) OnNetworkError(context.Context, endpoint.Peer, error) {
	w.mu.Lock()
	w.broken++
	w.mu.Unlock()
}

// TestCutStreams: connections are cut while sends, asks and callbacks are under way in both directions, and users see nothing
// of it: everything arrives once and in order, and the session stays the same.
func TestCutStreams(t *testing.T) {
	leaktest.Check(t)
	const messages, cuts = 5000, 20
	host, _ := hosting(t)
	between := newHalves(t, host.Address())
	env := newEnv(t)
	events := &watched{}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "events", events); err != nil {
		t.Fatal(err)
	}
	there, back := newCounting(t, "there"), newCounting(t, "back")
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "there", there); err != nil {
		t.Fatal(err)
	}
	backRef, err := sayhiv1parley.RegisterSayHi(soon(t), env, "back", back)
	if err != nil {
		t.Fatal(err)
	}
	thereRef, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://there@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	bound, err := host.Bind(backRef.Ref())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	send := func(name string, ref sayhiv1parley.SayHiRef) {
		for n := 1; n <= messages; n++ {
			req := &sayhiv1.HiRequest{Msg: strconv.Itoa(n)}
			var err error
			if n%10 == 0 {
				_, err = ref.Hi.AskSync(soon(t), req)
			} else {
				err = ref.Hi.Send(soon(t), req)
			}
			if err != nil {
				t.Errorf("%s %d: %v", name, n, err)
				return
			}
		}
	}
	wg.Go(func() { send("there", thereRef) })
	wg.Go(func() { send("back", sayhiv1parley.NewSayHi(bound)) })
	sent := make(chan struct{})
	cutting := make(chan struct{})
	go func() {
		defer close(cutting)
		for n := range cuts {
			select {
			case <-there.reached:
			case <-sent:
				return
			}
			if n%2 == 0 {
				between.cutFar(t) // the dialler hears of it, too: its half is closed next
			}
			between.cutNear(t)
		}
	}()
	wg.Wait()
	close(sent)
	<-cutting
	if t.Failed() {
		t.FailNow()
	}
	if there.last != messages || back.last != messages {
		t.Errorf("%d and %d messages arrived, want %d each", there.last, back.last, messages)
	}
	if n := env.Counters().Sessions; n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	sessions := env.Sessions()
	if len(sessions) != 1 || !sessions[0].Dialled || sessions[0].Attaches == 0 || sessions[0].State != parley.SessionAttached {
		t.Errorf("the sessions are %+v, want one that has been attached", sessions)
	}
	events.mu.Lock()
	if events.connected != 1 || events.disconnected != 0 || events.broken == 0 {
		t.Errorf("the Env told of %d connections, %d disconnections and %d broken streams, want 1, none and some", events.connected, events.disconnected, events.broken)
	}
	events.mu.Unlock()
	end(t, env)
	between.end(t)
	end(t, host)
}

// awaitDetached waits until the only session of env has no stream, which it is about to notice.
func awaitDetached(t *testing.T, env *parley.Env) {
	t.Helper()
	for ctx := soon(t); env.Sessions()[0].State != parley.SessionDetached; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatal("the session has a stream yet")
		}
	}
}

// TestSessionExpires: when the peer stays away, everything that is pending ends within the time-to-live, each with what is known of
// it: an ask that was under way may have executed, and what was sent since has not.
func TestSessionExpires(t *testing.T) {
	leaktest.Check(t)
	entered, goOn := make(chan struct{}), make(chan struct{})
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if r.GetMsg() != "block" {
			t.Errorf("a message that was not written came: %q", r.GetMsg())
			return nil, nil
		}
		close(entered)
		<-goOn
		return &sayhiv1.HiReply{}, nil
	})); err != nil {
		t.Fatal(err)
	}
	lost := make(chan endpoint.Unacknowledged, 10)
	env, err := parley.New(parley.WithSessionTTL(300*time.Millisecond), parley.WithUnacknowledged(func(u endpoint.Unacknowledged) { lost <- u }))
	if err != nil {
		t.Fatal(err)
	}
	between := newHalves(t, host.Address())
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pending := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "block"})
	<-entered
	between.end(t)
	awaitDetached(t, env)
	for _, msg := range []string{"1", "2", "3"} {
		if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{Msg: msg}); err != nil {
			t.Errorf("Send while the session has no stream: %v", err)
		}
	}
	later := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "4"})
	for future, want := range map[*endpoint.Future[sayhiv1.HiReply]]endpoint.Execution{pending: endpoint.MayHaveExecuted, later: endpoint.NotExecuted} {
		_, err := future.Wait(soon(t))
		var e *endpoint.Error
		if !errors.Is(err, endpoint.ErrSessionEnded) || !errors.As(err, &e) || e.Execution != want {
			t.Errorf("an ask ends with %v, want ErrSessionEnded, %v", err, want)
		}
	}
	for _, msg := range []string{"1", "2", "3"} {
		u := <-lost
		req := &sayhiv1.HiRequest{}
		if err := proto.Unmarshal(u.Payload, req); err != nil || req.GetMsg() != msg {
			t.Errorf("reported is %q (%v), want %q", req.GetMsg(), err, msg)
		}
		if u.Execution != endpoint.NotExecuted || u.Endpoint != "hi" || u.Method != "sayhi.v1.SayHi/Hi" || u.Reason == nil {
			t.Errorf("reported is %+v", u)
		}
	}
	for ctx := soon(t); len(host.Sessions()) != 0; runtime.Gosched() { // the listener counts its own time
		if ctx.Err() != nil {
			t.Fatal("the listener's session lives on")
		}
	}
	close(goOn)
	end(t, env, host)
	if n := len(lost); n != 0 {
		t.Errorf("%d further sends are reported", n)
	}
}

// TestAsksOfAnOutage: an ask that is accepted while there is no stream, and ends before there is another, is not run, and says so;
// what still waits then is run.
func TestAsksOfAnOutage(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "hi", hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		if r.GetMsg() == "gone" {
			t.Error("an ask came that had ended before it was written")
		}
		return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
	})); err != nil {
		t.Fatal(err)
	}
	env, err := parley.New(parley.WithAskTimeout(200 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	between := newHalves(t, host.Address())
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	between.setDown(true)
	between.cutNear(t)
	between.cutFar(t)
	awaitDetached(t, env)
	stays := ref.Hi.Ask(soon(t), &sayhiv1.HiRequest{Msg: "stays"})
	byDefault := ref.Hi.Ask(context.Background(), &sayhiv1.HiRequest{Msg: "gone"})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	byContext := ref.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: "gone"})
	cancelled, cancelNow := context.WithCancel(context.Background())
	byCancel := ref.Hi.Ask(cancelled, &sayhiv1.HiRequest{Msg: "gone"})
	cancelNow()
	for future, want := range map[*endpoint.Future[sayhiv1.HiReply]]error{
		byDefault: endpoint.ErrTimeout, byContext: endpoint.ErrTimeout, byCancel: context.Canceled,
	} {
		_, err := future.Wait(soon(t))
		var e *endpoint.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted || e.Phase != endpoint.PhaseQueued {
			t.Errorf("an ask that was not written ends with %v, want %v, queued, not executed", err, want)
		}
	}
	between.setDown(false)
	if reply, err := stays.Wait(soon(t)); err != nil || reply.GetMsg() != "stays" {
		t.Errorf("the ask that waited: %q, %v", reply.GetMsg(), err)
	}
	end(t, env)
	between.end(t)
	end(t, host)
}

// TestStreamAge: sessions move to another stream before theirs is cut, and nobody hears of it.
func TestStreamAge(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0", parley.WithStreamAge(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	there := newCounting(t, "there")
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "there", there); err != nil {
		t.Fatal(err)
	}
	events := &watched{}
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), host, "events", events); err != nil {
		t.Fatal(err)
	}
	env := newEnv(t)
	if _, err := sayhiv1parley.RegisterSayHi(soon(t), env, "events", events); err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.LookupSayHi(soon(t), env, "parley://there@"+host.Address())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for host.Sessions()[0].Rotations < 5 {
		n++
		if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: strconv.Itoa(n)}); err != nil {
			t.Fatalf("ask %d: %v", n, err)
		}
		select {
		case <-there.reached:
		default:
		}
	}
	if got := env.Sessions(); len(got) != 1 || got[0].Rotations == 0 {
		t.Errorf("the dialler's sessions: %+v", got)
	}
	events.mu.Lock()
	if events.connected != 2 || events.disconnected != 0 || events.broken != 0 {
		t.Errorf("the Envs told of %d connections, %d disconnections and %d broken streams, want 1 each, and none", events.connected, events.disconnected, events.broken)
	}
	events.mu.Unlock()
	end(t, env, host)
}
