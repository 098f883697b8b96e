package wire

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// requireAllocs checks how many allocations a call of f makes.
func requireAllocs(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(100, f); got != want {
		t.Errorf("%s: %v allocations, want %v", what, got, want)
	}
}

// fastPath has the envelopes whose number grows with that of messages.
func fastPath() []*Envelope {
	payload := make([]byte, 64)
	return []*Envelope{
		{Kind: KindAsk, ID: 1 << 30, Route: 1, RemainingMicros: 1e8, Encoding: Proto, Payload: payload},
		{Kind: KindSend, Route: 1, Encoding: Proto, Payload: payload},
		{Kind: KindReply, ID: 1 << 30, Encoding: Proto, Payload: payload},
		{Kind: KindCancel, ID: 1 << 30},
		{Kind: KindChunk, ID: 7, Payload: payload},
		{Kind: KindMessage, ID: 7, Encoding: Proto, Payload: payload},
		{Kind: KindWindow, ID: 7, WindowBytes: 1 << 20},
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	buffer := make([]byte, 0, 4096)
	for _, e := range fastPath() {
		requireAllocs(t, "Append of "+e.Kind.String(), 0, func() { e.Append(buffer) })
		content := encode(t, e)
		var got Envelope
		requireAllocs(t, "Decode of "+e.Kind.String(), 0, func() {
			if err := got.Decode(content); err != nil {
				t.Fatal(err)
			}
		})
	}
	text := &Envelope{Kind: KindAsk, ID: 1, Text: true, Target: Target{"env", "worker", "package.Service/Method"},
		Metadata: []Metadata{{"key", "value"}, {"key-bin", "value"}}, Encoding: Proto, Payload: make([]byte, 64)}
	requireAllocs(t, "Append of ask with text and metadata", 0, func() { text.Append(buffer) })

	var frame []byte
	for _, e := range fastPath() {
		frame = e.Append(frame)
	}
	head := &Head{Number: 1 << 20, Ack: 1 << 20, Credits: []Credit{{Endpoint: "worker", Messages: 1 << 20, Bytes: 1 << 30}}}
	requireAllocs(t, "AppendHead", 0, func() { AppendHead(buffer, head) })
	frame = AppendHead(frame, &Head{Number: 1 << 20, Ack: 1 << 20})
	var h Head
	requireAllocs(t, "ParseHead", 0, func() {
		if err := ParseHead(frame, &h); err != nil {
			t.Fatal(err)
		}
	})
	requireAllocs(t, "Body", 0, func() {
		body := Body(frame)
		for _, ok := body.Next(); ok; _, ok = body.Next() {
		}
	})

	sent, received := NewFrame(frame), new(Frame)
	requireAllocs(t, "MarshalAppend of a frame", 0, func() {
		if _, err := (proto.MarshalOptions{}).MarshalAppend(buffer, sent); err != nil {
			t.Fatal(err)
		}
	})
	requireAllocs(t, "Unmarshal of a frame whose buffer is released", 0, func() {
		if err := proto.Unmarshal(frame, received); err != nil {
			t.Fatal(err)
		}
		received.Take().Release()
	})
}
