package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

type (
	duplexServer = grpc.BidiStreamingServer[outRequest, outReply]
	duplexClient = grpc.BidiStreamingClient[outRequest, outReply]
)

// duplex is a server whose duplex calls do what the test says. Its unary calls return at once.
type duplex struct {
	grpc_testing.UnimplementedTestServiceServer
	full func(duplexServer) error
}

func (d *duplex) FullDuplexCall(stream duplexServer) error { return d.full(stream) }

func (d *duplex) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	return &grpc_testing.Empty{}, nil
}

// echoDuplex answers each message by itself.
func echoDuplex(stream duplexServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = stream.Send(&outReply{Payload: r.GetPayload()})
		}
		if err != nil {
			return err
		}
	}
}

// streamWorld is an Env that listens, one in client mode behind it, and a caller; both host the endpoint "streams".
type streamWorld struct {
	host, behind, caller *parley.Env
	stubs                map[string]grpc_testing.TestServiceClient // by the way to an endpoint
	direct               *grpc.ClientConn
}

func newStreamWorld(t *testing.T, impl grpc_testing.TestServiceServer, opts ...parley.Option) *streamWorld {
	t.Helper()
	return newStreamWorldOf(t, impl, opts, opts)
}

// newStreamWorldOf is newStreamWorld with options for the Env that listens and others for that behind it.
func newStreamWorldOf(t *testing.T, impl grpc_testing.TestServiceServer, ofHost, ofBehind []parley.Option) *streamWorld {
	t.Helper()
	host, err := parley.Listen("127.0.0.1:0", ofHost...)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := parley.New(ofBehind...)
	if err != nil {
		t.Fatal(err)
	}
	w := &streamWorld{host: host, behind: behind, caller: newEnv(t), stubs: map[string]grpc_testing.TestServiceClient{}}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), impl)
	grpc_testing.RegisterTestServiceServer(behind.Endpoint("streams"), impl)
	if _, err := behind.Lookup(soon(t), "parley://streams@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted, _ := endpoint.NewRef("streams", host.Address())
	clientHosted, _ := endpoint.NewClientRef("streams", behind.ID())
	relayed, _ := clientHosted.WithVia(host.Address())
	for name, way := range map[string]struct {
		env *parley.Env
		ref endpoint.Ref
	}{"by an address": {w.caller, hosted}, "in client mode": {host, clientHosted}, "relayed": {w.caller, relayed}, "local": {host, hosted}} {
		conn, err := way.env.Conn(way.ref)
		if err != nil {
			t.Fatal(err)
		}
		w.stubs[name] = grpc_testing.NewTestServiceClient(conn)
	}
	if w.direct, err = grpc.NewClient(host.Address(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	w.stubs["as an ordinary call"] = grpc_testing.NewTestServiceClient(w.direct)
	return w
}

// idle waits until nothing is pending or open anywhere.
func (w *streamWorld) idle(t *testing.T) {
	t.Helper()
	for _, env := range []*parley.Env{w.host, w.behind, w.caller} {
		for ctx := soon(t); ; runtime.Gosched() {
			c := env.Counters()
			if c.PendingAsks == 0 && c.OpenAsks == 0 {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("left is %+v", c)
			}
		}
	}
}

func (w *streamWorld) end(t *testing.T) {
	t.Helper()
	if err := w.direct.Close(); err != nil {
		t.Error(err)
	}
	end(t, w.caller, w.behind, w.host)
}

// flood is somebody who sends until that fails.
type flood struct {
	sent  atomic.Int64
	ended chan error
}

const floodBytes = 10_000

func startFlood(send func(*grpc_testing.Payload) error) *flood {
	f := &flood{ended: make(chan error, 1)}
	go f.run(send)
	return f
}

func (f *flood) run(send func(*grpc_testing.Payload) error) {
	p := body(strings.Repeat("x", floodBytes))
	for {
		if err := send(p); err != nil {
			f.ended <- err
			return
		}
		f.sent.Add(1)
	}
}

// reached waits until so many messages were sent.
func (f *flood) reached(t *testing.T, n int64) {
	t.Helper()
	for ctx := soon(t); f.sent.Load() < n; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("%d messages were sent, want %d", f.sent.Load(), n)
		}
	}
}

// besides checks that asks, and other streaming calls, are not held up.
func besides(t *testing.T, stub grpc_testing.TestServiceClient) {
	t.Helper()
	stream, err := stub.FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		text := fmt.Sprint("echo ", i)
		if err := stream.Send(&outRequest{Payload: body(text)}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || string(m.GetPayload().GetBody()) != text {
			t.Fatalf("%q, %v, want %q", m.GetPayload().GetBody(), err, text)
		}
		if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestStuckStreams: who does not read holds up nobody but who sends to it, and that one after a window. It goes on when the call ends, in
// whichever way.
func TestStuckStreams(t *testing.T) {
	leaktest.Check(t)
	handlers := make(chan *flood, 1) // those that send
	returned := make(chan error, 1)  // how the context of a handler ended that waits
	letGo := make(chan struct{})     // lets one return
	impl := &duplex{full: func(stream duplexServer) error {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		switch text := string(r.GetPayload().GetBody()); text {
		case "read nothing":
			select {
			case <-stream.Context().Done():
			case <-letGo:
			}
			err := stream.Context().Err()
			returned <- err
			return status.FromContextError(err).Err()
		case "send":
			f := startFlood(func(p *grpc_testing.Payload) error { return stream.Send(&outReply{Payload: p}) })
			handlers <- f
			err := <-f.ended
			f.ended <- err
			return err
		default:
			if err := stream.Send(&outReply{Payload: r.GetPayload()}); err != nil {
				return err
			}
			return echoDuplex(stream)
		}
	}}
	const window = 100_000
	w := newStreamWorld(t, impl, parley.WithStreamWindow(window))
	// The window of the receiver; through a relay, that of the relay and of the host; and a call by gRPC has windows of its own.
	most := func(way string) int64 {
		switch way {
		case "as an ordinary call":
			return 1 << 40
		case "relayed":
			return 2*window/floodBytes + 5
		default:
			return window/floodBytes + 2
		}
	}
	for way, stub := range w.stubs {
		t.Run(way, func(t *testing.T) {
			for name, release := range map[string]func(ctx context.Context, cancel context.CancelFunc){
				"cancel":   func(_ context.Context, cancel context.CancelFunc) { cancel() },
				"deadline": func(ctx context.Context, _ context.CancelFunc) { <-ctx.Done() },
				"return":   func(context.Context, context.CancelFunc) { letGo <- struct{}{} },
			} {
				ctx, cancel := context.WithCancel(soon(t))
				if name == "deadline" {
					ctx, cancel = context.WithTimeout(context.Background(), time.Second)
				}
				stream, err := stub.FullDuplexCall(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Send(&outRequest{Payload: body("read nothing")}); err != nil {
					t.Fatal(err)
				}
				f := startFlood(func(p *grpc_testing.Payload) error { return stream.Send(&outRequest{Payload: p}) })
				if name != "deadline" {
					f.reached(t, window/floodBytes-1)
					besides(t, stub)
				}
				release(ctx, cancel)
				if err := <-f.ended; !errors.Is(err, io.EOF) {
					t.Errorf("%s: Send = %v, want EOF", name, err)
				}
				if n := f.sent.Load(); n > most(way) {
					t.Errorf("%s: %d messages were sent to who reads none, want %d at most", name, n, most(way))
				}
				if err := <-returned; (err == nil) != (name == "return") {
					t.Errorf("%s: the handler's context has ended with %v", name, err)
				}
				want := map[string]codes.Code{"cancel": codes.Canceled, "deadline": codes.DeadlineExceeded, "return": codes.OK}[name]
				if _, err := stream.Recv(); status.Code(err) != want && (want != codes.OK || !errors.Is(err, io.EOF)) {
					t.Errorf("%s: Recv = %v, want %v", name, err, want)
				}
				cancel()
			}
			// The other direction: the handler sends, and the caller reads nothing.
			ctx, cancel := context.WithCancel(soon(t))
			stream, err := stub.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&outRequest{Payload: body("send")}); err != nil {
				t.Fatal(err)
			}
			f := <-handlers
			f.reached(t, window/floodBytes-1)
			besides(t, stub)
			cancel()
			if err := <-f.ended; status.Code(err) != codes.Canceled {
				t.Errorf("Send of the handler = %v, want Canceled", err)
			}
			w.idle(t)
		})
	}
	w.end(t)
}

// TestStuckStreamsAtShutdown: a shutdown waits for calls as long as it may, and then ends them at both sides.
func TestStuckStreamsAtShutdown(t *testing.T) {
	for _, who := range []string{"caller", "host", "behind"} {
		t.Run(who, func(t *testing.T) {
			leaktest.Check(t)
			entered, returned := make(chan struct{}, 10), make(chan error, 10)
			impl := &duplex{full: func(stream duplexServer) error {
				entered <- struct{}{}
				<-stream.Context().Done()
				returned <- stream.Context().Err()
				return stream.Context().Err()
			}}
			w := newStreamWorld(t, impl)
			calls := map[string]duplexClient{}
			floods := map[string]*flood{}
			calling, giveUp := context.WithCancel(soon(t))
			defer giveUp()
			for _, way := range []string{"by an address", "in client mode", "relayed", "local", "as an ordinary call"} {
				stream, err := w.stubs[way].FullDuplexCall(calling)
				if err != nil {
					t.Fatal(err)
				}
				calls[way] = stream
				floods[way] = startFlood(func(p *grpc_testing.Payload) error { return stream.Send(&outRequest{Payload: p}) })
				<-entered
			}
			env := map[string]*parley.Env{"caller": w.caller, "host": w.host, "behind": w.behind}[who]
			touched := map[string][]string{"caller": {"by an address", "relayed"}, "host": {"by an address", "relayed", "local", "in client mode", "as an ordinary call"}, "behind": {"in client mode", "relayed"}}[who]
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			if err := env.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Logf("Shutdown: %v", err) // it was cut short
			}
			for _, way := range touched {
				if err := <-floods[way].ended; err == nil {
					t.Errorf("%s: Send goes on", way)
				}
				_, err := calls[way].Recv()
				var e *endpoint.Error
				switch {
				case way == "as an ordinary call": // which gets gRPC's errors
					if err == nil || errors.Is(err, io.EOF) {
						t.Errorf("%s: Recv = %v, want an error", way, err)
					}
				case !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted:
					t.Errorf("%s: Recv = %v, want a typed error, may have executed", way, err)
				}
				if err := <-returned; err == nil {
					t.Errorf("%s: the handler's context lives", way)
				}
			}
			giveUp() // what is left
			if err := w.direct.Close(); err != nil {
				t.Error(err)
			}
			for _, other := range []*parley.Env{w.caller, w.behind, w.host} {
				if other != env {
					end(t, other)
				}
			}
		})
	}
}

// TestMessageTooLargeForHost: where somebody behind the first hop takes no message as large as that, the call ends.
func TestMessageTooLargeForHost(t *testing.T) {
	leaktest.Check(t)
	small := []parley.Option{parley.WithMaxMessageSize(1000)}
	for _, ofHost := range [][]parley.Option{small, nil} {
		w := newStreamWorldOf(t, &duplex{full: echoDuplex}, ofHost, small)
		sendTooLarge(t, w, ofHost == nil)
		w.idle(t)
		w.end(t)
	}
}

// sendTooLarge sends what the Env behind does not take, and the other one neither, unless hostTakes.
func sendTooLarge(t *testing.T, w *streamWorld, hostTakes bool) {
	t.Helper()
	for way, stub := range w.stubs {
		if hostTakes && way != "in client mode" && way != "relayed" {
			continue
		}
		stream, err := stub.FullDuplexCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&outRequest{Payload: body(strings.Repeat("x", 5000))}); err != nil && status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: Send = %v", way, err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: Recv = %v, want ResourceExhausted", way, err)
		}
	}
}
