package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// converse sends numbered messages of all sizes, and receives their echoes at the same time: each once, in order, and whole. reached gets
// every hundredth number.
func converse(t *testing.T, name string, stub grpc_testing.TestServiceClient, messages int, reached chan<- int) {
	stream, err := stub.FullDuplexCall(soon(t))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	size := func(n int) int {
		if n%50 == 0 {
			return 20_000 * (1 + n/50%4)
		}
		return n % 300
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; n <= messages; n++ {
			if err := stream.Send(&outRequest{Payload: body(strconv.Itoa(n) + strings.Repeat(".", size(n)))}); err != nil {
				t.Errorf("%s: message %d: %v", name, n, err)
				return
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	for n := 1; n <= messages; n++ {
		m, err := stream.Recv()
		if err != nil {
			t.Errorf("%s: echo %d: %v", name, n, err)
			return
		}
		if got := string(m.GetPayload().GetBody()); got != strconv.Itoa(n)+strings.Repeat(".", size(n)) {
			t.Errorf("%s: echo %d is %.20q, of %d bytes", name, n, got, len(got))
			return
		}
		if n%100 == 0 {
			reached <- n
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%s: the end is %v", name, err)
	}
}

// TestCutStreamingCalls: connections are cut in the middle of long calls in both directions, whose users see nothing of it.
func TestCutStreamingCalls(t *testing.T) {
	leaktest.Check(t)
	const messages, cuts = 3000, 20
	host, _ := hosting(t)
	impl := &duplex{full: echoDuplex}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("there"), impl)
	between := newHalves(t, host.Address())
	env, err := parley.New(parley.WithStreamWindow(50_000))
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(env.Endpoint("back"), impl)
	there, err := env.Lookup(soon(t), "parley://there@"+between.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	back, err := endpoint.NewClientRef("back", env.ID())
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan int, 3*messages/100)
	var wg sync.WaitGroup
	for name, way := range map[string]struct {
		env *parley.Env
		ref endpoint.Ref
	}{"there": {env, there.Ref()}, "there, too": {env, there.Ref()}, "back": {host, back}} {
		conn, err := way.env.Conn(way.ref)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { converse(t, name, grpc_testing.NewTestServiceClient(conn), messages, reached) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	n := 0
	for over := false; !over; {
		select {
		case <-reached:
			if n++; n > cuts {
				continue
			}
			if n%2 == 0 {
				between.cutFar(t)
			}
			between.cutNear(t)
		case <-done:
			over = true
		}
	}
	if n < cuts {
		t.Errorf("%d cuts were made, want %d", n, cuts)
	}
	if sessions := env.Sessions(); len(sessions) != 1 || sessions[0].Attaches == 0 {
		t.Errorf("the sessions are %+v, want one that has been attached", sessions)
	}
	if c := env.Counters(); c.OpenAsks != 0 || c.PendingAsks != 0 {
		t.Errorf("left is %+v", c)
	}
	end(t, env)
	between.end(t)
	end(t, host)
}

// TestSessionEndsInCall: caller and handler are told, the caller by a typed error: what was sent may have been handled.
func TestSessionEndsInCall(t *testing.T) {
	leaktest.Check(t)
	ended := make(chan error, 2)
	impl := &duplex{full: func(stream duplexServer) error {
		err := echoDuplex(stream)
		ended <- stream.Context().Err()
		return err
	}}
	ttl := parley.WithSessionTTL(200 * time.Millisecond)
	host, err := parley.Listen("127.0.0.1:0", ttl)
	if err != nil {
		t.Fatal(err)
	}
	env, err := parley.New(ttl)
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams"), impl)
	between := newHalves(t, host.Address())
	ref, err := env.Lookup(soon(t), "parley://streams@"+between.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := env.Conn(ref.Ref())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&outRequest{Payload: body("1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	between.end(t)
	f := startFlood(func(p *grpc_testing.Payload) error { return stream.Send(&outRequest{Payload: p}) })
	_, err = stream.Recv()
	var e *endpoint.Error
	if !errors.Is(err, endpoint.ErrSessionEnded) || !errors.As(err, &e) || e.Execution != endpoint.MayHaveExecuted || status.Code(err) != codes.Unavailable {
		t.Errorf("Recv = %v, want ErrSessionEnded, may have executed", err)
	}
	if err := <-f.ended; !errors.Is(err, io.EOF) {
		t.Errorf("Send = %v, want EOF", err)
	}
	if err := <-ended; err != context.Canceled {
		t.Errorf("the handler's context has ended with %v", err)
	}
	end(t, env, host)
}

// TestStreamingHandlers of one serial endpoint: many run at the same time, and hold up neither asks nor each other; there is a limit to them; and a panic
// ends its call only.
func TestStreamingHandlers(t *testing.T) {
	leaktest.Check(t)
	const most = 100
	impl := &duplex{full: func(stream duplexServer) error {
		if r, err := stream.Recv(); err == nil && string(r.GetPayload().GetBody()) == "panic" {
			panic("on purpose")
		} else if err != nil {
			return nil
		}
		if err := stream.Send(&outReply{Payload: body("runs")}); err != nil {
			return err
		}
		return echoDuplex(stream)
	}}
	host, _ := hosting(t)
	env := newEnv(t)
	grpc_testing.RegisterTestServiceServer(host.Endpoint("streams", endpoint.MaxReleased(most)), impl)
	ref, err := env.Lookup(soon(t), "parley://streams@"+host.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]*parley.Env{"remote": env, "local": host} {
		conn, err := at.Conn(ref.Ref())
		if err != nil {
			t.Fatal(err)
		}
		stub := grpc_testing.NewTestServiceClient(conn)
		open := func(first string) (duplexClient, error) {
			stream, err := stub.FullDuplexCall(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&outRequest{Payload: body(first)}); err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			m, err := stream.Recv()
			if err == nil && string(m.GetPayload().GetBody()) != "runs" {
				t.Errorf("%s: a handler says %q", name, m.GetPayload().GetBody())
			}
			return stream, err
		}
		var e *endpoint.Error
		if _, err := open("panic"); status.Code(err) != codes.Internal || !errors.As(err, &e) || e.Reason != endpoint.ReasonPanic {
			t.Errorf("%s: a handler panics: %v", name, err)
		}
		var streams []duplexClient
		for i := range most {
			stream, err := open("1")
			if err != nil {
				t.Fatalf("%s: call %d: %v", name, i, err)
			}
			streams = append(streams, stream)
		}
		if _, err := stub.EmptyCall(soon(t), &grpc_testing.Empty{}); err != nil {
			t.Errorf("%s: an ask beside %d open calls: %v", name, most, err)
		}
		if _, err := open("1"); !errors.Is(err, endpoint.ErrOverloaded) || !errors.As(err, &e) || e.Execution != endpoint.NotExecuted {
			t.Errorf("%s: one call too many: %v", name, err)
		}
		for _, stream := range streams {
			if err := errors.Join(stream.Send(&outRequest{Payload: body("last")}), stream.CloseSend()); err != nil {
				t.Error(err)
			}
			if m, err := stream.Recv(); err != nil || string(m.GetPayload().GetBody()) != "last" {
				t.Errorf("%s: %v, %v", name, m, err)
			}
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: the end is %v", name, err)
			}
		}
	}
	end(t, env, host)
}

// TestStopWithCalls: an endpoint that is stopped takes no further calls; those that run go on to their end.
func TestStopWithCalls(t *testing.T) {
	leaktest.Check(t)
	w := newStreamWorld(t, &duplex{full: echoDuplex})
	stub := w.stubs["by an address"]
	stream, err := stub.FullDuplexCall(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		t.Helper()
		if err := stream.Send(&outRequest{Payload: body(text)}); err != nil {
			t.Error(err)
		}
		if m, err := stream.Recv(); err != nil || string(m.GetPayload().GetBody()) != text {
			t.Errorf("%v, %v", m, err)
		}
	}
	say("before")
	ref, err := endpoint.NewRef("streams", w.host.Address())
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.host.Stop(soon(t), ref) }()
	for ctx := soon(t); ; {
		late, err := stub.FullDuplexCall(soon(t))
		if err == nil {
			if err = late.CloseSend(); err == nil {
				_, err = late.Recv()
			}
		}
		if errors.Is(err, endpoint.ErrEndpointStopped) {
			break
		}
		if !errors.Is(err, io.EOF) || ctx.Err() != nil {
			t.Fatalf("a call to an endpoint that is stopped: %v", err)
		}
	}
	say("after")
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	w.end(t)
}

// ordered is a serial endpoint that says in which order its handlers start.
type ordered struct {
	grpc_testing.UnimplementedTestServiceServer
	mu      sync.Mutex
	started []string
}

func (o *ordered) start(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.started = append(o.started, name)
}

func (o *ordered) UnaryCall(_ context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	o.start(string(r.GetPayload().GetBody()))
	return &grpc_testing.SimpleResponse{}, nil
}

func (o *ordered) FullDuplexCall(stream duplexServer) error {
	o.start("call")
	return echoDuplex(stream)
}

func (o *ordered) StreamingOutputCall(r *outRequest, stream grpc_testing.TestService_StreamingOutputCallServer) error {
	for i, p := range r.GetResponseParameters() {
		if err := stream.Send(&outReply{Payload: body(strconv.Itoa(i) + strings.Repeat("x", int(p.GetSize())))}); err != nil {
			return err
		}
	}
	return nil
}

// TestStreamsByHand opens calls in JSON over a session without resume, in the frame of the hello, half-closes the stream at once, and gets all:
// what was sent to one endpoint has its turn in that order, and no window that nobody can raise any more holds up the answers.
func TestStreamsByHand(t *testing.T) {
	const service, replies, replyBytes = "grpc.testing.TestService/", 50, 30_000
	h := newHost(t)
	impl := &ordered{}
	grpc_testing.RegisterTestServiceServer(h.env.Endpoint("ordered"), impl)
	to := func(method string) *parleyv1.Target {
		return &parleyv1.Target{Endpoint: "ordered", Method: service + method}
	}
	unary := func(id uint64, text string) *parleyv1.Envelope {
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Ask{Ask: &parleyv1.Ask{
			Id: id, Destination: &parleyv1.Ask_Target{Target: to("UnaryCall")}, Payload: &parleyv1.Ask_Json{Json: fmt.Sprintf(`{"payload":{"body":%q}}`, text)},
		}}}
	}
	headers := func(id uint64, method string) *parleyv1.Envelope {
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Headers{Headers: &parleyv1.Headers{Id: id, Destination: &parleyv1.Headers_Target{Target: to(method)}}}}
	}
	says := func(id uint64, json string) *parleyv1.Envelope {
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Message{Message: &parleyv1.Message{Id: id, Payload: &parleyv1.Message_Json{Json: json}}}}
	}
	parameters := strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"size":%d},`, replyBytes), replies), ",")
	r := h.connect()
	r.number = 1
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{Capabilities: []string{"streams"}}, Number: 1, Envelopes: []*parleyv1.Envelope{
		unary(1, "MQ=="), headers(2, "FullDuplexCall"), unary(3, "Mg=="), headers(4, "FullDuplexCall"), unary(5, "Mw=="),
		says(2, `{"payload":{"body":"eA=="}}`), says(2, `{}`),
		headers(6, "StreamingOutputCall"), says(6, `{"responseParameters":[`+parameters+`]}`),
		headers(7, "NoSuchCall"), headers(8, "UnaryCall"),
	}})
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	ends, messages := map[uint64]codes.Code{}, map[uint64]int{}
	for {
		f, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.GetEnvelopes() {
			switch {
			case e.GetEnd() != nil:
				ends[e.GetEnd().GetId()] = codes.Code(e.GetEnd().GetStatus().GetCode())
			case e.GetMessage() != nil:
				if m := e.GetMessage(); m.GetJson() == "" || !m.GetFromCallee() {
					t.Errorf("a message of call %d is not JSON from the callee", m.GetId())
				}
				messages[e.GetMessage().GetId()]++
			}
		}
	}
	if messages[2] != 2 || messages[6] != replies || len(ends) != 5 || ends[2] != codes.OK || ends[4] != codes.OK || ends[6] != codes.OK || ends[7] != codes.Unimplemented || ends[8] != codes.Unimplemented {
		t.Errorf("messages %v, ends %v", messages, ends)
	}
	impl.mu.Lock()
	defer impl.mu.Unlock()
	// A streaming handler begins when all before it have returned, and those behind it do not wait for it.
	got := strings.Join(impl.started, " ")
	if !slices.Contains([]string{"1 call 2 call 3", "1 call 2 3 call", "1 2 call call 3", "1 2 call 3 call", "1 2 3 call call"}, got) {
		t.Errorf("the handlers have started as %s", got)
	}
}

// TestHalfCloseInLargeMessage: a stream that is half-closed in the middle of a large message fails its call, which has not got all that was sent.
func TestHalfCloseInLargeMessage(t *testing.T) {
	h := newHost(t)
	grpc_testing.RegisterTestServiceServer(h.env.Endpoint("streams"), &duplex{full: echoDuplex})
	r := h.connect()
	r.number = 1
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{Capabilities: []string{"streams"}}, Number: 1, Envelopes: []*parleyv1.Envelope{
		{Kind: &parleyv1.Envelope_Headers{Headers: &parleyv1.Headers{Id: 1, Destination: &parleyv1.Headers_Target{Target: &parleyv1.Target{Endpoint: "streams", Method: "grpc.testing.TestService/FullDuplexCall"}}}}},
		{Kind: &parleyv1.Envelope_Message{Message: &parleyv1.Message{Id: 1, Payload: &parleyv1.Message_Transfer{Transfer: &parleyv1.Transfer{Id: 1, Size: 100}}}}},
		{Kind: &parleyv1.Envelope_Chunk{Chunk: &parleyv1.Chunk{Id: 1, Data: []byte("some of it")}}},
	}})
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for {
		for _, e := range r.recv().GetEnvelopes() {
			if e.GetEnd() != nil {
				if code := codes.Code(e.GetEnd().GetStatus().GetCode()); code != codes.Unavailable {
					t.Errorf("the call ends with %v, want Unavailable", code)
				}
				return
			}
		}
	}
}
