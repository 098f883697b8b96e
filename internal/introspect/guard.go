package introspect

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// guarded is a registrar whose services are behind an authorization.
type guarded struct {
	to        grpc.ServiceRegistrar
	authorize func(ctx context.Context) error
}

// RegisterService implements grpc.ServiceRegistrar. Methods that stream are left out, rather than served to everybody; the services of this package
// have none.
func (g guarded) RegisterService(desc *grpc.ServiceDesc, impl any) {
	behind := *desc
	behind.Methods, behind.Streams = nil, nil
	for _, m := range desc.Methods {
		behind.Methods = append(behind.Methods, grpc.MethodDesc{MethodName: m.MethodName, Handler: g.around(m.Handler)})
	}
	g.to.RegisterService(&behind, impl)
}

// around returns handler behind the authorization. That comes after the interceptors of the server, which may have found out who calls.
func (g guarded) around(handler grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, outer grpc.UnaryServerInterceptor) (any, error) {
		return handler(srv, ctx, decode, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			authorized := func(ctx context.Context, req any) (any, error) {
				if err := g.check(ctx); err != nil {
					return nil, err
				}
				return next(ctx, req)
			}
			if outer == nil {
				return authorized(ctx, req)
			}
			return outer(ctx, req, info, authorized)
		})
	}
}

// check returns nil or a status: that of the program's function if it has one, PermissionDenied otherwise.
func (g guarded) check(ctx context.Context) error {
	err := g.authorize(ctx)
	if err == nil {
		return nil
	}
	if st, ok := status.FromError(err); ok && st.Code() != codes.OK {
		return st.Err()
	}
	return status.Error(codes.PermissionDenied, err.Error())
}
