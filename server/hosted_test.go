package server

import (
	"context"
	"log/slog"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/link"
	"github.com/parley-rpc/parley/internal/session"
)

// badStop is an endpoint whose OnStop panics.
type badStop struct{}

func (badStop) OnStop(context.Context) error { panic("on purpose") }

// TestPanicInOnStop: an endpoint that stopped badly is forgotten, too.
func TestPanicInOnStop(t *testing.T) {
	s := New(Config{
		Link:   &link.Config{Limits: session.InitialLimits()},
		Ref:    func(name string) (endpoint.Ref, error) { return endpoint.NewRef(name, "localhost:1") },
		Logger: slog.New(slog.DiscardHandler),
	})
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
	s := New(Config{
		Link:   &link.Config{Limits: session.InitialLimits()},
		Ref:    func(name string) (endpoint.Ref, error) { return endpoint.NewRef(name, "localhost:1") },
		Logger: slog.New(slog.DiscardHandler),
	})
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
