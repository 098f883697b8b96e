package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// told is what a stats.Handler was told of one call.
type told struct {
	headed chan struct{} // closed when it was told of the headers that came

	mu     sync.Mutex
	events []string
}

// recorder is a stats.Handler that keeps what it is told, by call.
type recorder struct {
	tag   string     // that it adds to the outgoing metadata
	begun chan *told // every call, when it begins
	ended chan *told // every call, when it has ended
}

func newRecorder(tag string) *recorder {
	return &recorder{tag: tag, begun: make(chan *told, 1000), ended: make(chan *told, 1000)}
}

// toldKey is the key of what a recorder was told, in the context of a call.
type toldKey struct{ r *recorder }

// TagRPC implements stats.Handler.
func (r *recorder) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	c := &told{headed: make(chan struct{}), events: []string{fmt.Sprintf("tag %s %t", info.FullMethodName, info.FailFast)}}
	r.begun <- c
	return metadata.AppendToOutgoingContext(context.WithValue(context.WithValue(ctx, toldKey{r}, c), toldKey{}, c), "tagged", r.tag)
}

// own returns those of the entries that the tests make.
func own(md metadata.MD) string {
	kept := metadata.MD{}
	for _, key := range []string{"k", "k-bin", "h", "h-bin", "t", "t-bin", "tagged"} {
		if len(md[key]) > 0 {
			kept[key] = slices.DeleteFunc(slices.Clone(md[key]), func(tag string) bool { return tag == "too" })
		}
	}
	return pairs(kept)
}

// HandleRPC implements stats.Handler.
func (r *recorder) HandleRPC(ctx context.Context, s stats.RPCStats) {
	c, ok := ctx.Value(toldKey{r}).(*told)
	if !ok {
		panic("an event with a context that TagRPC did not return")
	}
	line := fmt.Sprintf("%s client=%t ", strings.TrimPrefix(fmt.Sprintf("%T", s), "*stats."), s.IsClient())
	switch s := s.(type) {
	case *stats.Begin:
		line += fmt.Sprint(s.FailFast, s.IsClientStream, s.IsServerStream, s.IsTransparentRetryAttempt, !s.BeginTime.IsZero())
	case *stats.DelayedPickComplete: // of connections
		return
	case *stats.InHeader:
		line += fmt.Sprint(s.FullMethod, s.Compression, own(s.Header), s.RemoteAddr != nil)
	case *stats.OutHeader:
		line += fmt.Sprint(s.FullMethod, s.Compression, own(s.Header), s.RemoteAddr != nil)
	case *stats.InPayload:
		line += fmt.Sprintf("%T %d %d %t", s.Payload, s.Length, s.CompressedLength, !s.RecvTime.IsZero())
	case *stats.OutPayload:
		line += fmt.Sprintf("%T %d %d %t", s.Payload, s.Length, s.CompressedLength, !s.SentTime.IsZero())
	case *stats.InTrailer:
		line += own(s.Trailer)
	case *stats.OutTrailer:
		line += own(s.Trailer)
	case *stats.End:
		line += fmt.Sprintf("%s %t %v", own(s.Trailer), !s.BeginTime.IsZero() && !s.EndTime.Before(s.BeginTime), status.Code(s.Error))
		var e *endpoint.Error
		if errors.As(s.Error, &e) {
			line += " not a mere status"
		}
	}
	c.mu.Lock()
	c.events = append(c.events, line)
	c.mu.Unlock()
	switch s.(type) {
	case *stats.InHeader:
		close(c.headed)
	case *stats.End:
		r.ended <- c
	}
}

// TagConn implements stats.Handler.
func (r *recorder) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (r *recorder) HandleConn(context.Context, stats.ConnStats) {}

// next returns the events of the next call to end. A client is told of what it sends, of the answer, and of its end, in no order among these, by gRPC.
func (r *recorder) next(t *testing.T) transcript {
	t.Helper()
	select {
	case c := <-r.ended:
		c.mu.Lock()
		defer c.mu.Unlock()
		if !strings.Contains(c.events[1], "client=true") {
			return slices.Clone(c.events)
		}
		var out, in, trailer, rest transcript
		for _, e := range c.events {
			switch {
			case strings.HasPrefix(e, "Out"):
				out = append(out, e)
			case strings.HasPrefix(e, "InTrailer"):
				trailer = append(trailer, e)
			case strings.HasPrefix(e, "In"):
				in = append(in, e)
			default:
				rest = append(rest, e)
			}
		}
		return slices.Concat(rest, out, in, trailer)
	case <-soon(t).Done():
		t.Fatal("no call has ended")
		return nil
	}
}

// none fails the test if a call has begun that is not accounted for by n.
func (r *recorder) none(t *testing.T, n int) {
	t.Helper()
	if got := len(r.begun); got != n {
		t.Errorf("%d calls have begun, want %d", got, n)
	}
}

// allKinds is a streamer with unary methods.
type allKinds struct{ streamer }

func (a *allKinds) UnaryCall(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if _, ok := ctx.Value(toldKey{}).(*told); !ok {
		return nil, status.Error(codes.Internal, "the context is not the one that TagRPC returned")
	}
	switch text := string(r.GetPayload().GetBody()); text {
	case "fail":
		return nil, errors.Join(grpc.SetTrailer(ctx, metadata.Pairs("t", "of an error")), status.Error(codes.FailedPrecondition, "not now"))
	case "fail with a header":
		return nil, errors.Join(grpc.SetHeader(ctx, metadata.Pairs("h", "1")), status.Error(codes.Aborted, "not now"))
	case "plain":
		return nil, errors.New("an error without a code")
	case "wait":
		a.ended <- nil // not yet: it has begun
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case "headers":
		if err := errors.Join(grpc.SetHeader(ctx, metadata.Pairs("h", "1", "h-bin", "\x00")), grpc.SetTrailer(ctx, metadata.Pairs("t", "2"))); err != nil {
			return nil, err
		}
	}
	return &grpc_testing.SimpleResponse{Payload: r.GetPayload()}, nil
}

// tellAll makes calls of all kinds by a stub, and returns what both sides' recorders were told of each. A side without a recorder is left out.
func tellAll(t *testing.T, stub grpc_testing.TestServiceClient, impl *allKinds, client, server *recorder) (atClient, atServer map[string]transcript) {
	t.Helper()
	atClient, atServer = map[string]transcript{}, map[string]transcript{}
	call := func(name string, f func(ctx context.Context, cancel func())) {
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(soon(t), "k", "1", "k-bin", "\x00\xfe"))
		defer cancel()
		f(ctx, cancel)
		if client != nil {
			atClient[name] = client.next(t)
		}
		atServer[name] = server.next(t)
	}
	for _, text := range []string{"hi", "", "fail", "fail with a header", "plain", "headers"} {
		call("unary: "+text, func(ctx context.Context, _ func()) {
			_, err := stub.UnaryCall(ctx, &grpc_testing.SimpleRequest{Payload: body(text)})
			if status.Code(err) == codes.Internal {
				t.Error(err)
			}
		})
	}
	call("unary: a cancel", func(ctx context.Context, cancel func()) {
		done := make(chan error, 1)
		go func() {
			_, err := stub.UnaryCall(ctx, &grpc_testing.SimpleRequest{Payload: body("wait")})
			done <- err
		}()
		<-impl.ended
		cancel()
		if err := <-done; status.Code(err) != codes.Canceled {
			t.Errorf("a cancelled call: %v", err)
		}
	})
	for _, text := range []string{"", "fail", "plain", "headers", "set"} {
		for _, n := range []int{0, 3} {
			if n > 0 && (text == "headers" || text == "set") {
				continue // too late
			}
			call(fmt.Sprintf("output: %d %s", n, text), func(ctx context.Context, _ func()) {
				stream, err := stub.StreamingOutputCall(ctx, &outRequest{Payload: body(text), ResponseParameters: slices.Repeat([]*grpc_testing.ResponseParameters{{Size: 7}}, n)})
				if err != nil {
					t.Fatal(err)
				}
				var tr transcript
				tr.rest(stream)
			})
		}
	}
	for _, texts := range [][]string{{}, {"1", "22"}, {"fail"}, {"headers"}} {
		call(fmt.Sprint("input: ", texts), func(ctx context.Context, _ func()) {
			stream, err := stub.StreamingInputCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range texts {
				if err := stream.Send(&inRequest{Payload: body(text)}); err != nil {
					t.Error(err)
				}
			}
			if _, err := stream.CloseAndRecv(); err != nil && texts[0] != "fail" {
				t.Error(err)
			}
		})
	}
	call("duplex", func(ctx context.Context, _ func()) {
		stream, err := stub.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"set", "1", "333"} {
			if err := stream.Send(&outRequest{Payload: body(text)}); err != nil {
				t.Error(err)
			}
			if m, err := stream.Recv(); err != nil || string(m.GetPayload().GetBody()) != text {
				t.Errorf("%v, %v", m, err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	call("duplex: a cancel, and nobody receives", func(ctx context.Context, cancel func()) {
		stream, err := stub.FullDuplexCall(ctx)
		if err == nil {
			err = stream.Send(&outRequest{Payload: body("wait")})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Header(); err != nil {
			t.Error(err)
		}
		if c, ok := stream.Context().Value(toldKey{client}).(*told); ok { // gRPC gives the headers out first, and may tell of them after the end
			select {
			case <-c.headed:
			case <-soon(t).Done():
				t.Error("the client is not told of headers that have come")
			}
		}
		cancel()
		if err := <-impl.ended; err != context.Canceled {
			t.Error(err)
		}
	})
	return atClient, atServer
}

// tellAllOverGRPC is tellAll over stock gRPC.
func tellAllOverGRPC(t *testing.T, impl *allKinds, client, server *recorder) (atClient, atServer map[string]transcript) {
	t.Helper()
	listener := listening(t)
	stock := grpc.NewServer(grpc.StatsHandler(server))
	grpc_testing.RegisterTestServiceServer(stock, impl)
	serving(t, stock, listener)
	cc := dialing(t, listener.Addr().String(), grpc.WithStatsHandler(client))
	return tellAll(t, grpc_testing.NewTestServiceClient(cc), impl, client, server)
}

// TestStatsHandlers: what stats.Handlers are told of calls of all kinds by a stock stub to a stock server is the same over gRPC and over an endpoint, whichever way it
// is reached, and the context that TagRPC returns is the handler's. Who relays is told nothing.
func TestStatsHandlers(t *testing.T) {
	leaktest.Check(t)
	impl := &allKinds{streamer{ended: make(chan error, 1)}}
	stockClient, stockServer := newRecorder("yes"), newRecorder("")
	wantClient, wantServer := tellAllOverGRPC(t, impl, stockClient, stockServer)

	client, server, behindServer, second := newRecorder("yes"), newRecorder(""), newRecorder(""), newRecorder("too")
	host, err := parley.Listen("127.0.0.1:0", parley.WithStatsHandlers(server), parley.WithClientStatsHandlers(client))
	if err != nil {
		t.Fatal(err)
	}
	behind, err := parley.New(parley.WithStatsHandlers(behindServer))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(parley.WithClientStatsHandlers(second, client))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("kinds"), impl)
	grpc_testing.RegisterTestServiceServer(behind.Endpoint("kinds"), impl)
	if _, err := behind.Lookup(soon(t), "parley://kinds@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted, _ := endpoint.NewRef("kinds", host.Address())
	clientHosted, _ := endpoint.NewClientRef("kinds", behind.ID())
	relayed, _ := clientHosted.WithVia(host.Address())
	calls := len(wantServer)
	for _, way := range []struct {
		name   string
		env    *parley.Env
		ref    endpoint.Ref
		server *recorder
	}{{"by an address", caller, hosted, server}, {"in client mode", host, clientHosted, behindServer}, {"relayed", caller, relayed, behindServer}, {"local", host, hosted, server}} {
		t.Run(way.name, func(t *testing.T) {
			conn, err := way.env.Conn(way.ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []*recorder{client, server, behindServer} {
				for len(r.begun) > 0 {
					<-r.begun
				}
			}
			atClient, atServer := tellAll(t, grpc_testing.NewTestServiceClient(conn), impl, client, way.server)
			compare(t, atClient, wantClient)
			compare(t, atServer, wantServer)
			client.none(t, calls)
			way.server.none(t, calls)
			for _, other := range []*recorder{server, behindServer} {
				if other != way.server {
					other.none(t, 0)
				}
			}
		})
	}
	if len(second.begun) != 2*calls || len(second.ended) != 2*calls {
		t.Errorf("the second handler was told of %d and %d calls, want %d", len(second.begun), len(second.ended), 2*calls)
	}
	t.Run("as an ordinary call", func(t *testing.T) {
		for len(server.begun) > 0 {
			<-server.begun
		}
		cc, err := grpc.NewClient(host.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(stockClient))
		if err != nil {
			t.Fatal(err)
		}
		_, atServer := tellAll(t, grpc_testing.NewTestServiceClient(cc), impl, nil, server)
		compare(t, atServer, wantServer)
		server.none(t, calls)
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
	})
	end(t, caller, behind, host)
}
