package semantics

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// stranger is a peer that speaks the protocol by hand, through the generated gRPC stub. It can do what an Env never does.
type stranger struct {
	t      *testing.T
	id     string // Env id
	stream grpc.BidiStreamingClient[parleyv1.Frame, parleyv1.Frame]
	conn   *grpc.ClientConn
	end    context.CancelFunc
	number uint64 // of the last frame with envelopes
}

// newStranger dials env and opens a session. address is what it claims to listen at; it may be empty. first are envelopes that
// go with the hello.
func newStranger(t *testing.T, env *parley.Env, address string, first ...*parleyv1.Envelope) *stranger {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+env.Address(), dialling())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	s := &stranger{t: t, id: uuid.Must(uuid.NewV7()).String(), conn: conn, end: cancel}
	t.Cleanup(s.leave)
	if s.stream, err = parleyv1.NewParleyClient(conn).Connect(ctx); err != nil {
		t.Fatalf("Connect: %v", err)
	}
	if len(first) > 0 {
		s.number = 1
	}
	s.write(&parleyv1.Frame{Hello: &parleyv1.Hello{EnvId: s.id, Address: address}, Number: s.number, Envelopes: first})
	f, err := s.stream.Recv()
	if err != nil || f.GetWelcome() == nil {
		t.Fatalf("got %v, %v; want a welcome", f, err)
	}
	return s
}

// leave ends the session in good order, and the connection.
func (s *stranger) leave() {
	if s.stream != nil {
		if err := s.stream.CloseSend(); err != nil {
			s.t.Errorf("CloseSend: %v", err)
		}
		for {
			if _, err := s.stream.Recv(); err != nil {
				if !errors.Is(err, io.EOF) {
					s.t.Errorf("the stream ended with %v, want EOF", err)
				}
				break
			}
		}
		s.stream = nil
	}
	s.end()
	s.conn.Close() // its only error is that it is closed already
}

// say sends envelopes in one frame.
func (s *stranger) say(envelopes ...*parleyv1.Envelope) {
	s.t.Helper()
	s.number++
	s.write(&parleyv1.Frame{Number: s.number, Envelopes: envelopes})
}

func (s *stranger) write(f *parleyv1.Frame) {
	s.t.Helper()
	if err := s.stream.Send(f); err != nil {
		s.t.Fatalf("Send: %v", err)
	}
}

// hear reads frames until it has n envelopes that pick wants.
func hear[T any](s *stranger, n int, pick func(*parleyv1.Envelope) *T) []*T {
	s.t.Helper()
	var heard []*T
	for len(heard) < n {
		f, err := s.stream.Recv()
		if err != nil {
			s.t.Fatalf("Recv: %v; heard %v", err, heard)
		}
		for _, e := range f.GetEnvelopes() {
			if got := pick(e); got != nil {
				heard = append(heard, got)
			}
		}
	}
	return heard
}

// ref returns a Ref to an endpoint that the stranger claims to host.
func (s *stranger) ref(name string) endpoint.Ref {
	s.t.Helper()
	ref, err := endpoint.NewClientRef(name, s.id)
	if err != nil {
		s.t.Fatal(err)
	}
	return ref
}

// ask returns an ask of a method of the service Probe.
func ask(id uint64, name, method string, payload []byte) *parleyv1.Envelope {
	return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Ask{Ask: &parleyv1.Ask{
		Id:          id,
		Destination: &parleyv1.Ask_Target{Target: &parleyv1.Target{Endpoint: name, Method: "parleytest.v1.Probe/" + method}},
		Payload:     &parleyv1.Ask_Proto{Proto: payload},
	}}}
}

// reply returns a reply with a payload.
func reply(id uint64, payload []byte) *parleyv1.Envelope {
	return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Reply{Reply: &parleyv1.Reply{Id: id, Payload: &parleyv1.Reply_Proto{Proto: payload}}}}
}
