// Command bench measures Parley beside stock gRPC and others: on the same work, over loopback TCP, with the defaults of each. It prints
// a line of standard benchmark output for each measurement, and at the end a line for each ratio of throughput, and for what an operation
// allocates, in times beyond the user's own and in bytes, with the goal if there is one:
//
//	ratio ask64/grpc-unary 5.66 10
//	allocs send 0.98 1
//	bytes send 231
//
// Single measurements swing by a quarter on a busy machine. Therefore they are interleaved, round by round, and a ratio is the median of
// those of the rounds. The benchmarks also run as usual, by "go test -bench .".
//
// With -guard it measures shortly and fails if a ratio or an allocation is across its bound. With -report it writes a page with figures of
// throughput, latency and cost. With -flame it also draws where the processor time goes, and with -floor it measures what bare TCP would take.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/parley-rpc/parley/bench/internal/peer"
)

func main() {
	err := start(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start does what the command line says.
func start(ctx context.Context, args []string, out, progress io.Writer) error {
	if name, ok := peer.ChildName(args); ok {
		return peer.Child(ctx, name, systems(), os.Stdin, out)
	}
	s, err := parse(args)
	if err != nil {
		return err
	}
	switch {
	case s.floor:
		return runFloor(ctx, s, out)
	case s.guard != "":
		return runGuard(ctx, s.guard, out)
	case s.report != "":
		return writeReport(ctx, s, progress)
	}
	return compare(ctx, s, out)
}
