// Client greets the endpoint say-hi-service in all three ways: Send, Ask and AskSync.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

func main() {
	addr := flag.String("addr", "localhost:5678", "`HOST:PORT` to listen at; if the port is taken, the next ones are tried")
	target := flag.String("target", "parley://say-hi-service@localhost:5678", "`URI` of the endpoint")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, *addr, *target); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, target string) error {
	// A client that hosts nothing would use parley.New, which needs no port.
	env, err := parley.Listen(addr, parley.WithName("say-hi-service"))
	if err != nil {
		return err
	}
	return errors.Join(visit(ctx, env, target), env.Shutdown(context.Background()))
}

func visit(ctx context.Context, env *parley.Env, target string) error {
	ref, err := sayhiv1parley.LookupSayHi(ctx, env, target)
	if err != nil {
		return err
	}
	if err := ref.Hi.Send(ctx, &sayhiv1.HiRequest{Msg: "hi , i am client allen."}); err != nil {
		return err
	}
	future := ref.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: "ask: hi , i am client allen."})
	hi, err := future.Wait(ctx)
	if err != nil {
		return err
	}
	fmt.Println("get msg form server :", hi.GetMsg())
	bye, err := ref.Bye.AskSync(ctx, &sayhiv1.ByeRequest{Msg: "i am allen ,and bye!"})
	if err != nil {
		return err
	}
	fmt.Println(bye.GetMsg())
	return nil
}
