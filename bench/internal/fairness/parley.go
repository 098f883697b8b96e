package fairness

import (
	"context"
	"errors"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// session is two Envs with one session between them, with Parley's defaults: they allow messages of 128 MiB.
type session struct {
	server, client *parley.Env
	echo, slow     sayhiv1parley.SayHiRef
	taken          *consumer
}

// echoEndpoint answers with what it is told.
type echoEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
}

func (echoEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// slowEndpoint hands its messages to a consumer.
type slowEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
	taken *consumer
}

func (e slowEndpoint) Hi(ctx context.Context, _ *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{}, e.taken.take(ctx)
}

func openParley(ctx context.Context, c Config) (system, error) {
	var opts []parley.Option
	if most := 2 * c.BulkBytes; most > 128<<20 {
		opts = append(opts, parley.WithMaxMessageSize(most))
	}
	server, err := parley.Listen("127.0.0.1:0", opts...)
	if err != nil {
		return nil, err
	}
	s := &session{server: server, taken: newConsumer()}
	if s.client, err = parley.New(opts...); err != nil {
		return nil, errors.Join(err, server.Shutdown(ctx))
	}
	if s.echo, err = s.host(ctx, "echo", echoEndpoint{}); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	if s.slow, err = s.host(ctx, "slow", slowEndpoint{taken: s.taken}); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// host registers an endpoint at the server, and returns the client's Ref to it.
func (s *session) host(ctx context.Context, name string, impl sayhiv1parley.SayHiEndpoint) (sayhiv1parley.SayHiRef, error) {
	ref, err := sayhiv1parley.RegisterSayHi(ctx, s.server, name, impl)
	if err != nil {
		return ref, err
	}
	return sayhiv1parley.LookupSayHi(ctx, s.client, ref.Ref().String())
}

func (s *session) ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return s.echo.Hi.AskSync(ctx, r)
}

func (s *session) send(ctx context.Context, r *sayhiv1.HiRequest) error {
	return s.slow.Hi.Send(ctx, r)
}

func (s *session) consumer() *consumer { return s.taken }

func (s *session) close(ctx context.Context) error {
	return errors.Join(s.client.Shutdown(ctx), s.server.Shutdown(ctx))
}
