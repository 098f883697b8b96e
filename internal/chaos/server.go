package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// rendezvousName is the name of the endpoint that servers have for their clients to join.
const rendezvousName = "rendezvous"

// How a server ends its connections by age.
const (
	connectionAge      = time.Second
	connectionAgeGrace = 100 * time.Millisecond
)

// rendezvous is that endpoint.
type rendezvous struct {
	parleytestv1parley.UnimplementedRendezvous
	member *member
}

// Join begins to call the client back.
func (r *rendezvous) Join(ctx context.Context, req *parleytestv1.JoinRequest) (*parleytestv1.JoinResponse, error) {
	bound, err := endpoint.Bind(ctx, req.GetCallback())
	if err != nil {
		return nil, err
	}
	r.member.pump(req.GetClient(), parleytestv1parley.NewNumbered(bound))
	return &parleytestv1.JoinResponse{Server: r.member.Name}, nil
}

// openServer makes the member a server.
func (m *member) openServer(ctx context.Context) error {
	env, address, err := m.listen()
	if err != nil {
		return err
	}
	if _, err := m.host(ctx, env); err != nil {
		return err
	}
	if _, err := parleytestv1parley.RegisterRendezvous(ctx, env, rendezvousName, &rendezvous{member: m}); err != nil {
		return err
	}
	m.tell(event{Listening: address})
	return nil
}

// listenAttempts is how often listen tries another port.
const listenAttempts = 16

// listen returns an Env, and the address where it listens. An Env that is reached by way of a proxy advertises the address of that, and tells
// nobody its own, so that a free port is looked for here.
func (m *member) listen() (*parley.Env, string, error) {
	opts := append(m.options(), parley.WithPortRetries(0))
	if m.Advertise != "" {
		opts = append(opts, parley.WithAdvertise(m.Advertise))
	}
	if m.Aging {
		opts = append(opts, parley.WithServerOptions(grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionAgeGrace,
		})))
	}
	for attempt := 1; ; attempt++ {
		address, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		env, err := parley.Listen(address, opts...)
		if err == nil || attempt == listenAttempts {
			return env, address, err
		}
	}
}

// freeAddress returns an address where nobody listens at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
