package semantics

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
)

// TestUnreadFutures: a small reply keeps no more than itself.
func TestUnreadFutures(t *testing.T) {
	server := listen(t)
	p := newProbe(t)
	big := strings.Repeat("x", 15000)
	p.echo = func(_ context.Context, text string) (string, error) {
		if text == "tiny" {
			return "t", nil
		}
		return big, nil
	}
	own := register(t, server, "p", p)
	ref := lookup(t, newEnv(t), own.Ref().String())
	before := heap()
	var kept []*endpoint.Future[parleytestv1.EchoResponse]
	for range 2000 {
		var fs []*endpoint.Future[parleytestv1.EchoResponse]
		for i := range 4 {
			if i == 2 {
				kept = append(kept, ref.Echo.Ask(t.Context(), &parleytestv1.EchoRequest{Text: "tiny"}))
			}
			fs = append(fs, ref.Echo.Ask(t.Context(), nil))
		}
		for _, f := range fs {
			if _, err := f.Wait(within(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("%d futures with a reply of 1 byte that nobody has waited for keep %d MiB", len(kept), grown>>20)
	}
	for _, f := range kept {
		if _, err := f.Wait(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFramesKeptByTinySends: a message that waits in a mailbox keeps no more than its window counts.
func TestFramesKeptByTinySends(t *testing.T) {
	server := listen(t)
	client := newEnv(t)
	slow := newProbe(t)
	slowRef := register(t, server, "slow", slow)
	toSlow := lookup(t, client, slowRef.Ref().String())
	if err := toSlow.Block.Send(within(t), nil); err != nil {
		t.Fatal(err)
	}
	await(t, slow.block.entered, "handler")
	big := strings.Repeat("x", 15000)
	e := newProbe(t)
	var n atomic.Int64
	e.echo = func(ctx context.Context, text string) (string, error) {
		if n.Add(1)%4 == 0 { // one tiny send for four replies
			c, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := toSlow.Count.TrySend(c, &parleytestv1.CountRequest{Add: 1}); err != nil {
				return "", err
			}
		}
		return big, nil
	}
	own := register(t, client, "echo", e)
	keeper := register(t, server, "keeper", newProbe(t))
	keep(t, lookup(t, client, keeper.Ref().String()), own.Ref())
	back := bind(t, server, own.Ref())
	before := heap()
	for i := 0; i < 6000; i += 8 {
		var fs []*endpoint.Future[parleytestv1.EchoResponse]
		for range 8 {
			fs = append(fs, back.Echo.Ask(within(t), &parleytestv1.EchoRequest{Text: "a"}))
		}
		for _, f := range fs {
			if _, err := f.Wait(within(t)); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	grown := heap() - before
	if grown > 21<<20 {
		t.Errorf("heap beyond windows plus 16 MiB: %d MiB", grown>>20)
	}
	slow.block.open()
}

// TestIdleSessionsKeepNothing: what the last message was made of is free when it has been handled.
func TestIdleSessionsKeepNothing(t *testing.T) {
	server := listen(t)
	p := newProbe(t)
	own := register(t, server, "p", p)
	before := heap()
	const n, size = 5, 16 << 20
	for i := range n {
		client := newEnv(t)
		ref := lookup(t, client, own.Ref().String())
		if _, err := ref.Blob.AskSync(within(t), &parleytestv1.BlobRequest{Payload: make([]byte, size)}); err != nil {
			t.Fatal(i, err)
		}
	}
	if grown := heap() - before; grown > size {
		t.Errorf("%d idle sessions after one answered ask of %d MiB each keep %d MiB", n, size>>20, grown>>20)
	}
}

// TestRelaysUsedUp: a client that sends to many names takes nothing from others.
func TestRelaysUsedUp(t *testing.T) {
	relay, target, greedy, good := listen(t), newEnv(t), newEnv(t), newEnv(t)
	own := register(t, target, "target", newProbe(t))
	keeper := register(t, relay, "keeper", newProbe(t))
	keep(t, lookup(t, target, keeper.Ref().String()), own.Ref())
	handed := kept(t, lookup(t, good, keeper.Ref().String()))
	echoRef := bind(t, good, handed)
	for i := range 4200 {
		r, err := endpoint.NewClientRef(fmt.Sprintf("no-%d", i), target.ID())
		if err == nil {
			r, err = r.WithVia(relay.Address())
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = bind(t, greedy, r).Echo.Send(within(t), &parleytestv1.EchoRequest{Text: "x"})
	}
	lookup(t, greedy, keeper.Ref().String())
	_, err := echoRef.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "hello"})
	if err != nil {
		t.Errorf("another client's relayed ask: %v", err)
	}
}
