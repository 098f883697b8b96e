package endpoint_test

import (
	"context"
	"errors"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// TestMethodFunc: each verb calls the function, with what it was given, and tells what that has returned.
func TestMethodFunc(t *testing.T) {
	refused := errors.New("refused")
	var got []int
	m := endpoint.MethodFunc(func(_ context.Context, req *int) (*int, error) {
		got = append(got, *req)
		if *req < 0 {
			return nil, refused
		}
		reply := *req * 2
		return &reply, nil
	})
	ctx := t.Context()
	verbs := map[string]func(req *int) (*int, error){
		"Send":            func(req *int) (*int, error) { return nil, m.Send(ctx, req) },
		"TrySend":         func(req *int) (*int, error) { return nil, m.TrySend(ctx, req) },
		"SendWithReceipt": func(req *int) (*int, error) { return nil, m.SendWithReceipt(ctx, req).Wait(ctx) },
		"Ask":             func(req *int) (*int, error) { return m.Ask(ctx, req).Wait(ctx) },
		"AskSync":         func(req *int) (*int, error) { return m.AskSync(ctx, req) },
		"OnComplete": func(req *int) (reply *int, err error) {
			m.Ask(ctx, req).OnComplete(func(r *int, e error) { reply, err = r, e })
			return reply, err
		},
	}
	for name, verb := range verbs {
		replies := name == "Ask" || name == "AskSync" || name == "OnComplete"
		got = nil
		req := 21
		reply, err := verb(&req)
		if err != nil || replies && (reply == nil || *reply != 42) || len(got) != 1 || got[0] != 21 {
			t.Errorf("%s gave %v, %v, and the function was called with %v", name, reply, err, got)
		}
		got = nil
		req = -1
		if reply, err := verb(&req); reply != nil || !errors.Is(err, refused) || len(got) != 1 {
			t.Errorf("%s gave %v, %v, want that it was refused", name, reply, err)
		}
	}
}

// TestErrorsNameTheEndpoint: also where there is a Ref, and nobody who carries messages.
func TestErrorsNameTheEndpoint(t *testing.T) {
	ref, err := endpoint.NewRef("worker", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	m := endpoint.NewMethod[parleyv1.Ref, parleyv1.Ref](endpoint.NewBound(ref, nil), "p.S/M")
	var e *endpoint.Error
	if err := m.Send(t.Context(), new(parleyv1.Ref)); !errors.As(err, &e) || e.Endpoint != "worker" || e.Method != "p.S/M" {
		t.Errorf("got %v, want an error that names the endpoint and the method", err)
	}
}
