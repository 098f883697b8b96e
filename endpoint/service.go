package endpoint

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Message is the constraint of a pointer to a generated message.
type Message[T any] interface {
	*T
	proto.Message
}

// Service is a proto service with its handlers. Generated code makes it.
type Service struct {
	// Name is the full name, "package.Service".
	Name string
	// Methods are the methods that are not streaming.
	Methods []ServiceMethod
}

// ServiceMethod is one method of a Service, with its handler.
type ServiceMethod struct {
	name       string
	newRequest func() proto.Message
	call       func(ctx context.Context, req proto.Message) (proto.Message, error)
}

// Handle makes a ServiceMethod of a handler. method is the full name, "package.Service/Method".
func Handle[Req, Res any, PReq Message[Req], PRes Message[Res]](method string, handler func(context.Context, *Req) (*Res, error)) ServiceMethod {
	return ServiceMethod{
		name:       method,
		newRequest: func() proto.Message { return PReq(new(Req)) },
		call: func(ctx context.Context, req proto.Message) (proto.Message, error) {
			res, err := handler(ctx, (*Req)(req.(PReq)))
			if err != nil {
				return nil, err
			}
			if res == nil {
				return nil, &Error{Reason: ReasonUnencodable, Text: "the handler returned neither a reply nor an error", Phase: PhaseSent, Execution: MayHaveExecuted}
			}
			return PRes(res), nil
		},
	}
}

// Name returns the full name of the method, "package.Service/Method".
func (m *ServiceMethod) Name() string { return m.name }

// NewRequest returns a new, empty request.
func (m *ServiceMethod) NewRequest() proto.Message { return m.newRequest() }

// Call runs the handler with a request that NewRequest made. It panics if the handler does.
func (m *ServiceMethod) Call(ctx context.Context, req proto.Message) (proto.Message, error) {
	return m.call(ctx, req)
}

// Unimplemented is the answer of the generated Unimplemented types.
func Unimplemented(method string) error {
	return status.Errorf(codes.Unimplemented, "method %s not implemented", method)
}
