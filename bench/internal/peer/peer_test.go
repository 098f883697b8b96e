package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/drpcpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/grpcpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/hollywoodpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/natspeer"
	"github.com/parley-rpc/parley/bench/internal/peer/parleypeer"
	"github.com/parley-rpc/parley/bench/internal/peer/protoactorpeer"
	"github.com/parley-rpc/parley/bench/internal/workload"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// systems are all that there are.
var systems = []peer.System{
	parleypeer.System{}, parleypeer.Stub, parleypeer.Conc,
	grpcpeer.Unary{}, grpcpeer.Stream{},
	drpcpeer.System{}, hollywoodpeer.System{}, protoactorpeer.System{}, natspeer.System{},
}

// skipRaces skips a test of a system that has data races of its own, where the race detector would find them.
func skipRaces(t *testing.T, s peer.System) {
	t.Helper()
	if _, is := s.(protoactorpeer.System); is && (protoactorpeer.Races || testing.Short()) {
		t.Skip("see protoactorpeer.Races; it may also panic on a goroutine of its own")
	}
}

// TestMain is also the child of peer.Start.
func TestMain(m *testing.M) {
	name, ok := peer.ChildName(os.Args[1:])
	if !ok {
		// A child with the race detector would sleep for a second at its end.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	if err := peer.Child(context.Background(), name, append(systems, broken{}), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// broken is a system whose server does not start.
type broken struct{ parleypeer.System }

func (broken) Name() string { return "broken" }

func (broken) Serve(context.Context, peer.Options, *workload.Sink) (peer.Server, error) {
	return nil, errors.New("it does not start")
}

func options(t *testing.T, tls bool) peer.Options {
	t.Helper()
	if !tls {
		return peer.Options{}
	}
	c, err := peer.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return peer.Options{TLS: true, Certificate: c}
}

// opener is peer.Open or peer.OpenRemote.
type opener func(context.Context, peer.System, peer.Options) (*peer.Pair, error)

func open(t *testing.T, o opener, s peer.System, tls bool) *peer.Pair {
	t.Helper()
	p, err := o(t.Context(), s, options(t, tls))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The context of the test has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Every system loses nothing: of any size, with and without TLS, in one process and in two.
func TestSystems(t *testing.T) {
	var messages []*workload.Messages
	for _, size := range []int{0, 1, 64, 1 << 10, 64 << 10, 1 << 20} {
		messages = append(messages, workload.NewMessages(size))
	}
	processes := []struct {
		name string
		open opener
	}{{"one process", peer.Open}, {"two processes", peer.OpenRemote}}
	for _, s := range systems {
		for _, in := range processes {
			for _, tls := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/tls=%v", s.Name(), in.name, tls), func(t *testing.T) {
					skipRaces(t, s)
					p := open(t, in.open, s, tls)
					for _, m := range messages {
						testMessages(t, p, m)
					}
				})
			}
		}
	}
}

// testMessages does some of everything, more than once, as each is run again and again.
func testMessages(t *testing.T, p *peer.Pair, messages *workload.Messages) {
	t.Helper()
	n := min(101, max(2, (1<<19)/max(1, messages.Bytes())))
	for range 2 {
		if err := p.Ask(t.Context(), 3, n, messages); err != nil {
			t.Fatalf("%d bytes, asks: %v", messages.Bytes(), err)
		}
		if err := p.Send(t.Context(), n, messages); err != nil {
			t.Fatalf("%d bytes, sends: %v", messages.Bytes(), err)
		}
	}
}

func TestOnlyParleyPipelines(t *testing.T) {
	m := workload.NewMessages(64)
	if err := open(t, peer.Open, parleypeer.System{}, false).Pipeline(t.Context(), workload.Outstanding+3, m); err != nil {
		t.Error(err)
	}
	if err := open(t, peer.Open, grpcpeer.Unary{}, false).Pipeline(t.Context(), 1, m); err == nil {
		t.Error("gRPC pipelines")
	}
}

// A context that ends during a call of a stream ends the call; one that ends between calls harms nobody.
func TestStreamOutlivesTheContextsOfItsCalls(t *testing.T) {
	p := open(t, peer.Open, grpcpeer.Stream{}, false)
	call, err := p.Client().Caller(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := call(ctx, &sayhiv1.HiRequest{}); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := call(ctx, &sayhiv1.HiRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that the context has ended", err)
		}
	}
}

func TestClientsTrustOnlyTheirCertificate(t *testing.T) {
	for _, s := range []peer.System{parleypeer.System{}, grpcpeer.Unary{}} {
		server, err := s.Serve(t.Context(), options(t, true), &workload.Sink{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		client, err := s.Dial(ctx, server.Address(), options(t, true))
		if err == nil {
			var call workload.Call
			if call, err = client.Caller(ctx, 0); err == nil {
				_, err = call(ctx, &sayhiv1.HiRequest{})
			}
			if err := client.Close(ctx); err != nil {
				t.Error(err)
			}
		}
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: got %v, want a refusal", s.Name(), err)
		}
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestRemoteReportsWhatItsServerSays(t *testing.T) {
	_, err := peer.Start(t.Context(), "broken", peer.Options{})
	if err == nil || !strings.Contains(err.Error(), "it does not start") {
		t.Errorf("got %v", err)
	}
	if _, err := peer.Start(t.Context(), "unheard of", peer.Options{}); err == nil {
		t.Error("a system that there is not is served")
	}
}

func TestRemoteReportsWhatIsMissing(t *testing.T) {
	r, err := peer.Start(t.Context(), "grpc-stream", peer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Expect(t.Context(), 2, workload.NewMessages(64)); err != nil {
		t.Error(err)
	}
	if err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "0 messages of 2") {
		t.Errorf("got %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a server in another process does is counted.
func TestProcessorTimeIsThatOfBothProcesses(t *testing.T) {
	p := open(t, peer.OpenRemote, grpcpeer.Stream{}, false)
	before, err := p.ProcessorTime(t.Context())
	if err != nil || before == 0 {
		t.Fatalf("got %v, %v", before, err)
	}
	if err := p.Send(t.Context(), 1_000, workload.NewMessages(64)); err != nil {
		t.Error(err)
	}
	if after, err := p.ProcessorTime(t.Context()); err != nil || after <= before {
		t.Errorf("got %v after %v, %v", after, before, err)
	}
}

// A child that waits for ever is killed with the context of whoever waits for it.
func TestRemoteEndsWithTheContext(t *testing.T) {
	r, err := peer.Start(t.Context(), "grpc-stream", peer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Expect(t.Context(), 1, workload.NewMessages(64)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.Close(t.Context()); err == nil {
		t.Error("no error of a process that was killed")
	}
}

// A server may be closed before it has begun to accept.
func TestServersCloseAtOnce(t *testing.T) {
	for _, s := range []peer.System{parleypeer.System{}, grpcpeer.Unary{}} {
		for range 100 {
			server, err := s.Serve(t.Context(), options(t, false), &workload.Sink{})
			if err != nil {
				t.Fatal(err)
			}
			if err := server.Close(t.Context()); err != nil {
				t.Fatalf("%s: %v", s.Name(), err)
			}
		}
	}
}

// A child ends with its input, also in the midst of a wait.
func TestChildEndsWithItsInput(t *testing.T) {
	in := strings.NewReader(`{"Op":"wait"}{"Op":"usage"}{"Op":"open"}{"Op":"open"}{"Op":"expect","N":1,"Bytes":64}{"Op":"what"}{"Op":"wait"}`)
	var out bytes.Buffer
	if err := peer.Child(t.Context(), "grpc-stream", systems, in, &out); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"nothing is served", `"Used":`, "127.0.0.1:", "already serving", "{", "unknown order", "context canceled"} {
		line, err := out.ReadString('\n')
		if err != nil || !strings.Contains(line, want) {
			t.Errorf("answer %d: got %q, %v, want %q", i, line, err, want)
		}
	}
	if err := peer.Child(t.Context(), "grpc-stream", systems, strings.NewReader("nonsense"), &out); err == nil {
		t.Error("no error of an order that is none")
	}
}
