// Server hosts the endpoint say-hi-service until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// sayHi is the endpoint. It handles one message at a time, so it would need no locks if it had state.
type sayHi struct {
	sayhiv1parley.UnimplementedSayHi
}

func (sayHi) OnStart(ctx context.Context) error {
	self, _ := endpoint.Self(ctx)
	fmt.Println(self.Address())
	fmt.Println("start SayHiEndpoint")
	return nil
}

func (sayHi) OnStop(context.Context) error {
	fmt.Println("Stop SayHiEndpoint")
	return nil
}

// Hi serves Send, Ask and AskSync alike; only the last two get the reply.
func (sayHi) Hi(_ context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	fmt.Println("Receive msg :", req.GetMsg())
	return &sayhiv1.HiReply{Msg: "i am SayHi Server," + req.GetMsg()}, nil
}

func (sayHi) Bye(_ context.Context, req *sayhiv1.ByeRequest) (*sayhiv1.ByeReply, error) {
	fmt.Println("Receive msg :", req.GetMsg())
	return &sayhiv1.ByeReply{Msg: "i am SayHi Server," + req.GetMsg()}, nil
}

func main() {
	addr := flag.String("addr", "localhost:5678", "`HOST:PORT` to listen at; if the port is taken, the next ones are tried")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	// grpcurl on this machine may look at what goes on: docs/operations.md.
	env, err := parley.Listen(addr, parley.WithName("say-hi-service"), parley.WithIntrospection(parley.LocalOnly))
	if err != nil {
		return err
	}
	_, err = sayhiv1parley.RegisterSayHi(ctx, env, "say-hi-service", sayHi{})
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, env.Shutdown(context.Background()))
}
