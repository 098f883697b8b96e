package parley

import (
	"context"

	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
)

// Endpoint returns a registrar for stock gRPC servers, which makes them an endpoint of this Env, unchanged:
//
//	sayhiv1.RegisterSayHiServer(env.Endpoint("hi"), &server{})
//
// The first service that is registered makes the endpoint, with opts; further ones are added to it. Lifecycle callbacks, such as OnStart, are
// found on the implementation of the first. A stock server is used to run its calls at the same time, an endpoint is serial unless
// endpoint.Concurrent says otherwise.
//
// Its OnStart may take as long as an ask (WithAskTimeout). One registrar is not for concurrent use.
//
// RegisterService has no result, so what RegisterServer would return is a panic here, where grpc.Server ends the program.
func (e *Env) Endpoint(name string, opts ...endpoint.Option) grpc.ServiceRegistrar {
	return &registrar{env: e, name: name, opts: opts}
}

type registrar struct {
	env  *Env
	name string
	opts []endpoint.Option
	made bool
}

// RegisterService implements grpc.ServiceRegistrar.
func (r *registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	if err := r.register(desc, impl); err != nil {
		panic(err)
	}
}

func (r *registrar) register(desc *grpc.ServiceDesc, impl any) error {
	if !r.made {
		ctx, cancel := context.WithTimeout(context.Background(), r.env.settings.askTimeout)
		defer cancel()
		_, err := r.env.RegisterServer(ctx, r.name, desc, impl, r.opts...)
		r.made = err == nil
		return err
	}
	service, err := endpoint.ServiceOf(desc, impl)
	if err != nil {
		return err
	}
	if failed := r.env.server.Offer(r.name, service); failed != nil {
		failed.Verb, failed.Endpoint = "register", r.name
		return failed
	}
	return nil
}

// RegisterServer hosts impl, the implementation of a stock gRPC server, under name; desc is its description, such as
// sayhiv1.SayHi_ServiceDesc. See Register, of which it has the errors, and Endpoint.
func (e *Env) RegisterServer(ctx context.Context, name string, desc *grpc.ServiceDesc, impl any, opts ...endpoint.Option) (endpoint.Bound, error) {
	service, err := endpoint.ServiceOf(desc, impl)
	if err != nil {
		return endpoint.Bound{}, err
	}
	return e.Register(ctx, name, impl, []endpoint.Service{service}, opts...)
}
