package main

import (
	"context"
	"fmt"

	"github.com/parley-rpc/parley"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// openClient makes the member a client, with a session with each server.
func (m *member) openClient(ctx context.Context) error {
	env, err := parley.New(m.options()...)
	if err != nil {
		return err
	}
	self, err := m.host(ctx, env)
	if err != nil {
		return err
	}
	join := &parleytestv1.JoinRequest{Client: m.Name, Callback: self.Proto()}
	for _, address := range m.Servers {
		server, err := parleytestv1parley.LookupRendezvous(ctx, env, uri(rendezvousName, address))
		if err != nil {
			return err
		}
		to, err := parleytestv1parley.LookupNumbered(ctx, env, uri(numberedName, address))
		if err != nil {
			return err
		}
		joined, err := server.Join.AskSync(ctx, join)
		if err != nil {
			return err
		}
		m.pump(joined.GetServer(), to)
	}
	m.tell(event{Ready: true})
	return nil
}

// uri returns that of an endpoint at an address.
func uri(name, address string) string { return fmt.Sprintf("parley://%s@%s", name, address) }
