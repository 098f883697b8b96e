package client

import (
	"google.golang.org/grpc"

	"github.com/parley-rpc/parley/endpoint"
)

// Intercept returns c with interceptors: unary runs around every message, and stream around the opening of every streaming call. cc is what they see as the
// connection; it is not used. Either of the two may be nil.
func Intercept(c endpoint.Caller, unary grpc.UnaryClientInterceptor, stream grpc.StreamClientInterceptor, cc *grpc.ClientConn) endpoint.Caller {
	if unary == nil && stream == nil {
		return c
	}
	return &intercepted{Caller: c, unary: unary, stream: stream, cc: cc}
}

type intercepted struct {
	endpoint.Caller
	unary  grpc.UnaryClientInterceptor
	stream grpc.StreamClientInterceptor
	cc     *grpc.ClientConn
}

// UnaryInterceptor implements endpoint.Caller.
func (c *intercepted) UnaryInterceptor() (grpc.UnaryClientInterceptor, *grpc.ClientConn) {
	return c.unary, c.cc
}

// StreamInterceptor implements endpoint.Caller.
func (c *intercepted) StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn) {
	return c.stream, c.cc
}
