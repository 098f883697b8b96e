package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parley-rpc/parley/endpoint"
	clusterv1 "github.com/parley-rpc/parley/gen/cluster/v1"
	"github.com/parley-rpc/parley/gen/cluster/v1/clusterv1parley"
)

// WorkerConfig is what a Worker is made of.
type WorkerConfig struct {
	// ID is the worker's name in the cluster.
	ID string
	// Memory in megabytes and CPU in cores are what the worker offers.
	Memory, CPU int32
	// Master is the URI of the master.
	Master string
	// Period is the time between heartbeats.
	Period time.Duration
	// Retry is the pause after the first attempt to register that failed, give or take a half. It doubles up to eight times that.
	Retry time.Duration
	// Out is where the Worker tells what happens. It must allow concurrent writes.
	Out io.Writer
}

// Worker is the endpoint of a worker. Make one with NewWorker.
type Worker struct {
	clusterv1parley.UnimplementedWorker
	config WorkerConfig
	env    endpoint.Env
	master clusterv1parley.MasterRef
	self   clusterv1parley.WorkerRef

	// session is the one in which the worker is registered; "" while it is not. Only handlers touch it.
	session string
	// Handlers tell the loop, by these, that the worker has been registered, and that it no longer is. Both have room for one
	// signal, and a second one of the same kind says nothing new.
	registered, lost chan struct{}

	stopLoop context.CancelFunc
	loopDone chan struct{}
}

// NewWorker returns a Worker that is to be registered in env. It fails if the URI of the master is malformed.
func NewWorker(env endpoint.Env, c WorkerConfig) (*Worker, error) {
	ref, err := endpoint.ParseRef(c.Master)
	if err != nil {
		return nil, err
	}
	master, err := env.Bind(ref)
	if err != nil {
		return nil, err
	}
	return &Worker{
		config:     c,
		env:        env,
		master:     clusterv1parley.NewMaster(master),
		registered: make(chan struct{}, 1),
		lost:       make(chan struct{}, 1),
		loopDone:   make(chan struct{}),
	}, nil
}

// OnStart starts the loop that registers the worker and makes its heart beat.
func (w *Worker) OnStart(ctx context.Context) error {
	self, _ := endpoint.Self(ctx)
	bound, err := endpoint.Bind(ctx, self.Proto())
	if err != nil {
		return err
	}
	w.self = clusterv1parley.NewWorker(bound)
	loop, stop := context.WithCancel(context.Background())
	w.stopLoop = stop
	go func() { // OnStop waits for it
		defer close(w.loopDone)
		for loop.Err() == nil {
			w.register(loop)
			w.beat(loop)
		}
	}()
	return nil
}

// OnStop stops the loop.
func (w *Worker) OnStop(context.Context) error {
	w.stopLoop()
	<-w.loopDone
	return nil
}

// OnDisconnected makes the worker register again if it was that session in which it was registered.
func (w *Worker) OnDisconnected(_ context.Context, peer endpoint.Peer) {
	if peer.Session == w.session {
		w.lose()
	}
}

// Registered says that the master knows the worker.
func (w *Worker) Registered(ctx context.Context, req *clusterv1.RegisteredRequest) (*emptypb.Empty, error) {
	fmt.Fprintf(w.config.Out, "masterUrl : %s\n", req.GetMasterUrl())
	master, _ := endpoint.Sender(ctx)
	w.session = master.Session
	signal(w.registered)
	return &emptypb.Empty{}, nil
}

// SendMessage sends a heartbeat.
func (w *Worker) SendMessage(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	if w.session == "" {
		return &emptypb.Empty{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.config.Period)
	defer cancel()
	reply, err := w.master.HeartBeat.AskSync(ctx, &clusterv1.HeartBeatRequest{Id: w.config.ID})
	if err != nil {
		return nil, err // OnDisconnected follows if the session is over
	}
	if reply.GetRegisterAgain() {
		w.lose()
	}
	return &emptypb.Empty{}, nil
}

// lose says that the master does not know the worker any more.
func (w *Worker) lose() {
	w.session = ""
	signal(w.lost)
}

// register tries to register until Registered comes or ctx ends.
func (w *Worker) register(ctx context.Context) {
	fmt.Fprintf(w.config.Out, "%s start register!\n", w.config.ID)
	select {
	case <-w.registered: // a second answer in the round before
	default:
	}
	for pause := w.config.Retry; ; pause = min(2*pause, maxPauses*w.config.Retry) {
		if err := w.tryRegister(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("the worker could not register", "id", w.config.ID, "error", err)
		}
		// The jitter keeps workers that lost their master together from coming back together.
		select {
		case <-w.registered:
			return
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return
		}
	}
}

// maxPauses is how many times Retry a pause may last, and an attempt.
const maxPauses = 8

// tryRegister asks the master once.
func (w *Worker) tryRegister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxPauses*w.config.Retry)
	defer cancel()
	master, err := clusterv1parley.LookupMaster(ctx, w.env, w.config.Master)
	if err != nil {
		return err
	}
	_, err = master.Register.AskSync(ctx, &clusterv1.RegisterRequest{
		Id: w.config.ID, Memory: w.config.Memory, Cpu: w.config.CPU, Worker: w.self.Ref().Proto(),
	})
	return err
}

// beat sends SendMessage to the worker itself, at once and then once a period, until it is lost or ctx ends.
func (w *Worker) beat(ctx context.Context) {
	ticker := time.NewTicker(w.config.Period)
	defer ticker.Stop()
	for {
		if err := w.self.SendMessage.Send(ctx, &emptypb.Empty{}); err != nil && !stopping(err) {
			slog.Warn("no heartbeat", "id", w.config.ID, "error", err)
		}
		select {
		case <-ticker.C:
		case <-w.lost:
			return
		case <-ctx.Done():
			return
		}
	}
}

// signal puts a signal into c, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
