package introspect

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/server"
)

// fixed is an Env that does not change.
type fixed struct {
	endpoints []endpoint.Info
	sessions  []endpoint.SessionInfo
}

func (fixed) ID() string                { return "id" }
func (fixed) Name() string              { return "\xff" }
func (fixed) Address() string           { return "" }
func (fixed) Ignored() (uint64, uint64) { return 1, 2 }
func (f fixed) Sessions() []endpoint.SessionInfo {
	return append([]endpoint.SessionInfo{}, f.sessions...)
}

func (f fixed) Endpoints(q server.Query) (infos []endpoint.Info, more bool) {
	for _, i := range f.endpoints {
		if i.Name > q.AfterName {
			infos = append(infos, i)
		}
	}
	if len(infos) > q.Most {
		return infos[:q.Most], true
	}
	return infos, false
}

// TestLargeEntries: a page ends before it is too large for a client, and one entry that is too large alone is not left out.
func TestLargeEntries(t *testing.T) {
	const many = 40
	var f fixed
	for n := range many {
		i := endpoint.Info{Name: fmt.Sprintf("e%02d", n), Number: uint64(n + 1)}
		for range 100 {
			i.Methods = append(i.Methods, endpoint.MethodInfo{Name: strings.Repeat("m", 1000)})
		}
		if n == 7 {
			i.Services = []string{strings.Repeat("s", 2*maxPageBytes)}
		}
		f.endpoints = append(f.endpoints, i)
		f.sessions = append(f.sessions, endpoint.SessionInfo{Opened: time.Unix(int64(n/3), 0), Peer: endpoint.Peer{Session: fmt.Sprintf("%02d", n)}, Principal: strings.Repeat("p", 100_000)})
	}
	s := &service{source: f}
	next, pages := 0, 0
	for token := ""; pages == 0 || token != ""; pages++ {
		page, err := s.ListEndpoints(t.Context(), &parleyv1.ListEndpointsRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if size := proto.Size(page); size > maxPageBytes*11/10 && len(page.GetEndpoints()) > 1 {
			t.Errorf("a page of %d entries has %d bytes", len(page.GetEndpoints()), size)
		}
		for _, e := range page.GetEndpoints() {
			if want := fmt.Sprintf("e%02d", next); e.GetName() != want {
				t.Fatalf("%s comes where %s should", e.GetName(), want)
			}
			next++
		}
		token = page.GetNextPageToken()
	}
	if next != many || pages < 4 {
		t.Errorf("%d endpoints in %d pages, want %d in some", next, pages, many)
	}
	next = 0
	for token := "-"; token != ""; {
		page, err := s.ListSessions(t.Context(), &parleyv1.ListSessionsRequest{PageToken: strings.TrimPrefix(token, "-")})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.GetSessions() {
			if want := fmt.Sprintf("%02d", next); e.GetId() != want {
				t.Fatalf("%s comes where %s should", e.GetId(), want)
			}
			next++
		}
		token = page.GetNextPageToken()
	}
	if next != many {
		t.Errorf("%d sessions, want %d", next, many)
	}
}

// TestInvalidText: what a certificate or a program says may be anything, and is encoded all the same.
func TestInvalidText(t *testing.T) {
	const bad = "\xc3\x28"
	s := &service{source: fixed{
		endpoints: []endpoint.Info{{Name: "e", Services: []string{bad}, Methods: []endpoint.MethodInfo{{Name: bad}}, LastError: &endpoint.LastError{During: bad}}},
		sessions:  []endpoint.SessionInfo{{Principal: bad, Remote: bad, Peer: endpoint.Peer{Session: bad, EnvID: bad, Address: bad}}},
	}}
	endpoints, err := s.ListEndpoints(t.Context(), &parleyv1.ListEndpointsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := s.ListSessions(t.Context(), &parleyv1.ListSessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []proto.Message{endpoints, sessions} {
		if _, err := proto.Marshal(m); err != nil {
			t.Error(err)
		}
	}
}

// registered keeps what is registered.
type registered struct{ *grpc.ServiceDesc }

func (r *registered) RegisterService(desc *grpc.ServiceDesc, _ any) { r.ServiceDesc = desc }

// TestGuardLeavesNothingOpen: what cannot be authorized is not served, and an authorization that answers OK by mistake refuses.
func TestGuardLeavesNothingOpen(t *testing.T) {
	var r registered
	g := guarded{to: &r, authorize: func(context.Context) error { return okStatus{} }}
	ran := false
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "s",
		Streams:     []grpc.StreamDesc{{StreamName: "Stream"}},
		Methods: []grpc.MethodDesc{{MethodName: "M", Handler: func(srv any, ctx context.Context, _ func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			return i(ctx, nil, &grpc.UnaryServerInfo{Server: srv}, func(context.Context, any) (any, error) { ran = true; return nil, nil })
		}}},
	}, nil)
	if len(r.Streams) != 0 || len(r.Methods) != 1 {
		t.Fatalf("served are %v and %v", r.Streams, r.Methods)
	}
	if _, err := r.Methods[0].Handler(nil, t.Context(), nil, nil); status.Code(err) != codes.PermissionDenied || ran {
		t.Errorf("the handler ran: %t, and the answer is %v, want PermissionDenied", ran, err)
	}
}

// okStatus is an error with the status OK.
type okStatus struct{}

func (okStatus) Error() string              { return "not an error" }
func (okStatus) GRPCStatus() *status.Status { return status.New(codes.OK, "") }
