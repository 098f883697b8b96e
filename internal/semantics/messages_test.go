package semantics

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
)

func TestMessages(t *testing.T) {
	sendArrives := func(t *testing.T, w *world) {
		p := newProbe(t)
		send(t, w.register(t, "send", p), "hello")
		p.journal.await(t, "hello")
	}
	locally(t, "T1 send a message locally", sendArrives)
	remotely(t, "T2 send a message remotely", func(t *testing.T, w *world) {
		sendArrives(t, w)
		if err := w.caller.Shutdown(within(t)); err != nil {
			t.Errorf("Shutdown of the caller: %v", err)
		}
		if err := w.caller.Wait(within(t)); err != nil {
			t.Errorf("Wait of the caller: %v", err)
		}
	})

	bothWays(t, "T3 send a Ref", func(t *testing.T, w *world) {
		ref := w.register(t, "hello", newProbe(t))
		hello, err := ref.Hello.AskSync(within(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		answered, err := endpoint.RefFromProto(hello.GetRef())
		if err != nil {
			t.Fatal(err)
		}
		if answered != ref.Ref() {
			t.Errorf("the endpoint answered %v as its own Ref, and was asked at %v", answered, ref.Ref())
		}
		echo(t, bind(t, w.caller, answered), "Echo")
	})

	askIsEchoed := func(t *testing.T, w *world) { echo(t, w.register(t, "ask", newProbe(t)), "hello") }
	locally(t, "T4 ask a message locally", askIsEchoed)
	remotely(t, "T5 ask a message remotely", askIsEchoed)

	bothWays(t, "T15 call receive in sequence", func(t *testing.T, w *world) {
		const rounds, senders, messages = 100, 10, 100
		for round := range rounds {
			own := register(t, w.host, fmt.Sprintf("round-%d", round), newProbe(t))
			ref := bind(t, w.caller, own.Ref())
			ctx := within(t)
			var wg sync.WaitGroup
			for range senders {
				wg.Go(func() {
					for range messages {
						if err := ref.Count.Send(ctx, &parleytestv1.CountRequest{Add: 1}); err != nil {
							t.Errorf("round %d: Send: %v", round, err)
							return
						}
					}
				})
			}
			wg.Wait()
			// The ask is sent after all of them, so it arrives after all of them.
			r, err := ref.Count.AskSync(ctx, nil)
			if err != nil || r.GetSum() != senders*messages {
				t.Fatalf("round %d: the sum is %d, %v; want %d", round, r.GetSum(), err, senders*messages)
			}
			if err := w.host.Stop(ctx, own.Ref()); err != nil {
				t.Fatalf("round %d: Stop: %v", round, err)
			}
		}
	})

	futureIsAnswered := func(t *testing.T, w *world) {
		p := newProbe(t)
		p.echo = func(context.Context, string) (string, error) { return "ack", nil }
		ref := w.register(t, "sendWithReply", p)
		f := ref.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: "Hi"})
		r, err := f.Wait(within(t))
		if err != nil || r.GetText() != "ack" {
			t.Fatalf("got %q, %v; want ack", r.GetText(), err)
		}
		if err := w.host.Stop(within(t), ref.Ref()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	locally(t, "T17 sendWithReply", futureIsAnswered)
	remotely(t, "T18 sendWithReply remotely", futureIsAnswered)

	bothWays(t, "T36 isolated endpoints", func(t *testing.T, w *world) {
		blocked := newProbe(t)
		slow, quick := w.register(t, "slow", blocked), w.register(t, "quick", newProbe(t))
		f := slow.Block.Ask(within(t), &parleytestv1.BlockRequest{Text: "first"})
		await(t, blocked.block.entered, "handler")
		echo(t, quick, "second")
		select {
		case <-f.Done():
			t.Error("the blocked endpoint has answered")
		default:
		}
		// An endpoint that is busy is found all the same.
		lookup(t, w.caller, slow.Ref().String())
		blocked.block.open()
		if r, err := f.Wait(within(t)); err != nil || r.GetText() != "first" {
			t.Errorf("got %q, %v; want first", r.GetText(), err)
		}
	})
}

// TestHeader has U3: what a message says beside its content arrives, and so do messages without it.
func TestHeader(t *testing.T) {
	type received struct {
		sender endpoint.Peer
		self   endpoint.Ref
		text   string
	}
	hear := func(t *testing.T) (*probe, chan received) {
		got := make(chan received, 1)
		p := newProbe(t)
		p.echo = func(ctx context.Context, text string) (string, error) {
			sender, _ := endpoint.Sender(ctx)
			self, _ := endpoint.Self(ctx)
			got <- received{sender, self, text}
			return text, nil
		}
		return p, got
	}
	run(t, "U3 RequestMessage serialization", func(t *testing.T) {
		host, peer, client := listen(t), listen(t), newEnv(t)
		p, heard := hear(t)
		ref := register(t, host, "receiver", p).Ref()

		send(t, bind(t, peer, ref), "foo")
		got := await(t, heard, "message of an Env that listens")
		if got.sender.Address != peer.Address() || got.sender.EnvID != peer.ID() || got.self != ref || got.text != "foo" {
			t.Errorf("got %+v, want the sender %s at %s, the receiver %v and foo", got, peer.ID(), peer.Address(), ref)
		}

		send(t, bind(t, client, ref), "foo")
		got = await(t, heard, "message of an Env in client mode")
		if got.sender.Address != "" || got.sender.Remote == "" || got.sender.EnvID != client.ID() || got.self != ref || got.text != "foo" {
			t.Errorf("got %+v, want the sender %s with no address but a socket's, the receiver %v and foo", got, client.ID(), ref)
		}

		if err := bind(t, client, ref).Echo.Send(within(t), nil); err != nil {
			t.Fatalf("Send(nil): %v", err)
		}
		if got = await(t, heard, "message without content"); got.self != ref || got.text != "" {
			t.Errorf("got %+v, want the receiver %v and no text", got, ref)
		}
	})
}
