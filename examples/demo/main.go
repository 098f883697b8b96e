// Demo runs the example programs together, prints their lines, and checks that the expected ones appear in the right
// order:
//
//	demo -bin DIRECTORY sayhi|cluster|stock|grpcurl
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// scenarios are the demos, by name.
var scenarios = map[string]func(context.Context, *stage) error{"sayhi": sayHi, "cluster": cluster, "stock": stock, "grpcurl": grpcurl}

func main() {
	bin := flag.String("bin", ".", "`DIRECTORY` of the programs")
	port := flag.Int("port", 5678, "first port to try")
	timeout := flag.Duration("timeout", time.Minute, "how long it may take")
	flag.Parse()
	// SIGPIPE is for "demo | head", which must leave no program behind either.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := run(ctx, os.Stdout, *bin, *port, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run runs the named scenario. No program that it starts outlives it.
func run(ctx context.Context, out io.Writer, bin string, port int, name string) error {
	scenario := scenarios[name]
	if scenario == nil {
		return fmt.Errorf("no demo %q: there are sayhi, cluster, stock and grpcurl", name)
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	s := &stage{bin: bin, port: port, out: out}
	defer s.clear()
	if err := scenario(ctx, s); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "demo | %s: every line appeared, in order\n", name)
	return err
}
