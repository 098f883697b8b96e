package endpoint

import (
	"errors"
	"log/slog"
	"testing"

	"google.golang.org/protobuf/proto"
)

// undecodable are the types of messages that cannot be decoded without a panic.
type undecodable struct{}

func (undecodable) message(any) proto.Message { return nil }
func (undecodable) newRes() any               { panic("on purpose") }
func (undecodable) asProto(any) proto.Message { return nil }

// TestDecodingPanics: who waits for a future whose reply cannot be decoded without a panic gets that, once, and an error afterwards.
func TestDecodingPanics(t *testing.T) {
	f := newFuture[struct{}](&methodCore{name: "s/m", messages: undecodable{}})
	f.ask.call = f.ask.core.acquire(&f.ask.over)
	f.ask.call.Complete(Response{})
	func() {
		defer func() {
			if v := recover(); v != "on purpose" {
				t.Errorf("recovered %v", v)
			}
		}()
		reply, err := f.Wait(t.Context())
		t.Errorf("Wait gave %v, %v", reply, err)
	}()
	if reply, err := f.Wait(t.Context()); reply != nil || !errors.Is(err, ErrUndecodable) {
		t.Errorf("Wait gave %v, %v afterwards, want ErrUndecodable", reply, err)
	}
}

// caller is a Caller that asks nobody.
type caller struct {
	Caller
	calls Calls
}

func (c *caller) Go(f func())   { f() }
func (c *caller) Calls() *Calls { return &c.calls }
func (c *caller) Peer() string  { return "nobody" }

// TestDecodingPanicsInOnComplete: a function of OnComplete gets the error.
func TestDecodingPanicsInOnComplete(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.DiscardHandler))
	f := newFuture[struct{}](&methodCore{name: "s/m", messages: undecodable{}, caller: &caller{}})
	f.ask.call = f.ask.core.acquire(&f.ask.over)
	f.ask.call.Complete(Response{})
	calls := 0
	f.OnComplete(func(reply *struct{}, err error) {
		calls++
		if reply != nil || !errors.Is(err, ErrUndecodable) {
			t.Errorf("got %v, %v, want ErrUndecodable", reply, err)
		}
	})
	if calls != 1 {
		t.Errorf("the function was called %d times", calls)
	}
}
