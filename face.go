package parley

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"github.com/parley-rpc/parley/server"
)

// EndpointKey is the metadata key by which an ordinary gRPC call names the endpoint that it is for, where several of an Env implement the same
// service: grpcurl -H 'parley-endpoint: NAME'.
const EndpointKey = server.EndpointKey

// ServerOptions are for a gRPC server of the program's own, on which env is to be mounted: by them it serves the services of the endpoints as
// ordinary gRPC services as well, as the server of Listen does. So stock stubs of any language, and grpcurl, reach endpoints without Parley; a call
// becomes an ask, in the order of its mailbox. Services that the program registers on its server itself are served as ever.
//
// Unary interceptors of the server do not run for such calls, because grpc-go has none for services that come and go; its stream interceptors and stats
// handlers do, and so do those of WithUnaryInterceptors. The largest request is that of the gRPC server, 4 MiB unless it has grpc.MaxRecvMsgSize, as anybody may
// may send that much before it is looked at.
func ServerOptions(env *Env) []grpc.ServerOption {
	return []grpc.ServerOption{grpc.UnknownServiceHandler(env.server.ServeCall)}
}

// RegisterServices registers on r, a gRPC server that was made without ServerOptions and does not serve yet, the services that endpoints of env
// implement now, as ordinary gRPC services, and returns their names. Services that come later are not served, since grpc-go takes none while it serves;
// with ServerOptions they are. As with those, unary interceptors of r do not run for them: what guards them belongs into WithUnaryInterceptors. What r
// has already stays its own, if r is a grpc.Server; what is registered there twice ends the program, as always.
func RegisterServices(env *Env, r grpc.ServiceRegistrar) []string {
	taken := map[string]grpc.ServiceInfo{}
	if s, ok := r.(reflection.ServiceInfoProvider); ok {
		taken = s.GetServiceInfo()
	}
	var names []string
	for _, name := range env.server.Services() {
		if _, has := taken[name]; !has {
			r.RegisterService(env.server.ServiceDesc(name), nil)
			names = append(names, name)
		}
	}
	return names
}

// RegisterReflection puts server reflection on a gRPC server on which env is mounted, with the services of endpoints as they come and go. The server of
// Listen has it.
func RegisterReflection(env *Env, s reflection.GRPCServer) {
	o := reflection.ServerOptions{Services: &allServices{env: env, server: s}}
	reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(o))
	reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(o))
}

// allServices are those of a gRPC server and of the endpoints behind it.
type allServices struct {
	env    *Env
	server reflection.ServiceInfoProvider
}

// GetServiceInfo implements reflection.ServiceInfoProvider.
func (a *allServices) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := a.server.GetServiceInfo()
	for _, name := range a.env.server.Services() {
		if _, has := info[name]; !has {
			info[name] = grpc.ServiceInfo{}
		}
	}
	return info
}
