package main

import (
	"context"
	"strconv"
	"strings"
)

// sayHi starts a server, and a client that wants to listen at the same port.
func sayHi(ctx context.Context, s *stage) error {
	server, err := s.start("server", "server", "-addr", "localhost:"+strconv.Itoa(s.port))
	if err != nil {
		return err
	}
	// The server, too, takes the next port if the one that it wants is taken, and its log says so before this line.
	address, err := server.find(ctx, "localhost:")
	if err != nil {
		return err
	}
	port := strings.TrimPrefix(address, "localhost:")
	if err := server.expect(ctx, "start SayHiEndpoint"); err != nil {
		return err
	}
	client, err := s.start("client", "client", "-addr", address, "-target", "parley://say-hi-service@"+address)
	if err != nil {
		return err
	}
	if _, err := client.find(ctx, "Service 'say-hi-service' could not bind on port "+port+". Attempting port "); err != nil {
		return err
	}
	if err := client.expect(ctx,
		"get msg form server : i am SayHi Server,ask: hi , i am client allen.",
		"i am SayHi Server,i am allen ,and bye!",
	); err != nil {
		return err
	}
	if err := client.wait(ctx); err != nil {
		return err
	}
	if err := server.expect(ctx,
		"Receive msg : hi , i am client allen.",
		"Receive msg : ask: hi , i am client allen.",
		"Receive msg : i am allen ,and bye!",
	); err != nil {
		return err
	}
	if err := server.interrupt(); err != nil {
		return err
	}
	if err := server.expect(ctx, "Stop SayHiEndpoint"); err != nil {
		return err
	}
	return server.wait(ctx)
}
