package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parley-rpc/parley"
	clusterv1 "github.com/parley-rpc/parley/gen/cluster/v1"
	"github.com/parley-rpc/parley/gen/cluster/v1/clusterv1parley"
)

const (
	checkPeriod = 5 * time.Second
	timeout     = 15 * time.Second
)

// fakeWorker passes on what the master tells it.
type fakeWorker struct {
	clusterv1parley.UnimplementedWorker
	registered chan string
}

func (f *fakeWorker) Registered(_ context.Context, req *clusterv1.RegisteredRequest) (*emptypb.Empty, error) {
	f.registered <- req.GetMasterUrl()
	return &emptypb.Empty{}, nil
}

// record keeps what is written to it. Its lock is for the race detector: passing time orders nothing.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// take returns what was written since the last call.
func (r *record) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.text.Reset()
	return r.text.String()
}

// clusterTest is a master and two fake workers in one Env, without a network.
type clusterTest struct {
	t       *testing.T
	out     *record // of the master
	master  clusterv1parley.MasterRef
	workers map[string]clusterv1parley.WorkerRef
	fakes   map[string]*fakeWorker
}

// inFakeTime runs test in a bubble of fake time, after the first check of the master. The next ones are at 5 s, 10 s …
func inFakeTime(t *testing.T, test func(c *clusterTest)) {
	synctest.Test(t, func(t *testing.T) {
		env, err := parley.New(parley.WithAdvertise("master.test:5678"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := env.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		c := &clusterTest{t: t, out: &record{}, workers: map[string]clusterv1parley.WorkerRef{}, fakes: map[string]*fakeWorker{}}
		c.master, err = clusterv1parley.RegisterMaster(t.Context(), env, "master", NewMaster(MasterConfig{CheckPeriod: checkPeriod, Timeout: timeout, Out: c.out}))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"worker1", "worker2"} {
			c.fakes[id] = &fakeWorker{registered: make(chan string, 1)}
			if c.workers[id], err = clusterv1parley.RegisterWorker(t.Context(), env, id, c.fakes[id]); err != nil {
				t.Fatal(err)
			}
		}
		c.printed(noNodes)
		test(c)
	})
}

// What CheckTimeOut prints last.
const (
	noNodes   = "Current registered node count : 0 node info :\n"
	onlyFirst = "Current registered node count : 1 node info : worker1,512,32\n"
	bothNodes = "Current registered node count : 2 node info : worker1,512,32 worker2,512,32\n"
)

func (c *clusterTest) register(id string) {
	c.t.Helper()
	_, err := c.master.Register.AskSync(c.t.Context(), &clusterv1.RegisterRequest{Id: id, Memory: 512, Cpu: 32, Worker: c.workers[id].Ref().Proto()})
	if err != nil {
		c.t.Fatal(err)
	}
	if got, want := <-c.fakes[id].registered, "master.test:5678"; got != want {
		c.t.Errorf("Registered of %s came from %q, want %q", id, got, want)
	}
}

func (c *clusterTest) heartBeat(id string, registerAgain bool) {
	c.t.Helper()
	reply, err := c.master.HeartBeat.AskSync(c.t.Context(), &clusterv1.HeartBeatRequest{Id: id})
	if err != nil {
		c.t.Fatal(err)
	}
	if reply.GetRegisterAgain() != registerAgain {
		c.t.Errorf("the heartbeat of %s got register_again %t, want %t", id, reply.GetRegisterAgain(), registerAgain)
	}
}

// printed compares what the master has printed since the last call.
func (c *clusterTest) printed(want string) {
	c.t.Helper()
	synctest.Wait()
	if got := c.out.take(); got != want {
		c.t.Errorf("the master printed\n%swant\n%s", got, want)
	}
}

// W1: heartbeats of registered workers are answered without register_again, and both stay.
func TestW1HeartBeat(t *testing.T) {
	inFakeTime(t, func(c *clusterTest) {
		c.register("worker1")
		c.register("worker2")
		c.printed("node worker1 online!\nnode worker2 online!\n")
		for range 4 {
			time.Sleep(checkPeriod - time.Second)
			c.heartBeat("worker1", false)
			c.heartBeat("worker2", false)
			time.Sleep(time.Second)
			c.printed(bothNodes)
		}
	})
}

// W2: the heartbeat of a worker that is not known, or not any more, is answered with register_again, and does not add it.
func TestW2HeartBeatOfUnknown(t *testing.T) {
	inFakeTime(t, func(c *clusterTest) {
		c.heartBeat("worker1", true)
		time.Sleep(checkPeriod)
		c.printed(noNodes)
		c.register("worker1")
		c.printed("node worker1 online!\n")
		time.Sleep(timeout)
		c.printed(strings.Repeat(onlyFirst, 3)) // silent for exactly the timeout
		time.Sleep(checkPeriod)
		c.printed("worker1 offline\n" + noNodes)
		c.heartBeat("worker1", true)
		time.Sleep(checkPeriod)
		c.printed(noNodes)
		c.register("worker1")
		c.heartBeat("worker1", false)
		c.printed("node worker1 online!\n")
	})
}

// W3: of two workers, only the silent one is removed; it counts as seen when it registered.
func TestW3ExpireSilent(t *testing.T) {
	inFakeTime(t, func(c *clusterTest) {
		time.Sleep(time.Second)
		c.register("worker1")
		c.register("worker2")
		c.printed("node worker1 online!\nnode worker2 online!\n")
		time.Sleep(timeout / 2)
		c.heartBeat("worker1", false)
		time.Sleep(timeout / 2)
		// It is 16 s, and worker2 has been silent for 15 s.
		c.printed(strings.Repeat(bothNodes, 3))
		c.heartBeat("worker1", false)
		time.Sleep(checkPeriod)
		c.printed("worker2 offline\n" + onlyFirst)
		c.heartBeat("worker2", true)
		c.heartBeat("worker1", false)
	})
}

func TestRegisterRefused(t *testing.T) {
	inFakeTime(t, func(c *clusterTest) {
		_, err := c.master.Register.AskSync(c.t.Context(), &clusterv1.RegisterRequest{Worker: c.workers["worker1"].Ref().Proto()})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("without an id: got %v, want InvalidArgument", err)
		}
		_, err = c.master.Register.AskSync(c.t.Context(), &clusterv1.RegisterRequest{Id: "worker1"})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("without a Ref: got %v, want InvalidArgument", err)
		}
		time.Sleep(checkPeriod)
		c.printed(noNodes)
	})
}
