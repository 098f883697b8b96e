package fairness

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// session is two Envs with one session between them, with Parley's defaults: they allow messages of 128 MiB.
type session struct {
	server, client *parley.Env
	echo           sayhiv1parley.SayHiRef
	put            endpoint.Method[fieldmaskpb.FieldMask, emptypb.Empty] // of the second endpoint
	taken          *consumer
}

// echoEndpoint answers with what it is told.
type echoEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
}

func (echoEndpoint) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: r.GetMsg()}, nil
}

// The service of the second endpoint, which no .proto has.
const (
	putService = "parley.bench.Fairness"
	putMethod  = putService + "/Put"
)

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
	if err := s.host(ctx); err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

// host registers both endpoints at the server, and has the client find them.
func (s *session) host(ctx context.Context) error {
	ref, err := sayhiv1parley.RegisterSayHi(ctx, s.server, "echo", echoEndpoint{})
	if err != nil {
		return err
	}
	if s.echo, err = sayhiv1parley.LookupSayHi(ctx, s.client, ref.Ref().String()); err != nil {
		return err
	}
	put := endpoint.Handle(putMethod, func(ctx context.Context, _ *fieldmaskpb.FieldMask) (*emptypb.Empty, error) {
		return &emptypb.Empty{}, s.taken.take(ctx)
	})
	service := endpoint.Service{Name: putService, Methods: []endpoint.ServiceMethod{put}}
	bound, err := s.server.Register(ctx, "slow", s.taken, []endpoint.Service{service})
	if err != nil {
		return err
	}
	if bound, err = s.client.Lookup(ctx, bound.Ref().String(), putService); err != nil {
		return err
	}
	s.put = endpoint.NewMethod[fieldmaskpb.FieldMask, emptypb.Empty](bound, putMethod)
	return nil
}

func (s *session) ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return s.echo.Hi.AskSync(ctx, r)
}

func (s *session) send(ctx context.Context, m *fieldmaskpb.FieldMask) error {
	return s.put.Send(ctx, m)
}

func (s *session) consumer() *consumer { return s.taken }

func (s *session) close(ctx context.Context) error {
	return errors.Join(s.client.Shutdown(ctx), s.server.Shutdown(ctx))
}
