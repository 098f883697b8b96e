package semantics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func TestOrder(t *testing.T) {
	bothWays(t, "G7 order of sends and asks across the connect", func(t *testing.T, w *world) {
		const goroutines, messages = 4, 300
		p := newProbe(t)
		own := register(t, w.host, "order", p)
		ref := bind(t, w.caller, own.Ref()) // no lookup: the first message connects
		ctx := within(t)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				var futures []*endpoint.Future[parleytestv1.EchoResponse]
				for i := range messages {
					req := &parleytestv1.EchoRequest{Text: fmt.Sprintf("%d:%04d", g, i)}
					switch i % 3 {
					case 0:
						if err := ref.Echo.Send(ctx, req); err != nil {
							t.Errorf("Send %d of %d: %v", i, g, err)
						}
					default:
						futures = append(futures, ref.Echo.Ask(ctx, req))
					}
				}
				for _, f := range futures {
					if _, err := f.Wait(ctx); err != nil {
						t.Errorf("an ask of %d: %v", g, err)
					}
				}
			})
		}
		wg.Wait()
		texts := p.journal.all()
		for g := range goroutines {
			prefix := fmt.Sprintf("%d:", g)
			got := slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !strings.HasPrefix(s, prefix) })
			if len(got) != messages || !slices.IsSorted(got) {
				t.Errorf("of goroutine %d came %d messages, sorted: %t; want %d in order", g, len(got), slices.IsSorted(got), messages)
			}
		}
	})
}

func TestRestart(t *testing.T) {
	run(t, "G8 server restart on the same port", func(t *testing.T) {
		client := newEnv(t)
		observer := newProbe(t)
		register(t, client, "observer", observer)

		first := listen(t)
		address := first.Address()
		ref := lookup(t, client, register(t, first, "echo", newProbe(t)).Ref().String())
		echo(t, ref, "to the first")
		if err := first.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
		observer.journal.await(t, "disconnected "+address)

		_, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "to nobody"})
		if e := wantError(t, err, endpoint.ErrUnreachable); e.Execution != endpoint.NotExecuted {
			t.Errorf("%s, want not executed", e.Execution)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "to whoever comes"}, grpc.WaitForReady(true))
			waiting <- err
		}()

		// Nothing is registered before the address answers, so the new Env is there before its endpoint.
		p := newProbe(t)
		second := listenAt(t, address, parley.WithPortRetries(0))
		register(t, second, "echo", p)
		echo(t, ref, "to the second")
		if err := await(t, waiting, "answer"); err != nil && status.Code(err) != codes.NotFound {
			t.Errorf("an ask that waits for a peer: %v", err)
		}
		if second.ID() == first.ID() {
			t.Error("both Envs have the same id")
		}
		if n := p.journal.countOf("to the first") + p.journal.countOf("to nobody"); n != 0 {
			t.Errorf("the second got %d messages that were for the first: %q", n, p.journal.all())
		}
	})
}

// senderOf makes p's Echo answer with the Env id of the Env that the message came from.
func senderOf(p *probe) *probe {
	p.echo = func(ctx context.Context, _ string) (string, error) {
		sender, _ := endpoint.Sender(ctx)
		return sender.EnvID, nil
	}
	return p
}

// keep makes the endpoint of keeper keep a Ref.
func keep(t *testing.T, keeper parleytestv1parley.ProbeRef, ref endpoint.Ref) {
	t.Helper()
	if _, err := keeper.KeepRef.AskSync(within(t), &parleytestv1.KeepRefRequest{Ref: ref.Proto()}); err != nil {
		t.Fatalf("KeepRef(%v): %v", ref, err)
	}
}

// kept returns the Ref that keeper hands on.
func kept(t *testing.T, keeper parleytestv1parley.ProbeRef) endpoint.Ref {
	t.Helper()
	r, err := keeper.Kept.AskSync(within(t), nil)
	if err != nil {
		t.Fatalf("Kept: %v", err)
	}
	ref, err := endpoint.RefFromProto(r.GetRef())
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// askThrough asks the Ref that keeper keeps.
func askThrough(t *testing.T, keeper parleytestv1parley.ProbeRef, text string) (string, error) {
	t.Helper()
	r, err := keeper.AskThrough.AskSync(within(t), &parleytestv1.AskThroughRequest{Text: text})
	return r.GetText(), err
}

func TestThirdParty(t *testing.T) {
	run(t, "G9 third-party Ref/in server mode", func(t *testing.T) {
		a, b, c := listen(t), listen(t), listen(t)
		atA := register(t, a, "target", senderOf(newProbe(t)))
		wrong := newProbe(t)
		register(t, b, "target", wrong) // B has an endpoint of that name, too
		atB := lookup(t, c, register(t, b, "keeper", newProbe(t)).Ref().String())
		atC := register(t, c, "keeper", newProbe(t))

		keep(t, atB, atA.Ref()) // C hands A's Ref to B
		if got, err := askThrough(t, atB, "hello"); err != nil || got != b.ID() {
			t.Errorf("A heard from %q, %v; want B, %s, by itself", got, err, b.ID())
		}
		keep(t, atC, kept(t, atB)) // and B hands it back
		if got, err := askThrough(t, atC, "hello"); err != nil || got != c.ID() {
			t.Errorf("A heard from %q, %v; want C, %s, by itself", got, err, c.ID())
		}
		if n := wrong.journal.countOf("hello"); n != 0 {
			t.Errorf("%d messages came to the endpoint of that name at B", n)
		}
	})

	run(t, "G9 third-party Ref/in client mode", func(t *testing.T) {
		server, host, third := listen(t), newEnv(t), newEnv(t)
		target := register(t, host, "target", senderOf(newProbe(t)))
		register(t, server, "target", newProbe(t)) // the relay has an endpoint of that name, too
		keeper := register(t, server, "keeper", newProbe(t))

		if target.Ref().Address() != "" || target.Ref().EnvID() != host.ID() {
			t.Errorf("the Ref of an endpoint in client mode is %v, want its Env id %s", target.Ref(), host.ID())
		}
		// Nobody has a way to it yet.
		_, err := bind(t, third, target.Ref()).Echo.AskSync(within(t), nil)
		if e := wantError(t, err, endpoint.ErrNotHere); e.Execution != endpoint.NotExecuted {
			t.Errorf("%s, want not executed", e.Execution)
		}
		keep(t, lookup(t, host, keeper.Ref().String()), target.Ref())
		if got, err := askThrough(t, keeper, "hello"); err != nil || got != server.ID() {
			t.Errorf("the target heard from %q, %v; want the server, %s", got, err, server.ID())
		}

		handed := kept(t, lookup(t, third, keeper.Ref().String()))
		if handed.Via() != server.Address() || !handed.Same(target.Ref()) {
			t.Errorf("the server hands on %v via %q, want %v via %s", handed, handed.Via(), target.Ref(), server.Address())
		}
		relayed := bind(t, third, handed)
		if r, err := relayed.Echo.AskSync(within(t), nil); err != nil || r.GetText() != server.ID() {
			t.Errorf("the target heard from %q, %v; want the relay, %s", r.GetText(), err, server.ID())
		}
		if _, err := third.LookupRef(within(t), handed, parleytestv1parley.ProbeName); err != nil {
			t.Errorf("a lookup through the relay: %v", err)
		}
		_, err = relayed.Fail.AskSync(within(t), &parleytestv1.FailRequest{Text: "Oops"})
		if st := status.Convert(err); st.Code() != codes.FailedPrecondition || !strings.Contains(st.Message(), "Oops") {
			t.Errorf("an error through the relay: %v, want what the handler answered", err)
		}

		observer := newProbe(t)
		register(t, server, "observer", observer)
		if err := host.Shutdown(within(t)); err != nil {
			t.Fatal(err)
		}
		observer.journal.await(t, "disconnected ")
		_, err = relayed.Echo.AskSync(within(t), nil)
		if e := wantError(t, err, endpoint.ErrNotHere); e.Execution != endpoint.NotExecuted {
			t.Errorf("%s, want not executed", e.Execution)
		}
	})

	run(t, "G10 two client-mode peers with the same endpoint name", func(t *testing.T) {
		server, third := listen(t), newEnv(t)
		keepers := []parleytestv1parley.ProbeRef{register(t, server, "keeper-0", newProbe(t)), register(t, server, "keeper-1", newProbe(t))}
		var refs []endpoint.Ref
		for i, keeper := range keepers {
			peer := newEnv(t)
			p := newProbe(t)
			p.echo = func(_ context.Context, text string) (string, error) {
				return fmt.Sprintf("%s from worker %d", text, i), nil
			}
			worker := register(t, peer, "worker", p)
			refs = append(refs, worker.Ref())
			keep(t, lookup(t, peer, keeper.Ref().String()), worker.Ref())
		}
		if refs[0] == refs[1] || refs[0].Same(refs[1]) || refs[0].String() == refs[1].String() {
			t.Errorf("the Refs %v and %v are taken for the same", refs[0], refs[1])
		}
		for i, keeper := range keepers {
			want := fmt.Sprintf("hello from worker %d", i)
			if got, err := askThrough(t, keeper, "hello"); err != nil || got != want {
				t.Errorf("asked by the server: %q, %v; want %q", got, err, want)
			}
			r, err := bind(t, third, kept(t, lookup(t, third, keeper.Ref().String()))).Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "hello"})
			if err != nil || r.GetText() != want {
				t.Errorf("asked through the server: %q, %v; want %q", r.GetText(), err, want)
			}
		}
	})
}

func TestUndecodable(t *testing.T) {
	garbage := []byte{0x0a, 0xff} // field 1, and a length that never ends

	run(t, "G11 undecodable request and reply/request", func(t *testing.T) {
		env := listen(t)
		p := newProbe(t)
		register(t, env, "echo", p)
		s := newStranger(t, env, "")
		good := encode(t, &parleytestv1.EchoRequest{Text: "good"})
		s.say(ask(1, "echo", "Echo", good), ask(2, "echo", "Echo", garbage), ask(3, "echo", "Echo", good))
		s.say(ask(4, "echo", "Echo", good))
		for i, r := range hear(s, 4, (*parleyv1.Envelope).GetReply) {
			want := codes.OK
			if r.GetId() == 2 {
				want = codes.InvalidArgument
				e := endpoint.ErrorFromStatus(r.GetStatus())
				if e.Reason != endpoint.ReasonUndecodable || e.Execution != endpoint.NotExecuted {
					t.Errorf("ask 2: %v, %s; want %v, not executed", e.Reason, e.Execution, endpoint.ReasonUndecodable)
				}
			}
			if r.GetId() != uint64(i+1) || codes.Code(r.GetStatus().GetCode()) != want {
				t.Errorf("reply %d is to ask %d, %s; want %s", i+1, r.GetId(), codes.Code(r.GetStatus().GetCode()), want)
			}
		}

		s.say(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Send{Send: &parleyv1.Send{
			Destination: &parleyv1.Send_Target{Target: &parleyv1.Target{Endpoint: "echo", Method: parleytestv1parley.ProbeEchoMethod}},
			Payload:     &parleyv1.Send_Proto{Proto: garbage},
		}}}, ask(5, "echo", "Echo", good))
		hear(s, 1, (*parleyv1.Envelope).GetReply)
		wantError(t, await(t, p.errs, "OnError"), endpoint.ErrUndecodable)
		if c := env.Counters(); c.Dropped != 1 || c.Sessions != 1 {
			t.Errorf("%+v, want 1 dropped message and 1 session", c)
		}
	})

	run(t, "G11 undecodable request and reply/reply", func(t *testing.T) {
		env := listen(t)
		s := newStranger(t, env, "")
		ref := bind(t, env, s.ref("stranger"))
		var futures []*endpoint.Future[parleytestv1.EchoResponse]
		for range 3 {
			futures = append(futures, ref.Echo.Ask(within(t), nil))
		}
		asked := hear(s, 3, (*parleyv1.Envelope).GetAsk)
		good := encode(t, &parleytestv1.EchoResponse{Text: "good"})
		s.say(reply(asked[1].GetId(), garbage))
		s.say(reply(asked[0].GetId(), good), reply(asked[2].GetId(), good))
		for i, f := range futures {
			r, err := f.Wait(within(t))
			if i != 1 {
				if err != nil || r.GetText() != "good" {
					t.Errorf("ask %d: %q, %v; want good", i, r.GetText(), err)
				}
				continue
			}
			e := wantError(t, err, endpoint.ErrUndecodable)
			if e.Code() != codes.Internal || e.Execution != endpoint.MayHaveExecuted {
				t.Errorf("%s, %s; want Internal, may have executed", e.Code(), e.Execution)
			}
		}
		if c := env.Counters(); c.PendingAsks != 0 || c.Sessions != 1 {
			t.Errorf("%+v, want no pending ask and 1 session", c)
		}
	})
}
