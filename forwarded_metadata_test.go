package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/internal/leaktest"
)

// metadataServer keeps the metadata of its calls, and answers them with that of the test.
type metadataServer struct {
	grpc_testing.UnimplementedTestServiceServer
	answer metadata.MD
	came   chan metadata.MD
}

func (s *metadataServer) EmptyCall(ctx context.Context, _ *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.came <- md
	return &grpc_testing.Empty{}, errors.Join(grpc.SetHeader(ctx, s.answer), grpc.SetTrailer(ctx, s.answer))
}

func (s *metadataServer) FullDuplexCall(stream duplexServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.came <- md
	stream.SetTrailer(s.answer)
	return stream.SetHeader(s.answer)
}

// metadataCalls are a unary and a streaming call, with the metadata of their answers.
var metadataCalls = map[string]func(context.Context, grpc_testing.TestServiceClient) (header, trailer metadata.MD, err error){
	"unary": func(ctx context.Context, stub grpc_testing.TestServiceClient) (header, trailer metadata.MD, err error) {
		_, err = stub.EmptyCall(ctx, &grpc_testing.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer))
		return header, trailer, err
	},
	"streaming": func(ctx context.Context, stub grpc_testing.TestServiceClient) (header, trailer metadata.MD, err error) {
		stream, err := stub.FullDuplexCall(ctx)
		if err != nil {
			return nil, nil, err
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("received: %w", err)
		}
		header, err = stream.Header()
		return header, stream.Trailer(), err
	},
}

// newMetadataWorld returns stubs of impl by each way to an endpoint, and one over gRPC.
func newMetadataWorld(t *testing.T, impl *metadataServer) (w *streamWorld, stock grpc_testing.TestServiceClient) {
	t.Helper()
	leaktest.Check(t)
	listener, server := listening(t), grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, impl)
	serving(t, server, listener)
	return newStreamWorld(t, impl), grpc_testing.NewTestServiceClient(dialing(t, listener.Addr().String()))
}

// reservedPairs are metadata that gRPC leaves out, beside some that it does not.
func reservedPairs() metadata.MD {
	return metadata.MD{
		":authority": {"elsewhere"}, ":other key!": {"v"}, "content-type": {"text/html"}, "user-agent": {"somebody"}, "te": {"gzip"},
		"grpc-message-type": {"m"}, "grpc-encoding": {"none"}, "grpc-message": {"failed"}, "grpc-status": {"13"}, "grpc-timeout": {"1n"},
		"grpc-trace-bin": {"\x00\x01"}, "grpc-tags-bin": {"\xff", "\xfe"}, "grpc-previous-rpc-attempts": {"1"}, "grpc-retry-pushback-ms": {"10"}, "k": {"v", "w"},
	}
}

// TestForwardedMetadata: of metadata that is forwarded whole, handlers get the same over an endpoint as over gRPC, and callers of the answer's; what only
// the transport may say is left out, and what begins with "grpc-" beside that is not.
func TestForwardedMetadata(t *testing.T) {
	impl := &metadataServer{answer: reservedPairs(), came: make(chan metadata.MD, 1)}
	w, stock := newMetadataWorld(t, impl)
	// What a transport says of its own differs.
	seen := func(stub grpc_testing.TestServiceClient, call string) string {
		t.Helper()
		header, trailer, err := metadataCalls[call](metadata.NewOutgoingContext(soon(t), reservedPairs()), stub)
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		came := <-impl.came
		maps.DeleteFunc(came, func(key string, _ []string) bool {
			return key == ":authority" || key == "user-agent" || key == "grpc-accept-encoding"
		})
		return fmt.Sprintf("the handler %s\nheader %s\ntrailer %s", pairs(came), pairs(header), pairs(trailer))
	}
	for call := range metadataCalls {
		want := seen(stock, call)
		if strings.Count(want, "grpc-trace-bin") != 3 {
			t.Fatalf("over gRPC: %s", want)
		}
		for way, stub := range w.stubs {
			if got := seen(stub, call); got != want {
				t.Errorf("%s, %s: %s\nwant, as over gRPC: %s", call, way, got, want)
			}
		}
	}
	w.end(t)
}

// TestForgedTransportMetadata: the keys that only the transport may say reach a handler from the transport alone: over an endpoint nobody says them, and for
// an ordinary call gRPC does.
func TestForgedTransportMetadata(t *testing.T) {
	impl := &metadataServer{came: make(chan metadata.MD, 1)}
	w, _ := newMetadataWorld(t, impl)
	for call, run := range metadataCalls {
		for way, stub := range w.stubs {
			if _, _, err := run(metadata.NewOutgoingContext(soon(t), reservedPairs()), stub); err != nil {
				t.Errorf("%s, %s: %v", call, way, err)
			}
			md := <-impl.came
			authority, agent := strings.Join(md.Get(":authority"), " "), strings.Join(md.Get("user-agent"), " ")
			if way != "as an ordinary call" {
				if authority+agent != "" {
					t.Errorf("%s, %s: the handler gets %q and %q", call, way, authority, agent)
				}
			} else if authority != w.host.Address() || !strings.HasPrefix(agent, "grpc-go/") {
				t.Errorf("%s, %s: the handler gets %q and %q, want those of the call", call, way, authority, agent)
			}
		}
	}
	w.end(t)
}

// TestRefusedMetadata: what gRPC refuses at the caller is refused over an endpoint, too, of keys that are left out as well.
func TestRefusedMetadata(t *testing.T) {
	impl := &metadataServer{came: make(chan metadata.MD, 1)}
	w, stock := newMetadataWorld(t, impl)
	for _, md := range []metadata.MD{{"": {"v"}}, {"a key": {"v"}}, {"k\u00e4": {"v"}}, {"k": {"a\nb"}}, {"k": {"\u00e4"}}, {":k": {"\n"}}, {"te": {"\n"}}, {"grpc-k": {"\x7f"}}, {"k!": nil}} {
		for call, run := range metadataCalls {
			if _, _, err := run(metadata.NewOutgoingContext(soon(t), md), stock); err == nil {
				t.Fatalf("gRPC takes %q", md)
			}
			for way, stub := range w.stubs {
				if _, _, err := run(metadata.NewOutgoingContext(soon(t), md), stub); err == nil {
					t.Errorf("%s, %s: %q is taken", call, way, md)
				}
			}
		}
	}
	if len(impl.came) != 0 {
		t.Error("a handler has run")
	}
	w.end(t)
}
