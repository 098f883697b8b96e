package link

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// Dial opens a stream on cc and a session on it. ctx bounds the opening only. Every error means that nothing was executed.
func Dial(ctx context.Context, cc grpc.ClientConnInterface, c *Config) (*Link, *endpoint.Error) {
	l, refusal, err := dial(ctx, cc, c, nil)
	if refusal.GetReason() == parleyv1.Refusal_REASON_DENIED {
		// The peer may be one that this Env has a session with, under another address.
		if token := c.Table.token(refusal.GetEnvId()); token != nil {
			l, _, err = dial(ctx, cc, c, token)
		}
	}
	return l, err
}

func dial(ctx context.Context, cc grpc.ClientConnInterface, c *Config, token []byte) (*Link, *parleyv1.Refusal, *endpoint.Error) {
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	fail := func(err error) (*Link, *parleyv1.Refusal, *endpoint.Error) {
		stop()
		cancel()
		return nil, nil, unreachable(ctx, err)
	}
	stream, err := cc.NewStream(streamCtx, &grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}, Method)
	if err != nil {
		return fail(err)
	}
	hello := &parleyv1.Hello{
		LowestRevision:  session.LowestRevision,
		HighestRevision: session.HighestRevision,
		Limits:          c.Limits.Proto(),
		EnvId:           c.EnvID,
		Address:         c.address(),
		WaitsForWelcome: true,
		Opening:         &parleyv1.Hello_New{New: &parleyv1.NewSession{Token: token}},
	}
	if err := stream.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: hello}))); err != nil {
		err = stream.RecvMsg(&wire.Frame{}) // SendMsg says only EOF; RecvMsg says why
		return fail(err)
	}
	var f wire.Frame
	if err := stream.RecvMsg(&f); err != nil {
		return fail(err)
	}
	var h wire.Head
	if err := wire.ParseHead(f.Bytes(), &h); err != nil {
		return fail(err)
	}
	if r := h.Refusal; r != nil {
		stop()
		cancel()
		return nil, r, unreachable(ctx, fmt.Errorf("refused: %s: %s", r.GetReason(), r.GetMessage()))
	}
	w := h.Welcome
	if w == nil || w.GetRevision() < session.LowestRevision || w.GetRevision() > session.HighestRevision {
		return fail(fmt.Errorf("the first answer is no welcome of a revision that this side speaks"))
	}
	if len(w.GetCapabilities()) > 0 {
		return fail(fmt.Errorf("the welcome agrees to capabilities that were not offered: %.300q", w.GetCapabilities()))
	}
	if !stop() {
		return fail(ctx.Err())
	}
	l := &Link{
		peer:    endpoint.Peer{EnvID: w.GetEnvId(), Address: w.GetAddress(), Remote: remoteAddr(stream.Context()), Session: w.GetSession()},
		stream:  stream,
		dialled: true,
		release: cancel,
		handler: c.Handler,
		token:   bytes.Clone(w.GetToken()),
		session: session.New(c.Limits, session.LimitsFromProto(w.GetLimits())),
	}
	l.prepare()
	if err := c.Table.add(l, nil); err != nil {
		cancel()
		return nil, nil, &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: err.Error(), Phase: endpoint.PhaseConnecting, Execution: endpoint.NotExecuted}
	}
	l.start(f.Bytes()) // a welcome may come with more
	return l, nil, nil
}

// unreachable returns the error of an opening that failed.
func unreachable(ctx context.Context, err error) *endpoint.Error {
	if ctx.Err() != nil {
		e := endpoint.ContextError(ctx)
		e.Phase, e.Execution = endpoint.PhaseConnecting, endpoint.NotExecuted
		return e
	}
	return &endpoint.Error{
		Reason: endpoint.ReasonUnreachable, Text: status.Convert(err).Message(), Phase: endpoint.PhaseConnecting, Execution: endpoint.NotExecuted, Cause: err,
	}
}
