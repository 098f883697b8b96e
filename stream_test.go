package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// streamer is a stock gRPC server of all kinds of method. What it does, the first word of the first request says.
type streamer struct {
	grpc_testing.UnimplementedTestServiceServer
	ended chan error // gets how a call ended that waited for its context
}

type (
	outRequest = grpc_testing.StreamingOutputCallRequest
	outReply   = grpc_testing.StreamingOutputCallResponse
	inRequest  = grpc_testing.StreamingInputCallRequest
	inReply    = grpc_testing.StreamingInputCallResponse
)

func body(s string) *grpc_testing.Payload { return &grpc_testing.Payload{Body: []byte(s)} }

// act does what text says, and reports whether there is nothing more to be done.
func (s *streamer) act(text string, stream grpc.ServerStream) (done bool, err error) {
	ctx := stream.Context()
	switch verb, _, _ := strings.Cut(text, " "); verb {
	case "fail":
		st, err := status.New(codes.FailedPrecondition, "not now, ünicode").WithDetails(&errdetails.RetryInfo{})
		if err != nil {
			return true, err
		}
		stream.SetTrailer(metadata.Pairs("t", "of an error"))
		return true, st.Err()
	case "plain":
		return true, errors.New("an error without a code")
	case "wait":
		if err := stream.SendHeader(metadata.Pairs("h", "waits")); err != nil {
			return true, err
		}
		<-ctx.Done()
		s.ended <- ctx.Err()
		return true, status.FromContextError(ctx.Err()).Err()
	case "return":
		return true, nil
	case "headers":
		if err := errors.Join(
			stream.SetHeader(metadata.Pairs("h", "1")), grpc.SetHeader(ctx, metadata.Pairs("h", "2", "h-bin", "\x00\xff")),
			grpc.SetTrailer(ctx, metadata.Pairs("t", "1")), stream.SendHeader(metadata.Pairs("h", "3")),
		); err != nil {
			return true, err
		}
		stream.SetTrailer(metadata.Pairs("t", "2", "t-bin", "\x01"))
		if stream.SendHeader(nil) == nil || stream.SetHeader(metadata.Pairs("h", "late")) == nil || grpc.SetHeader(ctx, metadata.Pairs("h", "late")) == nil {
			return true, errors.New("headers were taken that come too late")
		}
	case "set":
		return false, stream.SetHeader(metadata.Pairs("h", "set"))
	}
	return false, nil
}

// seen returns what a handler can see of its call.
func (s *streamer) seen(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	method, _ := grpc.Method(ctx)
	p, ok := peer.FromContext(ctx)
	return fmt.Sprintf("%q %q %s %t", md.Get("k"), md.Get("k-bin"), method, ok && p.Addr != nil)
}

func (s *streamer) StreamingOutputCall(r *outRequest, stream grpc.ServerStreamingServer[outReply]) error {
	text := string(r.GetPayload().GetBody())
	for i, p := range r.GetResponseParameters() {
		reply := body(fmt.Sprintf("%d of %s", i, s.seen(stream.Context())))
		if n := int(p.GetSize()); n > 0 {
			reply = body(strings.Repeat("x", n))
		}
		if err := stream.Send(&outReply{Payload: reply}); err != nil {
			return err
		}
	}
	_, err := s.act(text, stream)
	return err
}

func (s *streamer) StreamingInputCall(stream grpc.ClientStreamingServer[inRequest, inReply]) error {
	var sum int
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&inReply{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(r.GetPayload().GetBody())
		if done, err := s.act(string(r.GetPayload().GetBody()), stream); done {
			return err
		}
	}
}

func (s *streamer) FullDuplexCall(stream grpc.BidiStreamingServer[outRequest, outReply]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text := string(r.GetPayload().GetBody())
		if done, err := s.act(text, stream); done {
			return err
		}
		if err := stream.Send(&outReply{Payload: body(text)}); err != nil {
			return err
		}
	}
}

// transcript is what the user of a stub sees of one call, line by line.
type transcript []string

func (tr *transcript) add(format string, args ...any) {
	*tr = append(*tr, fmt.Sprintf(format, args...))
}

// err adds an error, without the words of those that Parley makes; ok is whether it is nil.
func (tr *transcript) err(what string, err error) (ok bool) {
	var e *endpoint.Error
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		tr.add("%s: EOF", what)
	case errors.As(err, &e), status.Code(err) == codes.Canceled, status.Code(err) == codes.DeadlineExceeded, status.Code(err) == codes.ResourceExhausted:
		tr.add("%s: %v", what, status.Code(err))
	default:
		tr.add("%s: %v %q %v", what, status.Code(err), status.Convert(err).Message(), status.Convert(err).Details())
	}
	return false
}

// size returns a text, or how long it is.
func size(b []byte) string {
	if len(b) > 100 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return string(b)
}

// rest receives until the end.
func (tr *transcript) rest(stream grpc.ClientStream) {
	for {
		var m outReply
		if !tr.err("receive", stream.RecvMsg(&m)) {
			break
		}
		tr.add("got %s", size(m.GetPayload().GetBody()))
	}
	tr.add("trailer %s", pairs(stream.Trailer()))
}

func (tr *transcript) header(stream grpc.ClientStream) {
	md, err := stream.Header()
	tr.err("header", err)
	tr.add("header %s", pairs(md))
}

// streams makes calls of all streaming kinds by a stock stub, and returns what was seen of each.
func streams(t *testing.T, stub grpc_testing.TestServiceClient, impl *streamer) map[string]transcript {
	t.Helper()
	seen := map[string]transcript{}
	call := func(name string, f func(ctx context.Context, tr *transcript)) {
		var tr transcript
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(soon(t), "k", "1", "k-bin", "\x00\xfe"))
		defer cancel()
		f(ctx, &tr)
		seen[name] = tr
	}
	output := func(name, text string, opts []grpc.CallOption, sizes ...int32) {
		call("output: "+name, func(ctx context.Context, tr *transcript) {
			r := &outRequest{Payload: body(text)}
			for _, n := range sizes {
				r.ResponseParameters = append(r.ResponseParameters, &grpc_testing.ResponseParameters{Size: n})
			}
			var header, trailer metadata.MD
			var finished []error
			opts := append(opts, grpc.Header(&header), grpc.Trailer(&trailer), grpc.OnFinish(func(err error) { finished = append(finished, err) }))
			stream, err := stub.StreamingOutputCall(ctx, r, opts...)
			if tr.err("open", err) {
				tr.rest(stream)
				tr.header(stream)
				tr.add("options %s, %s, finished %d times: %v", pairs(header), pairs(trailer), len(finished), status.Code(errors.Join(finished...)))
			}
		})
	}
	output("nothing", "", nil)
	output("three", "", nil, 0, 0, 0)
	output("large", "", nil, 3<<20, 1, 2<<20)
	output("many", "", nil, slices.Repeat([]int32{1000}, 2000)...)
	output("a large request", strings.Repeat("x", 3<<20), nil, 0)
	output("an error with details", "fail", nil, 0, 0)
	output("an error at once", "fail", nil)
	output("an error without a code", "plain", nil)
	output("headers and trailers", "headers", nil)
	output("headers that are set", "set", nil)
	output("a reply that is too large", "", []grpc.CallOption{grpc.MaxCallRecvMsgSize(10)}, 5, 100)
	output("a request that is too large", "0123456789", []grpc.CallOption{grpc.MaxCallSendMsgSize(5)}, 5)

	input := func(name string, texts ...string) {
		call("input: "+name, func(ctx context.Context, tr *transcript) {
			stream, err := stub.StreamingInputCall(ctx)
			if !tr.err("open", err) {
				return
			}
			for _, text := range texts {
				if err := stream.Send(&inRequest{Payload: body(text)}); err != nil { // how many are sent before an early return, is luck
					break
				}
			}
			reply, err := stream.CloseAndRecv()
			if tr.err("reply", err) {
				tr.add("sum %d", reply.GetAggregatedPayloadSize())
			}
			tr.add("trailer %s", pairs(stream.Trailer()))
			tr.header(stream)
		})
	}
	input("nothing")
	input("three", "1", "22", "333")
	input("large", "1", strings.Repeat("x", 3<<20), "22", strings.Repeat("x", 2<<20))
	input("empty", "", "")
	input("an early error", "1", "fail", "2", "3")
	input("an early return without a reply", "return", "2")
	input("headers", "headers")

	duplex := func(name string, f func(ctx context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript)) {
		call("duplex: "+name, func(ctx context.Context, tr *transcript) {
			stream, err := stub.FullDuplexCall(ctx)
			if tr.err("open", err) {
				f(ctx, stream, tr)
			}
		})
	}
	say := func(stream grpc.BidiStreamingClient[outRequest, outReply], text string) error {
		return stream.Send(&outRequest{Payload: body(text)})
	}
	duplex("ping-pong", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		for i := range 50 {
			tr.err("send", say(stream, fmt.Sprint(i)))
			m, err := stream.Recv()
			if tr.err("receive", err) {
				tr.add("got %s", m.GetPayload().GetBody())
			}
		}
		tr.header(stream)
		tr.err("close", stream.CloseSend())
		tr.err("close again", stream.CloseSend())
		tr.rest(stream)
		tr.rest(stream)
	})
	duplex("send after close", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		tr.err("close", stream.CloseSend())
		tr.err("send", say(stream, "late"))
	})
	duplex("half-close at once", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		tr.err("close", stream.CloseSend())
		tr.header(stream)
		tr.rest(stream)
	})
	duplex("a return", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		tr.err("send", say(stream, "headers"))
		tr.err("send", say(stream, "return"))
		tr.header(stream)
		tr.rest(stream)
		tr.err("send after the end", say(stream, "late"))
	})
	duplex("an error", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		tr.err("send", say(stream, "1"))
		tr.err("send", say(stream, "fail"))
		tr.rest(stream)
	})
	duplex("headers before anything else", func(_ context.Context, stream grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		tr.err("send", say(stream, "wait"))
		tr.header(stream)
	})
	<-impl.ended
	duplex("a cancel", func(_ context.Context, _ grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		ctx, cancel := context.WithCancel(soon(t))
		stream, err := stub.FullDuplexCall(ctx)
		tr.err("open", err)
		tr.err("send", say(stream, "wait"))
		tr.header(stream)
		cancel()
		tr.rest(stream)
		tr.err("send", say(stream, "late"))
	})
	if err := <-impl.ended; err != context.Canceled {
		t.Errorf("the handler of a cancelled call has ended with %v", err)
	}
	duplex("a deadline", func(_ context.Context, _ grpc.BidiStreamingClient[outRequest, outReply], tr *transcript) {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		stream, err := stub.FullDuplexCall(ctx)
		tr.err("open", err)
		tr.err("send", say(stream, "wait"))
		tr.rest(stream)
	})
	<-impl.ended // by which clock it ends first is not said
	call("an ended context", func(ctx context.Context, tr *transcript) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := stub.FullDuplexCall(ended)
		tr.err("open", err)
	})
	call("a method that is not implemented", func(ctx context.Context, tr *transcript) {
		stream, err := stub.HalfDuplexCall(ctx)
		if tr.err("open", err) {
			tr.rest(stream)
		}
	})
	return seen
}

// TestStockStreams: streaming calls by a stock stub to a stock server look the same over gRPC and over an endpoint, whichever way it is reached. The endpoint is
// a serial one: a streaming handler does not hold it up.
func TestStockStreams(t *testing.T) {
	leaktest.Check(t)
	impl := &streamer{ended: make(chan error, 1)}
	listener, stock := listening(t), grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(stock, impl)
	serving(t, stock, listener)
	want := streams(t, grpc_testing.NewTestServiceClient(dialing(t, listener.Addr().String())), impl)

	host, _ := hosting(t)
	caller, behind := newEnv(t), newEnv(t)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), impl)
	grpc_testing.RegisterTestServiceServer(behind.Endpoint("streams"), impl)
	if _, err := behind.Lookup(soon(t), "parley://hi@"+host.Address(), ""); err != nil { // opens the session
		t.Fatal(err)
	}
	hosted, _ := endpoint.NewRef("streams", host.Address())
	clientHosted, _ := endpoint.NewClientRef("streams", behind.ID())
	relayed, _ := clientHosted.WithVia(host.Address())
	for name, way := range map[string]struct {
		env *parley.Env
		ref endpoint.Ref
	}{"by an address": {caller, hosted}, "in client mode": {host, clientHosted}, "relayed": {caller, relayed}, "local": {host, hosted}} {
		t.Run(name, func(t *testing.T) {
			conn, err := way.env.Conn(way.ref)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, streams(t, grpc_testing.NewTestServiceClient(conn), impl), want)
		})
	}
	t.Run("as an ordinary call", func(t *testing.T) {
		compare(t, streams(t, grpc_testing.NewTestServiceClient(dialing(t, host.Address())), impl), want)
	})
	end(t, caller, behind, host)
}

func compare(t *testing.T, got, want map[string]transcript) {
	t.Helper()
	for _, call := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[call], want[call]) {
			t.Errorf("%s:\n got %s\nwant %s", call, strings.Join(got[call], "\n     "), strings.Join(want[call], "\n     "))
		}
	}
}
