package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/session"
)

// badStop is an endpoint whose OnStop panics.
type badStop struct{}

func (badStop) OnStop(context.Context) error { panic("on purpose") }

func newServer() *Server {
	return New(Config{
		Link:   &link.Config{Limits: session.InitialLimits().Shared()},
		Ref:    func(name string) (endpoint.Ref, error) { return endpoint.NewRef(name, "localhost:1") },
		Logger: slog.New(slog.DiscardHandler),
	})
}

// TestPanicInOnStop: an endpoint that stopped badly is forgotten, too.
func TestPanicInOnStop(t *testing.T) {
	s := newServer()
	if _, err := s.Register(t.Context(), "bad", badStop{}, nil); err != nil {
		t.Fatal(err)
	}
	done, ok := s.Stop(t.Context(), "bad")
	if !ok {
		t.Fatal("Stop does not find the endpoint")
	}
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.draining) > 0 {
		t.Errorf("%d endpoints are kept after their OnStop", len(s.draining))
	}
}

// TestEventsOfStuckEndpoint: an endpoint that takes no network events has no more than so many waiting.
func TestEventsOfStuckEndpoint(t *testing.T) {
	s := newServer()
	entered, goOn := make(chan struct{}), make(chan struct{})
	stuck := struct{}{}
	if _, err := s.Register(t.Context(), "stuck", stuck, nil); err != nil {
		t.Fatal(err)
	}
	s.Broadcast(func(context.Context, any) { close(entered); <-goOn }, "OnConnected", func(any) bool { return true })
	<-entered
	handled := 0
	for range mostEvents + 5 {
		s.Broadcast(func(context.Context, any) { handled++ }, "OnConnected", func(any) bool { return true })
	}
	if got := s.Dropped(); got != 5 {
		t.Errorf("%d were dropped, want 5", got)
	}
	close(goOn)
	done, _ := s.Stop(t.Context(), "stuck")
	<-done
	if handled != mostEvents {
		t.Errorf("%d were handled, want %d", handled, mostEvents)
	}
}

// meeting is an endpoint of which two messages have to be handled at the same time.
func meeting(arrived chan struct{}, goOn chan struct{}) endpoint.Service {
	return endpoint.Service{Name: "s", Methods: []endpoint.ServiceMethod{
		endpoint.Handle("s/m", func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			arrived <- struct{}{}
			<-goOn
			return &sayhiv1.HiReply{}, nil
		}),
	}}
}

func send(t *testing.T, s *Server, name string) {
	t.Helper()
	if err := s.Caller(name).Send(t.Context(), endpoint.Request{Method: "s/m", Message: &sayhiv1.HiRequest{}}); err != nil {
		t.Fatal(err)
	}
}

// TestConcurrentFromTheFirstMessage: where there is no OnStart, no message is waited for as if it were one.
func TestConcurrentFromTheFirstMessage(t *testing.T) {
	s := newServer()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	if _, err := s.Register(t.Context(), "two", 1, []endpoint.Service{meeting(arrived, goOn)}, endpoint.Concurrent(2)); err != nil {
		t.Fatal(err)
	}
	if infos, _ := s.Endpoints(Query{}); len(infos) != 1 || infos[0].State != endpoint.StateRunning || infos[0].Concurrency != 2 {
		t.Errorf("the endpoint is %+v, want a running one", infos)
	}
	send(t, s, "two")
	send(t, s, "two")
	<-arrived
	<-arrived
	close(goOn)
	done, _ := s.Stop(t.Context(), "two")
	<-done
}

// TestStopWaitsForAHandlerWithoutOnStop: only what has nothing to do ends at once.
func TestStopWaitsForAHandlerWithoutOnStop(t *testing.T) {
	s := newServer()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	for _, name := range []string{"busy", "idle"} {
		if _, err := s.Register(t.Context(), name, 1, []endpoint.Service{meeting(arrived, goOn)}); err != nil {
			t.Fatal(err)
		}
	}
	send(t, s, "busy")
	<-arrived
	busy, _ := s.Stop(t.Context(), "busy")
	idle, _ := s.Stop(t.Context(), "idle")
	select {
	case <-idle:
	default:
		t.Error("an idle endpoint is not done after Stop")
	}
	select {
	case <-busy:
		t.Error("an endpoint is done, and its handler runs")
	default:
	}
	if infos, _ := s.Endpoints(Query{}); len(infos) != 1 || infos[0].Name != "busy" || infos[0].State != endpoint.StateStopping {
		t.Errorf("there are %+v, want the busy one, which is stopping", infos)
	}
	for _, name := range []string{"busy", "idle"} {
		err := s.Caller(name).Send(t.Context(), endpoint.Request{Method: "s/m", Message: &sayhiv1.HiRequest{}})
		if !errors.Is(err, endpoint.ErrEndpointStopped) {
			t.Errorf("a message to %s fails with %v, want ErrEndpointStopped", name, err)
		}
	}
	close(goOn)
	<-busy
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRegisterInAContextThatHasEnded: the endpoint is not hosted, also if it has no OnStart to wait for.
func TestRegisterInAContextThatHasEnded(t *testing.T) {
	s := newServer()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Register(ctx, "late", 1, nil); !errors.Is(err, endpoint.ErrCancelled) {
		t.Errorf("got %v, want ErrCancelled", err)
	}
	if err := s.Lookup("late", ""); err == nil {
		t.Error("the endpoint is there")
	}
}

// TestWindowOfAClosedMailbox: a window that is made when the mailbox is closed lets nobody wait.
func TestWindowOfAClosedMailbox(t *testing.T) {
	s := newServer()
	if _, err := s.Register(t.Context(), "closed", 1, nil); err != nil {
		t.Fatal(err)
	}
	h, _ := s.find("closed")
	early := h.localWindow()
	if again := h.localWindow(); again != early || early == h.faceWindow() {
		t.Error("a kind of senders has not one window of its own")
	}
	h.face.Store(nil)
	if done, ok := s.Stop(t.Context(), "closed"); ok {
		<-done
	}
	for name, w := range map[string]*localWindow{"made before": early, "made after": h.faceWindow()} {
		for range s.config.Link.Limits.MailboxMessages + 1 {
			if !w.tryTake(1, nil) {
				t.Errorf("the window %s the end is full", name)
				break
			}
		}
	}
}
