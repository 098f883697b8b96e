package rawtcp

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// small are shapes that do not divide the numbers of messages in the tests.
var small = Shapes{Ask64: Shape{7, 700, 640}, AskPipe: Shape{300, 30_000, 27_000}, Send: Shape{400, 40_000, 0}}

func TestFloorsMoveEveryMessage(t *testing.T) {
	for _, f := range Floors(small, workload.NewMessages(64)) {
		t.Run(f.Name(), func(t *testing.T) {
			for _, n := range []int{1, 6, 7, 8, 5_003} {
				if err := f.Run(t.Context(), n); err != nil {
					t.Errorf("%d messages: %v", n, err)
				}
			}
		})
	}
}

func TestBatchesLargerThanTheNumberOfCallersGo(t *testing.T) {
	s := Shapes{Ask64: Shape{3 * numCallers, 20_000, 20_000}, AskPipe: small.AskPipe, Send: small.Send}
	for _, f := range Floors(s, workload.NewMessages(64)) {
		if err := f.Run(t.Context(), 1_001); err != nil {
			t.Error(err)
		}
	}
}

func TestFloorsEndWithTheirContext(t *testing.T) {
	for _, f := range Floors(small, workload.NewMessages(64)) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Run(ctx, 1<<40); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", f.Name(), err)
		}
	}
}

func TestBatchWithoutRoomForItsMessagesIsAnError(t *testing.T) {
	s := Shapes{Ask64: Shape{7, 100, 640}, AskPipe: Shape{7, 700, 100}, Send: Shape{7, 100, 0}}
	for _, f := range Floors(s, workload.NewMessages(64)) {
		failed := f.Run(t.Context(), 20) != nil
		if codec := f.Name() != "ask64/tcp" && f.Name() != "askpipe/tcp" && f.Name() != "send/tcp"; failed != codec {
			t.Errorf("%s: failed is %v", f.Name(), failed)
		}
	}
}

func TestOtherMessagesAreReported(t *testing.T) {
	messages := workload.NewMessages(64)
	tr := traffic{Shape{2, 300, 300}, true, messages}
	server, client := io.Pipe()
	defer server.Close()
	go func() { client.CloseWithError(tr.ask(client, make([]byte, 300), 1, 3)) }()
	if err := tr.drain(server, 2); err == nil {
		t.Error("messages 1 and 2 are taken for 0 and 1")
	}
	batch, err := appendMessage(make([]byte, 0, 100), workload.Echo(messages.Request(1)))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := nextMessage(&batch)
	if err != nil || tr.checkReply(encoded, 1) != nil || tr.checkReply(encoded, 2) == nil {
		t.Errorf("the reply to message 1 is taken for that to 2, or not for its own: %v", err)
	}
}

func TestObservedBatchesHoldTheirMessages(t *testing.T) {
	messages := workload.NewMessages(64)
	s, err := Observe(t.Context(), 6_000, messages)
	if err != nil {
		t.Fatal(err)
	}
	if s.Ask64.Messages > numCallers || s.AskPipe.Messages > workload.Outstanding || s.Send.Back != 0 || s.Ask64.Back == 0 {
		t.Errorf("got %+v", s)
	}
	for _, f := range Floors(s, messages) {
		if err := f.Run(t.Context(), 2*workload.Outstanding+1); err != nil {
			t.Error(err)
		}
	}
}
