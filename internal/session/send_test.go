package session

import (
	"slices"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestUnacknowledgedSends: each send is reported with what is known of it, and nothing that was acknowledged.
func TestUnacknowledgedSends(t *testing.T) {
	p := newResuming(t)
	s := p.side[0]
	post := func(name string, payload []byte) {
		t.Helper()
		if ok, err := s.Post(sending(name, payload)); !ok {
			t.Fatal(err)
		}
	}
	post("acknowledged", nil)
	p.settle()
	p.now = p.now.Add(ackDelay)
	p.side[1].Tick(p.now)
	p.settle()
	large := make([]byte, 3*MostWhole)
	post("written", []byte("text"))
	post("half", large)
	s.NextFrame(p.now)
	s.NextFrame(p.now) // the first chunk
	if ok, err := s.Post(asking("ask", nil)); !ok {
		t.Fatal(err)
	}
	post("queued", []byte("more"))
	want := []struct {
		name      string
		size      int
		execution endpoint.Execution
	}{
		{"written", 4, endpoint.MayHaveExecuted},
		{"half", len(large), endpoint.NotExecuted},
		{"queued", 4, endpoint.NotExecuted},
	}
	got := s.UnacknowledgedSends()
	if len(got) != len(want) {
		t.Fatalf("%d sends: %+v", len(got), got)
	}
	for i, w := range want {
		if g := got[i]; g.Target.Endpoint != w.name || len(g.Payload) != w.size || g.Execution != w.execution {
			t.Errorf("send %d: %s, %d bytes, %v; want %+v", i, g.Target.Endpoint, len(g.Payload), g.Execution, w)
		}
	}
	s.End(errEnded)
	if got := s.UnacknowledgedSends(); len(got) != 0 {
		t.Errorf("%d sends are reported again", len(got))
	}
}

// TestUnacknowledgedChunks: a large send is reported until its last chunk is acknowledged, though its first frame was.
func TestUnacknowledgedChunks(t *testing.T) {
	payload := make([]byte, 2*chunkBytes)
	md := []wire.Metadata{{Key: "k", Value: "v"}}
	for written, want := range []endpoint.Execution{endpoint.NotExecuted, endpoint.NotExecuted, endpoint.NotExecuted, endpoint.MayHaveExecuted} {
		s := New(limited(), limited())
		s.Resume()
		q := sending("large", payload)
		q.Metadata = md
		if ok, err := s.Post(q); !ok {
			t.Fatal(err)
		}
		for range written {
			s.NextFrame(epoch)
		}
		for acked := range uint64(min(written, 2) + 1) {
			s.acknowledge(epoch, acked)
			got := s.UnacknowledgedSends()
			if len(got) != 1 || got[0].Target != q.Target || !slices.Equal(got[0].Metadata, md) || got[0].Execution != want {
				t.Errorf("with %d frames written and %d acknowledged %+v is reported, want one send, %v", written, acked, got, want)
			} else if whole := len(got[0].Payload) == len(payload); whole != (want == endpoint.NotExecuted) {
				t.Errorf("with %d frames written %d bytes of it are reported", written, len(got[0].Payload))
			}
		}
		for s.NextFrame(epoch) != nil {
		}
		s.acknowledge(epoch, 3)
		if got := s.UnacknowledgedSends(); len(got) != 0 {
			t.Errorf("when all is acknowledged %+v is reported", got)
		}
	}
}
