package semantics

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func TestNetworkEvents(t *testing.T) {
	run(t, "T21 network events in server Env when another Env is in server mode", func(t *testing.T) {
		env1, env2 := listen(t), listen(t)
		p, address := newProbe(t), env2.Address()
		register(t, env1, "network-events", p)
		register(t, env2, "other", newProbe(t))
		ref := lookup(t, env1, "parley://other@"+address)
		send(t, ref, "hello")
		p.journal.await(t, "connected "+address)
		if err := env2.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		p.journal.await(t, "connected "+address, "disconnected "+address)
		p.journal.want(t, "start", "connected "+address, "disconnected "+address)
	})

	run(t, "T22 network events in server Env when another Env is in client mode", func(t *testing.T) {
		server, client := listen(t), newEnv(t)
		p := newProbe(t)
		ref := register(t, server, "network-events", p)
		send(t, bind(t, client, ref.Ref()), "hello")
		p.journal.await(t, "connected ", "hello")
		if err := client.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		p.journal.await(t, "disconnected ")
		p.journal.want(t, "start", "connected ", "hello", "disconnected ")
	})

	run(t, "T23 network events in client Env when another Env is in server mode", func(t *testing.T) {
		server, client := listen(t), newEnv(t)
		p, address := newProbe(t), server.Address()
		register(t, client, "network-events", p)
		ref := register(t, server, "other", newProbe(t))
		send(t, bind(t, client, ref.Ref()), "hello")
		p.journal.await(t, "connected "+address)
		if err := server.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		p.journal.await(t, "disconnected "+address)
		p.journal.want(t, "start", "connected "+address, "disconnected "+address)
	})

	run(t, "T35 Shutdown should not fire onDisconnected events", func(t *testing.T) {
		env, other := listen(t), listen(t)
		ref := register(t, env, "echo", newProbe(t))
		m := newProbe(t)
		register(t, other, "m", m)
		echo(t, bind(t, other, ref.Ref()), "hello")
		if err := other.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := other.Wait(within(t)); err != nil {
			t.Errorf("Wait: %v", err)
		}
		m.journal.want(t, "start", "connected "+env.Address(), "stop")
	})

	run(t, "H1 receive", func(t *testing.T) {
		env := listen(t)
		p := newProbe(t)
		ref := register(t, env, "network-events", p)
		newStranger(t, env, "localhost:40000")
		p.journal.await(t, "connected localhost:40000")
		echo(t, ref, "after everything else")
		p.journal.want(t, "start", "connected localhost:40000", "after everything else")
	})

	run(t, "H1 receive/before the first message", func(t *testing.T) {
		env := listen(t)
		payload, err := proto.Marshal(&parleytestv1.EchoRequest{Text: "first"})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			p := newProbe(t)
			ref := register(t, env, "network-events", p)
			s := newStranger(t, env, "localhost:40000", ask(1, "network-events", "Echo", payload))
			hear(s, 1, (*parleyv1.Envelope).GetReply)
			s.leave()
			p.journal.await(t, "disconnected localhost:40000")
			p.journal.want(t, "start", "connected localhost:40000", "first", "disconnected localhost:40000")
			if err := env.Stop(within(t), ref.Ref()); err != nil {
				t.Fatal(err)
			}
		}
	})

	run(t, "H2 connectionTerminated", func(t *testing.T) {
		env := listen(t)
		p := newProbe(t)
		ref := register(t, env, "network-events", p)
		newStranger(t, env, "localhost:40000").leave()
		p.journal.await(t, "disconnected localhost:40000")
		echo(t, ref, "after everything else")
		p.journal.want(t, "start", "connected localhost:40000", "disconnected localhost:40000", "after everything else")
	})

	run(t, "H2 connectionTerminated/broken", func(t *testing.T) {
		env := listen(t)
		p := newProbe(t)
		ref := register(t, env, "network-events", p)
		s := newStranger(t, env, "localhost:40000")
		s.stream = nil
		s.leave() // the connection goes, and nobody says why
		p.journal.await(t, "disconnected localhost:40000")
		echo(t, ref, "after everything else")
		p.journal.want(t, "start", "connected localhost:40000", "network error localhost:40000", "disconnected localhost:40000", "after everything else")
	})
}

func TestListen(t *testing.T) {
	run(t, "T25 port conflict", func(t *testing.T) {
		env := listen(t)
		var log lockedBuffer
		other := listenAt(t, env.Address(), parley.WithName("say-hi-service"), parley.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		if other.Address() == env.Address() {
			t.Errorf("both listen at %s", env.Address())
		}
		_, port, _ := strings.Cut(env.Address(), ":")
		if want := "Service 'say-hi-service' could not bind on port " + port + ". Attempting port "; !strings.Contains(log.String(), want) {
			t.Errorf("the log is %q, and has not %q", log.String(), want)
		}
		if _, err := parley.Listen(env.Address(), parley.WithPortRetries(0)); err == nil || !strings.Contains(err.Error(), "parley.WithPortRetries") {
			t.Errorf("without retries: %v, want an error that names parley.WithPortRetries", err)
		}
		register(t, other, "echo", newProbe(t))
		echo(t, lookup(t, env, "parley://echo@"+other.Address()), "hello")
	})

	run(t, "U2 advertise address different from bind address", func(t *testing.T) {
		env := listenAt(t, "localhost:0", parley.WithAdvertise("example.com"))
		if !strings.HasPrefix(env.Address(), "example.com:") {
			t.Errorf("the address is %q, want one that starts with example.com:", env.Address())
		}
		ref, err := parleytestv1parley.RegisterProbe(within(t), env, "echo", newProbe(t))
		if err != nil || ref.Ref().Address() != env.Address() {
			t.Errorf("got the Ref %v, %v; want one at %s", ref.Ref(), err, env.Address())
		}
	})
}

// lockedBuffer is a bytes.Buffer that may be used concurrently.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
