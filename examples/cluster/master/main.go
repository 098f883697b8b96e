// Master keeps the list of the workers that are alive, until it is interrupted.
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
	addr := flag.String("addr", "localhost:5678", "`HOST:PORT` to listen at")
	check := flag.Duration("check", 5*time.Second, "how often to look for silent workers")
	timeout := flag.Duration("timeout", 15*time.Second, "how long a worker may be silent")
	flag.Parse()
	if *check <= 0 {
		log.Fatalf("-check is %s, and must be more than 0", *check)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, cluster.MasterConfig{CheckPeriod: *check, Timeout: *timeout, Out: os.Stdout}); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, config cluster.MasterConfig) error {
	// At another port its workers would not find it.
	env, err := parley.Listen(addr, parley.WithName("master"), parley.WithPortRetries(0))
	if err != nil {
		return err
	}
	_, err = clusterv1parley.RegisterMaster(ctx, env, "master", cluster.NewMaster(config))
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, env.Shutdown(context.Background()))
}
