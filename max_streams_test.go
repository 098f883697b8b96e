package parley_test

import (
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestMaxStreams: a streaming call too many of one peer fails alone; other peers, and calls that end, make room.
func TestMaxStreams(t *testing.T) {
	leaktest.Check(t)
	host, err := parley.Listen("127.0.0.1:0", parley.WithMaxStreams(1))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), &duplex{full: echoDuplex})
	ref, _ := endpoint.NewRef("streams", host.Address())
	one, other := newEnv(t), newEnv(t)
	open := func(env *parley.Env) (duplexClient, error) {
		conn, err := env.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(soon(t))
		if err == nil {
			err = stream.Send(&outRequest{})
		}
		if err == nil || errors.Is(err, io.EOF) { // then what is received says why
			_, err = stream.Recv()
		}
		return stream, err
	}
	closed := func(stream duplexClient) {
		t.Helper()
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	first, err := open(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(one); !errors.Is(err, endpoint.ErrOverloaded) {
		t.Errorf("a second streaming call of one peer: %v, want that it is overloaded", err)
	}
	second, err := open(other)
	if err != nil {
		t.Fatalf("another peer: %v", err)
	}
	closed(first)
	third, err := open(one)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	closed(second)
	closed(third)
	end(t, one, other, host)
}
