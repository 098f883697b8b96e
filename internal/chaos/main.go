// Chaos proves Parley's promise 2 over real sockets: nothing lost, nothing twice, nothing out of order, while connections break all the
// time. It runs clients and servers as processes of their own, with proxies between that break connections, numbers everything that is
// sent and asked in both directions, and checks the numbers at both ends. Its last line has the counts, and its exit status is 0
// only if everything held.
//
//	go run ./internal/chaos
//
// The environment says what to run: CHAOS_S is for how many seconds (60), CHAOS_SEED the seed of all randomness (a random one, which is
// printed), CHAOS_FAULTS which faults there are: "all" (the default), "none", or some of cut, reset, half-open, close-after, stall-cut,
// stall, slow and age, with commas between. With "none" the harness shows that it finds nothing where nothing is wrong: only too few breaks, and status 1 for that.
//
// Topology. Of four servers, server-1 is behind a proxy; server-2 and server-3 are behind one proxy that takes them in turn,
// so that a session has to find its way back to the one that has it; and server-4, without a proxy, ends every connection after a second
// (keepalive.ServerParameters.MaxConnectionAge). Three clients have a session with each address, and a server calls back the endpoint
// that a client without a listener has sent it the Ref of. So there are nine pairs, and as many sessions: a tenth session means that something was begun afresh.
//
// Messages. Each end of a pair sends the other one way and asks it, a flow of 150 messages a second; now and then one is large enough to travel in chunks.
// A message has a number for its flow and method, and a position in its flow, because sends and asks to one endpoint keep their order among
// each other, too. What was refused is sent again under the same number, so that a refusal of something that ran shows as a duplicate.
//
// Breaks strike traffic. A message carries a marker, and a fault waits for a chunk of bytes that has it. Of that chunk the proxy passes on a random
// part, which may be nothing or everything, and from then on not one byte in either direction, so that the frame in it cannot have been
// acknowledged. The proxy counts the breaks of which that is true, and at least half of them must be. A replay is thus needed where the frame was
// lost, and must not be taken twice where it was not.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		if err := runMember(ctx, os.Args[1], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			os.Exit(1)
		}
		return
	}
	if err := drive(ctx, os.Getenv, os.Stdout); err != nil {
		if !errors.Is(err, errFailed) { // whose reasons have been printed, and whose last line must stay the last
			fmt.Fprintln(os.Stderr, "chaos:", err)
		}
		os.Exit(1)
	}
}
