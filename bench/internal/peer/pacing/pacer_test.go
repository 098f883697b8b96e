package pacing

import (
	"context"
	"errors"
	"testing"
)

const windowBytes = 64 << 10

// receiver counts the marks that it is sent, and those that are waited for.
type receiver struct {
	marked, awaited int
	err             error // of waiting
}

func (r *receiver) mark(context.Context) (func(context.Context) error, error) {
	r.marked++
	return func(context.Context) error {
		r.awaited++
		return r.err
	}, nil
}

func TestTwoWindowsAreUnderway(t *testing.T) {
	for name, payload := range map[string]int{"empty": 0, "small": 64, "large": windowBytes} {
		t.Run(name, func(t *testing.T) {
			window := max(1, windowBytes/(messageBytes+payload))
			r := &receiver{}
			p := New(windowBytes, r.mark)
			for i := range 3*window + window/2 {
				if err := p.Sent(t.Context(), payload); err != nil {
					t.Fatal(err)
				}
				marked := (i + 1) / window
				if r.marked != marked || r.awaited != max(0, marked-1) {
					t.Fatalf("%d messages: %d marks of which %d were awaited, want %d and one less", i+1, r.marked, r.awaited, marked)
				}
			}
			for range 2 {
				if err := p.Flush(t.Context()); err != nil || r.awaited != 3 {
					t.Fatalf("flush: error %v, %d marks awaited, want 3", err, r.awaited)
				}
			}
		})
	}
}

func TestErrorsOfMarksAreReported(t *testing.T) {
	r := &receiver{err: errors.New("lost")}
	p := New(windowBytes, r.mark)
	if err := p.Sent(t.Context(), windowBytes); err != nil {
		t.Errorf("the first window: %v", err)
	}
	if err := p.Sent(t.Context(), windowBytes); !errors.Is(err, r.err) {
		t.Errorf("the second window: got %v, want %v", err, r.err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, r.err) {
		t.Errorf("flush: got %v, want %v", err, r.err)
	}
	failing := New(windowBytes, func(context.Context) (func(context.Context) error, error) { return nil, r.err })
	if err := failing.Sent(t.Context(), windowBytes); !errors.Is(err, r.err) {
		t.Errorf("a mark that fails: got %v, want %v", err, r.err)
	}
}
