package parley_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// observed is an Env with introspection, and who looks at it.
type observed struct {
	*testing.T
	env    *parley.Env
	conn   *grpc.ClientConn
	client parleyv1.IntrospectionClient
}

// observing starts an Env with introspection for this machine. It ends after the cleanups of the test that come later.
func observing(t *testing.T, opts ...parley.Option) *observed {
	t.Helper()
	leaktest.Check(t)
	env, err := parley.Listen("127.0.0.1:0", append(opts, parley.WithIntrospection(parley.LocalOnly))...)
	if err != nil {
		t.Fatal(err)
	}
	conn := dialFace(t, env, "")
	t.Cleanup(func() { end(t, env) })
	return &observed{T: t, env: env, conn: conn, client: parleyv1.NewIntrospectionClient(conn)}
}

// endpoints returns the endpoints whose names have part in them.
func (o *observed) endpoints(part string) []*parleyv1.EndpointInfo {
	o.Helper()
	page, err := o.client.ListEndpoints(soon(o.T), &parleyv1.ListEndpointsRequest{Name: part})
	if err != nil {
		o.Fatal(err)
	}
	if page.GetEnv().GetId() != o.env.ID() || page.GetEnv().GetAddress() != o.env.Address() {
		o.Errorf("%v has answered", page.GetEnv())
	}
	return page.GetEndpoints()
}

// await waits until the only endpoint of that name is as it should be.
func (o *observed) await(name string, is func(*parleyv1.EndpointInfo) bool) *parleyv1.EndpointInfo {
	o.Helper()
	for ctx := soon(o.T); ; {
		got := o.endpoints(name)
		if len(got) == 1 && is(got[0]) {
			return got[0]
		}
		if ctx.Err() != nil {
			o.Fatalf("%s is still %v", name, got)
		}
	}
}

// sessions returns the sessions with a peer that has part in what is known of it.
func (o *observed) sessions(part string) []*parleyv1.SessionInfo {
	o.Helper()
	page, err := o.client.ListSessions(soon(o.T), &parleyv1.ListSessionsRequest{Peer: part})
	if err != nil {
		o.Fatal(err)
	}
	return page.GetSessions()
}

func (o *observed) register(name string, e sayhiv1parley.SayHiEndpoint, opts ...endpoint.Option) sayhiv1parley.SayHiRef {
	o.Helper()
	ref, err := sayhiv1parley.RegisterSayHi(soon(o.T), o.env, name, e, opts...)
	if err != nil {
		o.Fatal(err)
	}
	return ref
}

// TestIntrospectStuckEndpoint: while the handler of a serial endpoint does not return, the depth of its mailbox is seen; when it has released the
// mailbox, that is; and when it was stopped, that it still goes on, beside its successor.
func TestIntrospectStuckEndpoint(t *testing.T) {
	o := observing(t)
	entered, release, goOn := make(chan struct{}, 8), make(chan struct{}), make(chan struct{})
	ref := o.register("slow", hiFunc(func(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-goOn:
		}
		if err := endpoint.Release(ctx); err != nil {
			return nil, err
		}
		<-goOn
		return &sayhiv1.HiReply{}, nil
	}))
	caller := newEnv(t)
	bound := boundAt(t, caller, ref.Ref())
	for range 5 {
		if err := bound.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	<-entered
	got := o.await("slow", func(e *parleyv1.EndpointInfo) bool { return e.GetWaiting() == 4 })
	if got.GetState() != parleyv1.EndpointInfo_STATE_RUNNING || got.GetStarted() == nil || got.GetConcurrency() != 1 ||
		got.GetRunning() != 1 || got.GetReleased() != 0 || got.GetCalls() != 5 || got.GetErrors() != 0 {
		t.Errorf("it is %v", got)
	}
	release <- struct{}{}
	<-entered
	got = o.await("slow", func(e *parleyv1.EndpointInfo) bool { return e.GetReleased() == 1 })
	if got.GetWaiting() != 3 || got.GetRunning() != 2 || got.GetCalls() != 5 {
		t.Errorf("after a release it is %v", got)
	}

	stopping, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.env.Stop(stopping, ref.Ref()); !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("Stop: %v, want that it does not wait", err)
	}
	o.register("slow", hi{})
	both := o.endpoints("slow")
	if len(both) != 2 || both[0].GetState() != parleyv1.EndpointInfo_STATE_STOPPING || both[1].GetState() != parleyv1.EndpointInfo_STATE_RUNNING ||
		both[0].GetNumber() >= both[1].GetNumber() || both[0].GetWaiting() != 3 {
		t.Errorf("with its successor it is %v", both)
	}
	close(goOn)
	got = o.await("slow", func(*parleyv1.EndpointInfo) bool { return true })
	if got.GetNumber() != both[1].GetNumber() {
		t.Errorf("%v is left", got)
	}
	end(t, caller)
}

// TestIntrospectShutdown: while a shutdown waits for a handler, it is seen which one.
func TestIntrospectShutdown(t *testing.T) {
	o := observing(t)
	entered, goOn := make(chan struct{}), make(chan struct{})
	ref := o.register("slow", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		close(entered)
		<-goOn
		return &sayhiv1.HiReply{}, nil
	}))
	if err := ref.Hi.Send(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Fatal(err)
	}
	<-entered
	over := make(chan error, 1)
	ending := soon(t)
	go func() { over <- o.env.Shutdown(ending) }()
	got := o.await("slow", func(e *parleyv1.EndpointInfo) bool { return e.GetState() == parleyv1.EndpointInfo_STATE_STOPPING })
	if got.GetRunning() != 1 {
		t.Errorf("it is %v, want one handler", got)
	}
	close(goOn)
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// TestIntrospectErrors: calls and errors are counted by method, whoever calls and whether a reply is wanted, and the last error is seen, as valid UTF-8
// that is not too long.
func TestIntrospectErrors(t *testing.T) {
	o := observing(t)
	ref := o.register("fails", hiFunc(func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		switch text, fails := strings.CutPrefix(r.GetMsg(), "fail "); {
		case r.GetMsg() == "panic":
			panic("on purpose")
		case r.GetMsg() == "long":
			return nil, errors.New(strings.Repeat("\xff", 9) + strings.Repeat("ä", 300))
		case fails:
			return nil, status.Error(codes.NotFound, text)
		}
		return &sayhiv1.HiReply{}, nil
	}))
	caller := newEnv(t)
	calls, failed := uint64(0), uint64(0)
	expect := func(text string) {
		t.Helper()
		got := o.endpoints("fails")
		if len(got) != 1 || got[0].GetCalls() != calls || got[0].GetErrors() != failed || len(got[0].GetMethods()) != 2 {
			t.Fatalf("after %d calls and %d errors it is %v", calls, failed, got)
		}
		if bye, hi := got[0].GetMethods()[0], got[0].GetMethods()[1]; bye.GetName() != "sayhi.v1.SayHi/Bye" || bye.GetCalls() != 0 || bye.GetErrors() != 0 ||
			hi.GetName() != hiMethod || hi.GetCalls() != calls || hi.GetErrors() != failed {
			t.Errorf("the methods are %v and %v", bye, hi)
		}
		last := got[0].GetLastError()
		if text == "" {
			if last != nil {
				t.Errorf("the last error is %v, want none", last)
			}
			return
		}
		if !strings.Contains(last.GetText(), text) || last.GetDuring() != hiMethod || time.Since(last.GetAt().AsTime()) > time.Minute {
			t.Errorf("the last error is %v, want %q", last, text)
		}
	}
	expect("")
	for _, by := range []sayhiv1parley.SayHiRef{ref, boundAt(t, caller, ref.Ref())} {
		for _, c := range []struct{ msg, text string }{
			{"fine", ""}, {"fail a", "rpc error: code = NotFound desc = a"}, {"panic", "parley: panic in sayhi.v1.SayHi/Hi: on purpose"}, {"fail b", "desc = b"},
		} {
			before := o.endpoints("fails")[0].GetLastError().GetText()
			_, err := by.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: c.msg})
			calls++
			if err != nil {
				failed++
			}
			if c.text == "" {
				c.text = before // stays
			}
			expect(c.text)
		}
		if err := by.Hi.Send(soon(t), &sayhiv1.HiRequest{Msg: "fail one-way"}); err != nil {
			t.Fatal(err)
		}
		calls, failed = calls+1, failed+1
		o.await("fails", func(e *parleyv1.EndpointInfo) bool { return e.GetErrors() == failed })
		expect("desc = one-way")
	}
	if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{Msg: "long"}); err == nil {
		t.Error("no error")
	}
	calls, failed = calls+1, failed+1
	expect("?" + strings.Repeat("ä", 251))
	if n := len(o.endpoints("fails")[0].GetLastError().GetText()); n > 512 {
		t.Errorf("the last error has %d bytes", n)
	}
	end(t, caller)
}

// TestIntrospectStalls: that somebody had to wait for room is seen where that was.
func TestIntrospectStalls(t *testing.T) {
	o := observing(t, parley.WithWindow(1, 1<<20), parley.WithQueueTimeout(time.Millisecond))
	goOn := make(chan struct{})
	ref := o.register("slow", hiFunc(func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
		<-goOn
		return &sayhiv1.HiReply{}, nil
	}))
	caller, err := parley.New(parley.WithQueueTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []sayhiv1parley.SayHiRef{ref, boundAt(t, caller, ref.Ref())} {
		for ctx := soon(t); ; { // a first one may wait for the handler to take the one before
			if err := by.Hi.Send(ctx, &sayhiv1.HiRequest{}); errors.Is(err, endpoint.ErrOverloaded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if e := o.endpoints("slow"); e[0].GetStalls() == 0 {
		t.Errorf("the endpoint is %v, want a stall", e)
	}
	if s := caller.Sessions(); s[0].Stalls == 0 {
		t.Errorf("the caller's session is %+v, want a stall", s)
	}
	close(goOn)
	end(t, caller)
}

// TestIntrospectSessions: a session without a stream is seen as that, and what it has gone through when it has one again.
func TestIntrospectSessions(t *testing.T) {
	o := observing(t)
	o.register("hi", hi{})
	between := newHalves(t, o.env.Address())
	caller, other := newEnv(t), newEnv(t)
	ref, err := sayhiv1parley.LookupSayHi(soon(t), caller, "parley://hi@"+between.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.LookupSayHi(soon(t), other, "parley://hi@"+o.env.Address()); err != nil {
		t.Fatal(err)
	}
	all := o.sessions("")
	if len(all) != 2 || all[0].GetPeerEnvId() != caller.ID() || all[1].GetPeerEnvId() != other.ID() {
		t.Fatalf("the sessions are %v, want two, the oldest first", all)
	}
	s := all[0]
	if s.GetState() != parleyv1.SessionInfo_STATE_ATTACHED || s.GetDialled() || s.GetEpoch() != 1 || s.GetOpened() == nil || s.GetAge().AsDuration() <= 0 ||
		s.GetRemote() == "" || s.GetDetachedSince() != nil || s.GetPrincipal() != "" || s.GetFramesReceived() == 0 {
		t.Errorf("the session is %v", s)
	}
	for _, part := range []string{s.GetId(), s.GetPeerEnvId(), s.GetRemote()} {
		if found := o.sessions(part); len(found) != 1 || found[0].GetId() != s.GetId() {
			t.Errorf("by %s these are found: %v", part, found)
		}
	}
	if found := o.sessions("nobody"); len(found) != 0 {
		t.Errorf("by nobody these are found: %v", found)
	}

	between.setDown(true)
	between.cutFar(t)
	between.cutNear(t)
	for ctx := soon(t); ; runtime.Gosched() {
		if s = o.sessions(caller.ID())[0]; s.GetState() == parleyv1.SessionInfo_STATE_DETACHED {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the session is still %v", s)
		}
	}
	if since := s.GetDetachedSince(); since == nil || since.AsTime().Before(s.GetOpened().AsTime()) || s.GetBreaks() != 1 {
		t.Errorf("without a stream it is %v", s)
	}
	between.setDown(false)
	if _, err := ref.Hi.AskSync(soon(t), &sayhiv1.HiRequest{}); err != nil {
		t.Fatal(err)
	}
	s = o.sessions(caller.ID())[0]
	if s.GetState() != parleyv1.SessionInfo_STATE_ATTACHED || s.GetDetachedSince() != nil || s.GetAttaches() != 1 || s.GetBreaks() != 1 || s.GetEpoch() < 2 || s.GetOpenAsks() != 0 {
		t.Errorf("with another stream it is %v", s)
	}
	if s.GetRemote() == all[0].GetRemote() {
		t.Errorf("its socket address is %s as before", s.GetRemote())
	}
	end(t, caller, other)
	between.end(t)
}

// TestIntrospectionHasNoToken: nothing that is served tells the token of a session, in whatever spelling.
func TestIntrospectionHasNoToken(t *testing.T) {
	o := observing(t)
	o.register("hi", hi{})
	raw, err := parleyv1.NewParleyClient(o.conn).Connect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Send(&parleyv1.Frame{Hello: &parleyv1.Hello{Capabilities: []string{"resume"}, WaitsForWelcome: true}}); err != nil {
		t.Fatal(err)
	}
	first, err := raw.Recv()
	if err != nil {
		t.Fatal(err)
	}
	session, token := first.GetWelcome().GetSession(), first.GetWelcome().GetToken()
	if len(token) != 32 {
		t.Fatalf("the welcome is %v, want one with a token", first)
	}
	endpoints, err := o.client.ListEndpoints(soon(t), &parleyv1.ListEndpointsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := o.client.ListSessions(soon(t), &parleyv1.ListSessionsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, m := range []proto.Message{endpoints, sessions} {
		encoded, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(encoded)
		said.WriteString(protojson.Format(m))
	}
	fmt.Fprintf(&said, "%+v %+v", o.env.Sessions(), o.env.Endpoints())
	if !strings.Contains(said.String(), session) {
		t.Errorf("the session %s is not listed:\n%s", session, &said)
	}
	for _, spelling := range []string{
		string(token), hex.EncodeToString(token), base64.StdEncoding.EncodeToString(token), base64.RawURLEncoding.EncodeToString(token), fmt.Sprint(token), fmt.Sprintf("%q", token),
	} {
		if strings.Contains(strings.ToLower(said.String()), strings.ToLower(spelling)) {
			t.Errorf("the token is told as %q", spelling)
		}
	}
	if err := raw.CloseSend(); err != nil {
		t.Error(err)
	}
}

// TestIntrospectPages: many endpoints are listed once each, in order, in pages that no client refuses, also while others come and go.
func TestIntrospectPages(t *testing.T) {
	o := observing(t)
	const many = 3000
	for n := range many {
		o.register(fmt.Sprintf("many.%04d", n), hi{})
	}
	o.register("other", hi{})
	for _, c := range []struct {
		size  int32
		pages int
	}{{0, 30}, {1000, 3}, {5000, 3}, {701, 5}} {
		next, pages := 0, 0
		for token := ""; pages == 0 || token != ""; pages++ {
			page, err := o.client.ListEndpoints(soon(t), &parleyv1.ListEndpointsRequest{PageSize: c.size, PageToken: token, Name: "many."})
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(page); size > 1<<20+1<<10 {
				t.Errorf("a page has %d bytes", size)
			}
			for _, e := range page.GetEndpoints() {
				if want := fmt.Sprintf("many.%04d", next); e.GetName() != want {
					t.Fatalf("%s comes where %s should", e.GetName(), want)
				}
				next++
			}
			if token = page.GetNextPageToken(); pages == 0 { // is not missed, since it is on no further page
				if err := o.env.Stop(soon(t), o.register("many.", hi{}).Ref()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if next != many || pages != c.pages {
			t.Errorf("page_size %d: %d endpoints in %d pages, want %d in %d", c.size, next, pages, many, c.pages)
		}
	}
	if all := o.env.Endpoints(); len(all) != many+1 {
		t.Errorf("Env.Endpoints returns %d", len(all))
	}
	for _, r := range []*parleyv1.ListEndpointsRequest{{PageSize: -1}, {PageToken: "?"}, {PageToken: base64.RawURLEncoding.EncodeToString([]byte("x/y"))}} {
		if _, err := o.client.ListEndpoints(soon(t), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v, want InvalidArgument", r, err)
		}
		if _, err := o.client.ListSessions(soon(t), &parleyv1.ListSessionsRequest{PageSize: r.GetPageSize(), PageToken: r.GetPageToken()}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("sessions, %v: %v, want InvalidArgument", r, err)
		}
	}

	var callers []*parley.Env
	for range 5 {
		callers = append(callers, newEnv(t))
		if _, err := sayhiv1parley.LookupSayHi(soon(t), callers[len(callers)-1], "parley://other@"+o.env.Address()); err != nil {
			t.Fatal(err)
		}
	}
	var listed []string
	for token := "-"; token != ""; {
		page, err := o.client.ListSessions(soon(t), &parleyv1.ListSessionsRequest{PageSize: 2, PageToken: strings.TrimPrefix(token, "-")})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.GetSessions() {
			listed = append(listed, s.GetPeerEnvId())
		}
		token = page.GetNextPageToken()
	}
	for i, c := range callers {
		if len(listed) != len(callers) || listed[i] != c.ID() {
			t.Fatalf("the sessions are those of %q, want five in the order of %s", listed, c.ID())
		}
	}
	end(t, callers...)
}
