package session

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/parley-rpc/parley/internal/wire"
)

// TestNothingLeftOver: whatever was written before, an envelope is what it would be as the first one. They are made in the same memory.
func TestNothingLeftOver(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	metadata := func() []wire.Metadata {
		if r.IntN(2) == 0 {
			return nil
		}
		return []wire.Metadata{{Key: "k", Value: "v"}}
	}
	size := func() int {
		if r.IntN(6) == 0 {
			return MostWhole + 1 + r.IntN(50_000)
		}
		return r.IntN(100)
	}
	for range 200 {
		l := limited(func(l *Limits) {
			l.Routes, l.Streams, l.Pending = 1+r.Uint32N(4), 100, 1000
			l.MailboxBytes, l.SessionBytes, l.TransferBytes, l.ReplayBytes, l.MessageBytes, l.FrameBytes = 1<<30, 1<<30, 1<<30, 1<<30, 1<<20, 4<<20
		})
		s := New(l, l)
		s.GiveReceipts()
		s.CarryStreams()
		var streams []*Stream
		for range 60 {
			var want wire.Envelope
			payload := bytes.Repeat([]byte("x"), size())
			switch r.IntN(4) {
			case 0, 1:
				p := sending(string(rune('a'+r.IntN(8))), payload)
				p.Metadata = metadata()
				if r.IntN(8) == 0 {
					p.Encoding = wire.JSON
				}
				want.Kind = wire.KindSend
				switch r.IntN(4) {
				case 0:
					p.Ask, want.Kind = &Ask{}, wire.KindAsk
				case 1:
					p.Ask, p.Receipt = &Ask{}, true
				case 2:
					p.Ask, want.Kind = &Ask{Stream: &Stream{}}, wire.KindHeaders
					p.Payload, p.Encoding = nil, wire.NoPayload
					streams = append(streams, p.Ask.Stream)
				}
				if p.Ask != nil && !p.Receipt && r.IntN(2) == 0 {
					p.Started, p.Deadline = epoch, epoch.Add(time.Second)
					want.RemainingMicros = 1_000_001
				}
				s.post(t, p)
				want.Metadata, want.Encoding, want.Payload, want.Route = p.Metadata, p.Encoding, p.Payload, p.Route.number
				if p.Ask != nil {
					want.ID = p.Ask.id
				}
				if want.Route == 0 {
					want.Text, want.Target = true, p.Target
				}
			case 2:
				s.in.open++
				reply := &Reply{ID: 1 + r.Uint64N(100), Payload: payload[:min(len(payload), 100)], Encoding: wire.Proto, Header: metadata(), Trailer: metadata()}
				if r.IntN(3) == 0 {
					reply.Payload, reply.Encoding, reply.Status = nil, wire.NoPayload, &spb.Status{Code: 3, Message: "m"}
				}
				s.Reply(reply)
				reply.fill(&want)
			default:
				if len(streams) == 0 {
					continue
				}
				st := streams[r.IntN(len(streams))]
				if ok, err := s.PostMessage(st, Message{Payload: payload, Encoding: wire.Proto}, nil); !ok {
					if err != nil {
						t.Fatal(err)
					}
					continue // its window is full
				}
				want = wire.Envelope{Kind: wire.KindMessage, ID: st.id, Encoding: wire.Proto, Payload: payload}
			}
			if len(want.Payload) > MostWhole && want.Encoding == wire.Proto {
				want.Encoding, want.Payload, want.Transfer, want.TransferSize = wire.Transfer, nil, s.out.lastTransfer, uint64(len(payload))
			}
			envelopes := wire.Body(s.out.open.body.Bytes)
			var last []byte
			for e, more := envelopes.Next(); more; e, more = envelopes.Next() {
				last = e
			}
			first := wire.Body(want.Append(nil))
			if e, _ := first.Next(); !bytes.Equal(last, e) {
				var got wire.Envelope
				t.Fatalf("%+v (%v), want %+v", got, got.Decode(last), want)
			}
			if e := s.out.envelope(); e.Metadata != nil || e.Trailer != nil || e.Payload != nil || e.Status != nil || e.Target != (wire.Target{}) {
				t.Fatalf("%+v is kept", e)
			}
			for s.NextFrame(epoch) != nil {
			}
		}
	}
}

// post posts p, for which there is room.
func (s *Session) post(t *testing.T, p *Posting) {
	t.Helper()
	if ok, err := s.Post(p); !ok {
		t.Fatal(err)
	}
}
