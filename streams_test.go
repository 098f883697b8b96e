package parley_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// numbers is an endpoint with streaming methods. It asks itself, too.
type numbers struct {
	parleytestv1parley.UnimplementedStreams
	cancelled chan struct{} // gets a value for each count that was cancelled
}

func (n *numbers) CountTo(ctx context.Context, req *parleytestv1.CountToRequest, replies *endpoint.Replies[parleytestv1.CountToResponse]) error {
	for i := range req.GetBelow() {
		if err := replies.Send(&parleytestv1.CountToResponse{Number: i}); err != nil {
			if ctx.Err() != nil {
				n.cancelled <- struct{}{}
			}
			return err
		}
		if req.GetFailAfter() > 0 && i == req.GetFailAfter() {
			return status.Error(codes.OutOfRange, "no more")
		}
	}
	return nil
}

func (n *numbers) Sum(_ context.Context, requests *endpoint.Requests[parleytestv1.SumRequest]) (*parleytestv1.SumResponse, error) {
	var sum int64
	for req, err := range requests.All() {
		if err != nil {
			return nil, err
		}
		if sum += req.GetNumber(); req.GetNumber() < 0 {
			break
		}
	}
	return &parleytestv1.SumResponse{Sum: sum}, nil
}

func (n *numbers) Double(_ context.Context, requests *endpoint.Requests[parleytestv1.DoubleRequest], replies *endpoint.Replies[parleytestv1.DoubleResponse]) error {
	for req, err := range requests.All() {
		if err != nil {
			return err
		}
		if err := replies.Send(&parleytestv1.DoubleResponse{Number: 2 * req.GetNumber()}); err != nil {
			return err
		}
	}
	return nil
}

// upTo returns requests with the numbers below n.
func upTo(n int64) iter.Seq[*parleytestv1.SumRequest] {
	return func(yield func(*parleytestv1.SumRequest) bool) {
		for i := range n {
			if !yield(&parleytestv1.SumRequest{Number: i}) {
				return
			}
		}
	}
}

// TestStreamingRefs: what a generated Ref has of streaming methods, to an endpoint of another Env and of this one.
func TestStreamingRefs(t *testing.T) {
	leaktest.Check(t)
	host, _ := hosting(t)
	caller := newEnv(t)
	n := &numbers{cancelled: make(chan struct{}, 1)}
	local, err := parleytestv1parley.RegisterStreams(soon(t), host, "numbers", n)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := parleytestv1parley.LookupStreams(soon(t), caller, local.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]parleytestv1parley.StreamsRef{"remote": remote, "local": local} {
		t.Run(name, func(t *testing.T) {
			count(t, ref, n)
			sum(t, ref)
			double(t, ref)
		})
	}
	end(t, caller, host)
}

func count(t *testing.T, ref parleytestv1parley.StreamsRef, n *numbers) {
	t.Helper()
	const many = 5000
	next := int64(0)
	for res, err := range ref.CountTo.Ask(soon(t), &parleytestv1.CountToRequest{Below: many}) {
		if err != nil || res.GetNumber() != next {
			t.Fatalf("got %d, %v, want %d", res.GetNumber(), err, next)
		}
		next++
	}
	if next != many {
		t.Errorf("%d replies, want %d", next, many)
	}
	var failed error
	next = 0
	for res, err := range ref.CountTo.Ask(soon(t), &parleytestv1.CountToRequest{Below: many, FailAfter: 3}) {
		if failed = err; err == nil {
			next = res.GetNumber()
		}
	}
	if next != 3 || status.Code(failed) != codes.OutOfRange {
		t.Errorf("after %d it failed with %v", next, failed)
	}
	for range ref.CountTo.Ask(soon(t), &parleytestv1.CountToRequest{Below: 1 << 40}) {
		break
	}
	<-n.cancelled // to leave the loop cancels the call
	ended, cancel := context.WithCancel(soon(t))
	cancel()
	for res, err := range ref.CountTo.Ask(ended, &parleytestv1.CountToRequest{Below: 1}) {
		if res != nil || !errors.Is(err, endpoint.ErrCancelled) {
			t.Errorf("with an ended context: %v, %v", res, err)
		}
	}
}

func sum(t *testing.T, ref parleytestv1parley.StreamsRef) {
	t.Helper()
	res, err := ref.Sum.Ask(soon(t), upTo(1000))
	if err != nil || res.GetSum() != 1000*999/2 {
		t.Errorf("the sum is %d, %v", res.GetSum(), err)
	}
	call, err := ref.Sum.Open(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if err := call.Send(&parleytestv1.SumRequest{Number: -1}); err != nil { // the endpoint answers without waiting for more
		t.Error(err)
	}
	for err == nil {
		err = call.Send(&parleytestv1.SumRequest{Number: 1})
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("Send to a call that is over: %v", err)
	}
	if res, err = call.CloseAndReceive(); err != nil || res.GetSum() != -1 {
		t.Errorf("an early answer is %d, %v", res.GetSum(), err)
	}
}

func double(t *testing.T, ref parleytestv1parley.StreamsRef) {
	t.Helper()
	call, err := ref.Double.Open(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	const many = 20_000
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range int64(many) {
			if err := call.Send(&parleytestv1.DoubleRequest{Number: i}); err != nil {
				t.Error(err)
				return
			}
		}
		if err := call.CloseSend(); err != nil {
			t.Error(err)
		}
	})
	next := int64(0)
	for res, err := range call.Replies() {
		if err != nil || res.GetNumber() != 2*next {
			t.Errorf("got %d, %v, want %d", res.GetNumber(), err, 2*next)
			break
		}
		next++
	}
	sending.Wait()
	if _, err := call.Receive(); next != many || !errors.Is(err, io.EOF) {
		t.Errorf("%d replies, and then %v", next, err)
	}
	if call, err = ref.Double.Open(soon(t)); err != nil {
		t.Fatal(err)
	}
	call.Close()
	if _, err := call.Receive(); !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("Receive of a call that was closed: %v", err)
	}
}

// TestStreamingSelfAsk: a serial endpoint that opens a call to itself would wait for ever.
func TestStreamingSelfAsk(t *testing.T) {
	leaktest.Check(t)
	env, _ := hosting(t)
	var self parleytestv1parley.StreamsRef
	asked := make(chan error, 2)
	ask := func(ctx context.Context) {
		_, err := self.Sum.Ask(ctx, upTo(3))
		asked <- err
	}
	b, err := env.Register(soon(t), "self", &numbers{}, []endpoint.Service{
		parleytestv1parley.StreamsService(&numbers{}),
		{Name: "test.v1.Test", Methods: []endpoint.ServiceMethod{
			endpoint.Handle("test.v1.Test/Ask", func(ctx context.Context, req *parleytestv1.SumRequest) (*parleytestv1.SumResponse, error) {
				ask(ctx)
				if err := endpoint.Release(ctx); err != nil {
					return nil, err
				}
				ask(ctx)
				return &parleytestv1.SumResponse{}, nil
			}),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	self = parleytestv1parley.NewStreams(b)
	m := endpoint.NewMethod[parleytestv1.SumRequest, parleytestv1.SumResponse](b, "test.v1.Test/Ask")
	if _, err := m.AskSync(soon(t), &parleytestv1.SumRequest{}); err != nil {
		t.Error(err)
	}
	if err := <-asked; !errors.Is(err, endpoint.ErrSelfAsk) {
		t.Errorf("before Release: %v", err)
	}
	if err := <-asked; err != nil {
		t.Errorf("after Release: %v", err)
	}
	end(t, env)
}

// TestStreamInterceptors: those of both sides run once around every streaming call, the first outermost, whichever way it takes.
func TestStreamInterceptors(t *testing.T) {
	leaktest.Check(t)
	var mu sync.Mutex
	var saw []string
	see := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		saw = append(saw, what)
	}
	server := func(name string) grpc.StreamServerInterceptor {
		return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if info.FullMethod != "/parleytest.v1.Streams/Sum" || !info.IsClientStream || info.IsServerStream {
				t.Errorf("the interceptor sees %+v", info)
			}
			see("server " + name)
			return handler(srv, stream)
		}
	}
	clientSide := func(name string) grpc.StreamClientInterceptor {
		return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if method != "/parleytest.v1.Streams/Sum" || !desc.ClientStreams || desc.ServerStreams || cc.Target() == "" {
				t.Errorf("the interceptor sees %s, %+v, %s", method, desc, cc.Target())
			}
			see("client " + name)
			return streamer(ctx, desc, cc, method, opts...)
		}
	}
	options := []parley.Option{
		parley.WithStreamInterceptors(server("outer"), server("inner")), parley.WithStreamClientInterceptors(clientSide("outer"), clientSide("inner")),
	}
	host, err := parley.Listen("127.0.0.1:0", options...)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	local, err := parleytestv1parley.RegisterStreams(soon(t), host, "numbers", &numbers{})
	if err != nil {
		t.Fatal(err)
	}
	remote, err := parleytestv1parley.LookupStreams(soon(t), caller, local.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]parleytestv1parley.StreamsRef{"remote": remote, "local": local} {
		saw = nil
		if _, err := ref.Sum.Ask(soon(t), upTo(3)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := []string{"client outer", "client inner", "server outer", "server inner"}; !slices.Equal(saw, want) {
			t.Errorf("%s: %q, want %q", name, saw, want)
		}
	}
	end(t, caller, host)
}

// TestStreamingFakes: a fake of a Ref's field, and of what a handler is given.
func TestStreamingFakes(t *testing.T) {
	ref := parleytestv1parley.StreamsRef{
		CountTo: endpoint.ServerStreamingFunc(func(_ context.Context, req *parleytestv1.CountToRequest) iter.Seq2[*parleytestv1.CountToResponse, error] {
			return func(yield func(*parleytestv1.CountToResponse, error) bool) { yield(nil, errors.New("fake")) }
		}),
		Sum: endpoint.ClientStreamingFunc(func(_ context.Context, requests []*parleytestv1.SumRequest) (*parleytestv1.SumResponse, error) {
			return &parleytestv1.SumResponse{Sum: int64(len(requests))}, nil
		}),
	}
	for _, err := range ref.CountTo.Ask(t.Context(), &parleytestv1.CountToRequest{}) {
		if err == nil || err.Error() != "fake" {
			t.Error(err)
		}
	}
	if res, err := ref.Sum.Ask(t.Context(), upTo(7)); err != nil || res.GetSum() != 7 {
		t.Errorf("%d, %v", res.GetSum(), err)
	}
	if _, err := ref.Double.Open(t.Context()); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("the zero BidiStreaming: %v", err)
	}
	for _, err := range (endpoint.ServerStreaming[parleytestv1.CountToRequest, parleytestv1.CountToResponse]{}).Ask(t.Context(), nil) {
		if !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("the zero ServerStreaming: %v", err)
		}
	}
	if res, err := (&numbers{}).Sum(t.Context(), endpoint.RequestsOf(upTo(5))); err != nil || res.GetSum() != 10 {
		t.Errorf("%d, %v", res.GetSum(), err)
	}
	var got []int64
	err := (&numbers{}).CountTo(t.Context(), &parleytestv1.CountToRequest{Below: 3}, endpoint.RepliesTo(func(res *parleytestv1.CountToResponse) error {
		got = append(got, res.GetNumber())
		return nil
	}))
	if err != nil || !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
}
