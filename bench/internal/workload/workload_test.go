package workload

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

func TestMessagesHaveTheirSizeAndDiffer(t *testing.T) {
	for _, c := range []struct{ bytes, different int }{
		{0, 1}, {1, 10}, {3, 1100}, {64, 2 * Outstanding}, {1 << 10, 2 * Outstanding}, {64 << 10, 256}, {1 << 20, 16}, {32 << 20, 1},
	} {
		m := NewMessages(c.bytes)
		different := map[string]bool{}
		for i := range 2*c.different + 1 {
			p := m.Payload(i)
			if len(p) != c.bytes || m.Request(i).GetMsg() != p {
				t.Fatalf("%d bytes: payload %d has %d, its request %d", c.bytes, i, len(p), len(m.Request(i).GetMsg()))
			}
			different[p] = true
		}
		if len(different) != c.different || m.Bytes() != c.bytes {
			t.Errorf("%d bytes: %d different payloads, want %d", c.bytes, len(different), c.different)
		}
	}
}

func TestReplyToAnotherRequestIsReported(t *testing.T) {
	for _, bytes := range []int{0, 1, 64} {
		m := NewMessages(bytes)
		if err := m.CheckReply(1, Echo(m.Request(1))); err != nil {
			t.Errorf("%d bytes: %v", bytes, err)
		}
		if err := m.CheckReply(1, &sayhiv1.HiReply{Msg: m.Payload(1) + "x"}); err == nil {
			t.Errorf("%d bytes: a reply that is too long is not reported", bytes)
		}
		if err := m.CheckReply(1, Echo(m.Request(2))); (err == nil) != (bytes == 0) {
			t.Errorf("%d bytes: reply to another request: %v", bytes, err)
		}
	}
}

func TestCallersMakeEachCallOnce(t *testing.T) {
	m := NewMessages(64)
	for _, callers := range []int{1, 7} {
		var called [10]atomic.Int32
		err := RunCallers(t.Context(), callers, len(called), m, func(int) (Call, error) {
			return func(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
				for i := range called {
					if m.Payload(i) == r.GetMsg() {
						called[i].Add(1)
					}
				}
				return Echo(r), nil
			}, nil
		})
		if err != nil {
			t.Error(err)
		}
		for i := range called {
			if n := called[i].Load(); n != 1 {
				t.Errorf("%d callers: call %d was made %d times", callers, i, n)
			}
		}
	}
}

func TestCallersReportWhatFails(t *testing.T) {
	broken := errors.New("broken")
	for name, caller := range map[string]func(int) (Call, error){
		"caller": func(int) (Call, error) { return nil, broken },
		"call": func(int) (Call, error) {
			return func(context.Context, *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) { return nil, broken }, nil
		},
	} {
		if err := RunCallers(t.Context(), 2, 3, NewMessages(0), caller); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSinkReportsWhatIsWrong(t *testing.T) {
	m := NewMessages(64)
	for name, messages := range map[string][]int{
		"order":     {1, 0, 2},
		"duplicate": {0, 1, 1},
		"too few":   {0, 1},
		"too many":  {0, 1, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var s Sink
			s.Expect(3, m)
			for _, i := range messages {
				s.Receive(m.Request(i))
			}
			if err := s.Check(); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestSinkReportsWhatNobodyExpected(t *testing.T) {
	var s Sink
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	s.Receive(NewMessages(64).Request(0))
	if err := s.Check(); err == nil {
		t.Error("no error")
	}
}

func TestSinkWaitsForAllMessagesUntilItsContextEnds(t *testing.T) {
	m := NewMessages(1)
	var s Sink
	s.Expect(2, m)
	s.Receive(m.Request(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 messages of 2") {
		t.Errorf("got %v", err)
	}
	s.Receive(m.Request(1))
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
