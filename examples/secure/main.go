// Secure shows mutual TLS and an authorization policy: a server with two endpoints, and clients whom policy.json allows more or less. Each of them is
// an Env of its own; that they are in one program is only for the sake of the example.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/policy"
)

//go:embed policy.json
var policyJSON []byte

// greeter is both endpoints. It greets its callers by what the authority calls them, and not by what they say.
type greeter struct {
	sayhiv1parley.UnimplementedSayHi
}

func (greeter) Hi(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	who, _ := endpoint.Principal(ctx)
	return &sayhiv1.HiReply{Msg: "hi, " + who}, nil
}

func (greeter) Bye(ctx context.Context, _ *sayhiv1.ByeRequest) (*sayhiv1.ByeReply, error) {
	who, _ := endpoint.Principal(ctx)
	return &sayhiv1.ByeReply{Msg: "bye, " + who}, nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	ours, err := newAuthority()
	if err != nil {
		return err
	}
	theirs, err := newAuthority()
	if err != nil {
		return err
	}
	server, err := serve(ctx, ours)
	if err != nil {
		return err
	}
	for _, v := range []visitor{
		{name: "guest/bob", issuer: ours},
		{name: "staff/alice", issuer: ours},
		{name: "staff/alice", issuer: ours, reason: "stocktaking"},
		{name: "staff/alice", issuer: theirs, reason: "burglary"},
	} {
		if err = v.visit(ctx, out, ours, server.Address()); err != nil {
			break
		}
	}
	return errors.Join(err, server.Shutdown(context.Background()))
}

// serve starts the server: who may open a session with it, TLS decides, and who may call what, the policy.
func serve(ctx context.Context, a *authority) (*parley.Env, error) {
	p, err := policy.Parse(policyJSON) // policy.Load reads a file
	if err != nil {
		return nil, err
	}
	creds, err := a.listening("server")
	if err != nil {
		return nil, err
	}
	env, err := parley.Listen("localhost:0",
		parley.WithServerOptions(grpc.Creds(creds)),
		parley.WithPolicy(p),
		parley.WithPeerSessions(16),
	)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"greeter", "vault"} {
		if _, err := sayhiv1parley.RegisterSayHi(ctx, env, name, greeter{}); err != nil {
			return nil, errors.Join(err, env.Shutdown(context.Background()))
		}
	}
	return env, nil
}

// visitor is a client that tries everything.
type visitor struct {
	name   string
	issuer *authority // of its certificate
	reason string     // that it gives, as metadata
}

// visit prints what the visitor is allowed and denied by the server at address, which has a certificate of trusted.
func (v visitor) visit(ctx context.Context, out io.Writer, trusted *authority, address string) error {
	creds, err := v.issuer.dialling(v.name, trusted)
	if err != nil {
		return err
	}
	env, err := parley.New(parley.WithDialOptions(grpc.WithTransportCredentials(creds)))
	if err != nil {
		return err
	}
	if v.reason != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "reason", v.reason)
		fmt.Fprintf(out, "%s, for %s:\n", v.name, v.reason)
	} else {
		fmt.Fprintf(out, "%s:\n", v.name)
	}
	for _, name := range []string{"greeter", "vault"} {
		if err = v.try(ctx, out, env, name, address); err != nil {
			break
		}
	}
	return errors.Join(err, env.Shutdown(context.Background()))
}

func (v visitor) try(ctx context.Context, out io.Writer, env *parley.Env, name, address string) error {
	uri, err := endpoint.NewRef(name, address)
	if err != nil {
		return err
	}
	bound, err := env.Bind(uri)
	if err != nil {
		return err
	}
	ref := sayhiv1parley.NewSayHi(bound)
	hi, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{})
	tell(out, name, "Hi", hi.GetMsg(), err)
	bye, err := ref.Bye.AskSync(ctx, &sayhiv1.ByeRequest{})
	tell(out, name, "Bye", bye.GetMsg(), err)
	return nil
}

func tell(out io.Writer, name, method, reply string, err error) {
	outcome := "allowed: " + reply
	switch {
	case errors.Is(err, endpoint.ErrUnreachable):
		outcome = "no session"
	case err != nil:
		outcome = "denied: " + status.Code(err).String()
	}
	fmt.Fprintf(out, "  %-7s %-3s %s\n", name, method, outcome)
}
