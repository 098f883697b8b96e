// Worker registers with a master and sends it heartbeats, until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/examples/cluster"
	"github.com/parley-rpc/parley/gen/cluster/v1/clusterv1parley"
)

func main() {
	id := flag.String("id", "worker1", "name in the cluster")
	memory := flag.Int("memory", 512, "memory that the worker offers, in megabytes")
	cpu := flag.Int("cpu", 32, "cores that the worker offers")
	master := flag.String("master", "parley://master@localhost:5678", "`URI` of the master")
	period := flag.Duration("period", 5*time.Second, "time between heartbeats")
	retry := flag.Duration("retry", 5*time.Second, "pause after an attempt to register that failed")
	flag.Parse()
	if *period <= 0 || *retry <= 0 {
		log.Fatalf("-period is %s and -retry %s, and both must be more than 0", *period, *retry)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, cluster.WorkerConfig{
		ID: *id, Memory: int32(*memory), CPU: int32(*cpu), Master: *master, Period: *period, Retry: *retry, Out: os.Stdout,
	})
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, config cluster.WorkerConfig) error {
	env, err := parley.New(parley.WithName(config.ID))
	if err != nil {
		return err
	}
	worker, err := cluster.NewWorker(env, config)
	if err == nil {
		_, err = clusterv1parley.RegisterWorker(ctx, env, "worker", worker)
	}
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, env.Shutdown(context.Background()))
}
