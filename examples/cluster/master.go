package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parley-rpc/parley/endpoint"
	clusterv1 "github.com/parley-rpc/parley/gen/cluster/v1"
	"github.com/parley-rpc/parley/gen/cluster/v1/clusterv1parley"
)

// MasterConfig is what a Master is made of.
type MasterConfig struct {
	// CheckPeriod is how often silent workers are looked for.
	CheckPeriod time.Duration
	// Timeout is how long a worker may be silent.
	Timeout time.Duration
	// Out is where the Master tells what happens.
	Out io.Writer
}

// Master is the endpoint of the master. Make one with NewMaster.
type Master struct {
	clusterv1parley.UnimplementedMaster
	config  MasterConfig
	address string
	workers map[string]*node // by id

	stopTimer context.CancelFunc
	timerDone chan struct{}
}

// node is what the master knows of a worker.
type node struct {
	id          string
	memory, cpu int32
	lastSeen    time.Time
}

// NewMaster returns a Master that knows no workers.
func NewMaster(c MasterConfig) *Master {
	return &Master{config: c, workers: make(map[string]*node), timerDone: make(chan struct{})}
}

// OnStart starts the timer that sends CheckTimeOut.
func (m *Master) OnStart(ctx context.Context) error {
	self, _ := endpoint.Self(ctx)
	bound, err := endpoint.Bind(ctx, self.Proto())
	if err != nil {
		return err
	}
	m.address = self.Address()
	timer, stop := context.WithCancel(context.Background())
	m.stopTimer = stop
	go func() { // OnStop waits for it
		defer close(m.timerDone)
		m.runTimer(timer, clusterv1parley.NewMaster(bound))
	}()
	return nil
}

// runTimer sends CheckTimeOut to the master itself, at once and then once a period, until ctx ends.
func (m *Master) runTimer(ctx context.Context, self clusterv1parley.MasterRef) {
	ticker := time.NewTicker(m.config.CheckPeriod)
	defer ticker.Stop()
	for {
		if err := self.CheckTimeOut.Send(ctx, &emptypb.Empty{}); err != nil && !stopping(err) {
			slog.Warn("no check for silent workers", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// OnStop stops the timer.
func (m *Master) OnStop(context.Context) error {
	m.stopTimer()
	<-m.timerDone
	return nil
}

// Register makes a worker known, or known again, and tells it so by its own Ref.
func (m *Master) Register(ctx context.Context, req *clusterv1.RegisterRequest) (*emptypb.Empty, error) {
	if req.GetId() == "" {
		return nil, status.Error(codes.InvalidArgument, "the worker has no id")
	}
	bound, err := endpoint.Bind(ctx, req.GetWorker())
	if err != nil {
		return nil, err
	}
	// Registered goes first, so that a worker that cannot be told is not listed; and it does not wait, because a worker with a
	// full mailbox must not hold up the others.
	worker := clusterv1parley.NewWorker(bound)
	if err := worker.Registered.TrySend(ctx, &clusterv1.RegisteredRequest{MasterUrl: m.address}); err != nil {
		return nil, err
	}
	// A worker that dies before its first heartbeat is expired as well, because it counts as seen now.
	m.workers[req.GetId()] = &node{id: req.GetId(), memory: req.GetMemory(), cpu: req.GetCpu(), lastSeen: time.Now()}
	fmt.Fprintf(m.config.Out, "node %s online!\n", req.GetId())
	return &emptypb.Empty{}, nil
}

// HeartBeat notes that a worker is alive. One that is not known is told to register again, and not added.
func (m *Master) HeartBeat(_ context.Context, req *clusterv1.HeartBeatRequest) (*clusterv1.HeartBeatReply, error) {
	n, known := m.workers[req.GetId()]
	if known {
		n.lastSeen = time.Now()
	}
	return &clusterv1.HeartBeatReply{RegisterAgain: !known}, nil
}

// CheckTimeOut removes the workers that have been silent for too long, and prints those that are left.
func (m *Master) CheckTimeOut(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	now := time.Now()
	var infos []string
	for _, id := range slices.Sorted(maps.Keys(m.workers)) {
		n := m.workers[id]
		if now.Sub(n.lastSeen) > m.config.Timeout {
			delete(m.workers, id)
			fmt.Fprintf(m.config.Out, "%s offline\n", id)
			continue
		}
		infos = append(infos, fmt.Sprintf("%s,%d,%d", n.id, n.memory, n.cpu))
	}
	line := fmt.Sprintf("Current registered node count : %d node info : %s", len(infos), strings.Join(infos, " "))
	fmt.Fprintln(m.config.Out, strings.TrimSpace(line))
	return &emptypb.Empty{}, nil
}

// stopping reports whether a message to oneself failed because the endpoint or its Env is being stopped, which is no
// news: OnStop follows.
func stopping(err error) bool {
	return errors.Is(err, endpoint.ErrEndpointStopped) || errors.Is(err, endpoint.ErrEnvStopped) || errors.Is(err, endpoint.ErrCancelled)
}
