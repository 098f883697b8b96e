package cluster

import (
	"bufio"
	"context"
	"io"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/gen/cluster/v1/clusterv1parley"
)

// lines returns a writer and a function that waits for a line of what is written to it.
func lines(t *testing.T, ctx context.Context) (w io.Writer, expect func(want string)) {
	r, pipe := io.Pipe()
	printed := make(chan string, 1024)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			select {
			case printed <- s.Text():
			default: // nobody waits any more
			}
		}
	}()
	t.Cleanup(func() { pipe.Close(); <-read })
	return pipe, func(want string) {
		t.Helper()
		for {
			select {
			case got := <-printed:
				if got == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no line %q: %v", want, ctx.Err())
			}
		}
	}
}

// startMaster listens at address.
func startMaster(t *testing.T, ctx context.Context, address string, out io.Writer) *parley.Env {
	t.Helper()
	env, err := parley.Listen(address, parley.WithPortRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, env) })
	master := NewMaster(MasterConfig{CheckPeriod: 20 * time.Millisecond, Timeout: time.Minute, Out: out})
	if _, err := clusterv1parley.RegisterMaster(ctx, env, "master", master); err != nil {
		t.Fatal(err)
	}
	return env
}

func startWorker(t *testing.T, ctx context.Context, master string, retry time.Duration, out io.Writer) *parley.Env {
	t.Helper()
	env, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, env) })
	worker, err := NewWorker(env, WorkerConfig{
		ID: "worker1", Memory: 512, CPU: 32, Master: master, Period: 20 * time.Millisecond, Retry: retry, Out: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clusterv1parley.RegisterWorker(ctx, env, "worker", worker); err != nil {
		t.Fatal(err)
	}
	return env
}

func shutdown(t *testing.T, env *parley.Env) {
	t.Helper()
	if err := env.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

const oneNode = "Current registered node count : 1 node info : worker1,512,32"

// TestMasterRestart has a worker that starts before its master, and sees its master restarted.
func TestMasterRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	masterOut, masterPrints := lines(t, ctx)
	workerOut, workerPrints := lines(t, ctx)

	// To have an address at which nobody listens yet.
	env := startMaster(t, ctx, "localhost:0", io.Discard)
	address := env.Address()
	shutdown(t, env)

	startWorker(t, ctx, "parley://master@"+address, 10*time.Millisecond, workerOut)
	workerPrints("worker1 start register!")
	for range 2 {
		env := startMaster(t, ctx, address, masterOut)
		masterPrints("node worker1 online!")
		workerPrints("masterUrl : " + address)
		masterPrints(oneNode)
		shutdown(t, env)
		workerPrints("worker1 start register!")
	}
}

// TestMasterForgets stops the master's endpoint but not its Env, so that the session lives on and only the answer to a
// heartbeat tells the worker to register again.
func TestMasterForgets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	masterOut, masterPrints := lines(t, ctx)
	workerOut, workerPrints := lines(t, ctx)

	env := startMaster(t, ctx, "localhost:0", masterOut)
	master, err := endpoint.NewRef("master", env.Address())
	if err != nil {
		t.Fatal(err)
	}
	// A second attempt to register, where the answer to the first one is late, could find the new master before a heartbeat does.
	const never = time.Hour
	startWorker(t, ctx, master.String(), never, workerOut)
	workerPrints("masterUrl : " + env.Address())
	masterPrints(oneNode)

	if err := env.Stop(ctx, master); err != nil {
		t.Fatal(err)
	}
	again := NewMaster(MasterConfig{CheckPeriod: 20 * time.Millisecond, Timeout: time.Minute, Out: masterOut})
	if _, err := clusterv1parley.RegisterMaster(ctx, env, "master", again); err != nil {
		t.Fatal(err)
	}
	workerPrints("worker1 start register!")
	workerPrints("masterUrl : " + env.Address())
	masterPrints(oneNode)
}

func TestNewWorkerRefusesURI(t *testing.T) {
	env, err := parley.New()
	if err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, env)
	if _, err := NewWorker(env, WorkerConfig{Master: "spark://master@localhost:5678"}); err == nil {
		t.Error("a URI with another scheme was taken")
	}
}
