package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// parleyPair is two Envs with one session between them, over loopback TCP, with Parley's defaults.
type parleyPair struct {
	server, client *parley.Env
	echo, drain    sayhiv1parley.SayHiRef
	stub           sayhiv1.SayHiClient // a stock one, of echo
	sink           sink
}

// echoEndpoint answers with what it is told.
type echoEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
}

func (echoEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return echo(r), nil
}

// drainEndpoint is the receiver of one-way messages.
type drainEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
	sink  *sink
	reply *sayhiv1.HiReply // dropped, as there is nobody who asked
}

func (e drainEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	e.sink.receive(r)
	return e.reply, nil
}

func openParley(ctx context.Context) (*parleyPair, error) {
	server, err := parley.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &parleyPair{server: server}
	if p.client, err = parley.New(); err != nil {
		return nil, errors.Join(err, server.Shutdown(ctx))
	}
	if p.echo, err = p.host(ctx, "echo", echoEndpoint{}); err != nil {
		return nil, errors.Join(err, p.shutdown(ctx))
	}
	conn, err := p.client.Conn(p.echo.Ref())
	if err != nil {
		return nil, errors.Join(err, p.shutdown(ctx))
	}
	p.stub = sayhiv1.NewSayHiClient(conn)
	if p.drain, err = p.host(ctx, "drain", drainEndpoint{sink: &p.sink, reply: &sayhiv1.HiReply{}}); err != nil {
		return nil, errors.Join(err, p.shutdown(ctx))
	}
	return p, nil
}

// host registers an endpoint at the server, and returns the client's Ref to it.
func (p *parleyPair) host(ctx context.Context, name string, impl sayhiv1parley.SayHiEndpoint) (sayhiv1parley.SayHiRef, error) {
	ref, err := sayhiv1parley.RegisterSayHi(ctx, p.server, name, impl)
	if err != nil {
		return ref, err
	}
	return sayhiv1parley.LookupSayHi(ctx, p.client, ref.Ref().String())
}

// ask makes n asks from a number of callers.
func (p *parleyPair) ask(callers int) workload {
	return func(ctx context.Context, n int) error {
		return runCallers(ctx, callers, n, func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return p.echo.Hi.AskSync(ctx, r)
		})
	}
}

// stubCalls makes n calls of the stock stub from a number of callers.
func (p *parleyPair) stubCalls(callers int) workload {
	return func(ctx context.Context, n int) error {
		return runCallers(ctx, callers, n, func(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
			return p.stub.Hi(ctx, r)
		})
	}
}

// pipeline makes n asks from one goroutine, which waits for the oldest only when too many are outstanding.
func (p *parleyPair) pipeline(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var futures [outstanding]*endpoint.Future[sayhiv1.HiReply]
	for i := range n + outstanding {
		slot := &futures[i%outstanding]
		if *slot != nil {
			r, err := (*slot).Wait(ctx)
			if err == nil {
				err = checkReply(i-outstanding, r)
			}
			if err != nil {
				return err
			}
			*slot = nil
		}
		if i < n {
			*slot = p.echo.Hi.Ask(ctx, &sayhiv1.HiRequest{Msg: payload(i)})
		}
	}
	return nil
}

// send sends n one-way messages from one goroutine, and returns when the last handler has returned.
func (p *parleyPair) send(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p.sink.expect(n)
	for i := range n {
		if err := p.drain.Hi.Send(ctx, sendRequests[i%len(sendRequests)]); err != nil {
			return err
		}
	}
	return p.sink.wait(ctx)
}

// close ends the Envs, and reports whatever was lost or left.
func (p *parleyPair) close(ctx context.Context) error {
	err := p.sink.check()
	for _, e := range []*parley.Env{p.client, p.server} {
		c := e.Counters()
		if c.Sessions != 1 || c.PendingAsks+c.OpenAsks != 0 || c.Dropped+c.LateReplies != 0 {
			err = errors.Join(err, fmt.Errorf("parley: want one session with nothing lost or left: %+v", c))
		}
	}
	return errors.Join(err, p.shutdown(ctx))
}

func (p *parleyPair) shutdown(ctx context.Context) error {
	return errors.Join(p.client.Shutdown(ctx), p.server.Shutdown(ctx))
}
