package parley_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// holdingConn is a connection whose Close takes its time.
type holdingConn struct {
	net.Conn
	closing func()
}

func (c holdingConn) Close() error {
	c.closing()
	return c.Conn.Close()
}

// TestShutdownWaitsForConnections: also those that the Env has dialled are closed when Shutdown returns.
func TestShutdownWaitsForConnections(t *testing.T) {
	leaktest.Check(t)
	host, ref := hosting(t)
	closing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	caller := newEnv(t, parley.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return holdingConn{conn, func() {
			once.Do(func() { close(closing) })
			<-release
		}}, err
	})))
	if _, err := caller.LookupRef(soon(t), ref.Ref(), ""); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- caller.Shutdown(soon(t)) }()
	<-closing
	otherHost, otherRef := hosting(t) // which takes longer than what is left of the shutdown, if that does not wait
	other := newEnv(t)
	if _, err := other.LookupRef(soon(t), otherRef.Ref(), ""); err != nil {
		t.Fatal(err)
	}
	end(t, other, otherHost)
	if len(ended) > 0 {
		t.Error("Shutdown has returned while a connection is being closed")
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	end(t, host)
}

// TestAnAddressIsForgotten when its session is over, so that a program may reach it by a connection of its own.
func TestAnAddressIsForgotten(t *testing.T) {
	leaktest.Check(t)
	host, ref := hosting(t)
	caller := newEnv(t)
	if _, err := caller.LookupRef(soon(t), ref.Ref(), ""); err != nil {
		t.Fatal(err)
	}
	address := host.Address()
	conn := dialing(t, address)
	if err := caller.UseConn(address, conn); err == nil {
		t.Error("an address with a session was given another connection")
	}
	end(t, host)
	for ctx := soon(t); ; runtime.Gosched() {
		err := caller.UseConn(address, conn)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the address of a session that is over: %v", err)
		}
	}
	end(t, caller)
}
