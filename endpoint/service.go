package endpoint

import (
	"context"
	"fmt"
	"reflect"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/asproto"
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
	// Methods are the methods, of all kinds.
	Methods []ServiceMethod
}

// ServiceMethod is one method of a Service, with its handler.
type ServiceMethod struct {
	name  string
	unary unaryHandler
	other *otherHandler // instead of unary
}

// unaryHandler is the handler of a unary method.
type unaryHandler interface {
	newRequest() proto.Message
	call(ctx context.Context, req proto.Message) (proto.Message, error)
}

// otherHandler is the handler of a stock gRPC server or of a streaming method. It is apart, so that the methods of a million endpoints are small.
type otherHandler struct {
	stock  stockHandler
	stream *grpc.StreamDesc // instead of stock
	impl   any              // of a stock server; nil for all else
}

// stockHandler is a handler as protoc-gen-go-grpc makes it, with its implementation. decode decodes the request into what it is given.
type stockHandler func(ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error)

// Handle makes a ServiceMethod of a handler. method is the full name, "package.Service/Method".
func Handle[Req, Res any, PReq Message[Req], PRes Message[Res]](method string, handler func(context.Context, *Req) (*Res, error)) ServiceMethod {
	return ServiceMethod{name: method, unary: typedHandler[Req, Res, PReq, PRes](handler)}
}

// typedHandler is a handler as an endpoint has it. It is a func, and so fits an interface without memory of its own.
type typedHandler[Req, Res any, PReq Message[Req], PRes Message[Res]] func(context.Context, *Req) (*Res, error)

func (typedHandler[Req, Res, PReq, PRes]) newRequest() proto.Message { return PReq(new(Req)) }

func (h typedHandler[Req, Res, PReq, PRes]) call(ctx context.Context, req proto.Message) (proto.Message, error) {
	res, err := h(ctx, (*Req)(req.(PReq)))
	if err != nil {
		return nil, err
	}
	if res == nil {
		return nil, ErrNoReply
	}
	return PRes(res), nil
}

// ErrNoReply is the error of a handler that has returned neither a reply nor an error. It is an *Error that is ErrUnencodable, and not the handler's own, whose
// error would be its answer.
var ErrNoReply error = &Error{
	Reason: ReasonUnencodable, Text: "the handler returned neither a reply nor an error", Phase: PhaseSent, Execution: MayHaveExecuted,
}

// ServiceOf returns the service that desc describes, for an implementation of a stock gRPC server, which becomes an endpoint unchanged.
//
// It fails with ErrInvalid if impl does not implement the service.
func ServiceOf(desc *grpc.ServiceDesc, impl any) (Service, error) {
	if wanted := reflect.TypeOf(desc.HandlerType); wanted != nil {
		if impl == nil || !reflect.TypeOf(impl).Implements(wanted.Elem()) {
			return Service{}, &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("%T does not implement %s (%v)", impl, desc.ServiceName, wanted.Elem()), Execution: NotExecuted}
		}
	}
	s := Service{Name: desc.ServiceName}
	for _, m := range desc.Methods {
		s.Methods = append(s.Methods, ServiceMethod{
			name: desc.ServiceName + "/" + m.MethodName,
			other: &otherHandler{stock: func(ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				return m.Handler(impl, ctx, decode, interceptor)
			}},
		})
	}
	for _, m := range desc.Streams {
		s.Methods = append(s.Methods, ServiceMethod{name: desc.ServiceName + "/" + m.StreamName, other: &otherHandler{stream: &m, impl: impl}})
	}
	return s, nil
}

// Name returns the full name of the method, "package.Service/Method".
func (m *ServiceMethod) Name() string { return m.name }

// IsStock reports whether the handler is that of a stock gRPC server. Then there are no NewRequest and Call, but only Serve.
func (m *ServiceMethod) IsStock() bool { return m.other != nil && m.other.stock != nil }

// IsStreaming reports whether the method is one of the streaming kinds. Then there is nothing but ServeStream.
func (m *ServiceMethod) IsStreaming() bool { return m.other != nil && m.other.stream != nil }

// ServeStream runs the handler of a streaming method, inside interceptor unless that is nil. impl is what interceptors see as the server, but for that of a
// stock server, of which they see its own: an endpoint may have several. It panics if the handler or the interceptor does.
func (m *ServiceMethod) ServeStream(impl any, stream grpc.ServerStream, interceptor grpc.StreamServerInterceptor) error {
	desc := m.other.stream
	if m.other.impl != nil {
		impl = m.other.impl
	}
	if interceptor == nil {
		return desc.Handler(impl, stream)
	}
	info := &grpc.StreamServerInfo{FullMethod: "/" + m.name, IsClientStream: desc.ClientStreams, IsServerStream: desc.ServerStreams}
	return interceptor(impl, stream, info, desc.Handler)
}

// TakesOne reports whether a caller of a streaming method sends exactly one message.
func (m *ServiceMethod) TakesOne() bool { return !m.other.stream.ClientStreams }

// Streams reports which sides of a method send any number of messages: neither for a unary one.
func (m *ServiceMethod) Streams() (client, server bool) {
	if !m.IsStreaming() {
		return false, false
	}
	return m.other.stream.ClientStreams, m.other.stream.ServerStreams
}

// NewRequest returns a new, empty request.
func (m *ServiceMethod) NewRequest() proto.Message { return m.unary.newRequest() }

// Call runs the handler with a request that NewRequest made. It panics if the handler does.
func (m *ServiceMethod) Call(ctx context.Context, req proto.Message) (proto.Message, error) {
	return m.unary.call(ctx, req)
}

// Serve runs the handler, inside interceptor unless that is nil, with a request that decode has decoded. impl is what interceptors see as the server. It
// panics if the handler or the interceptor does.
func (m *ServiceMethod) Serve(ctx context.Context, impl any, decode func(proto.Message) error, interceptor grpc.UnaryServerInterceptor) (proto.Message, error) {
	var res any
	var err error
	switch {
	case m.IsStock():
		res, err = m.other.stock(ctx, func(req any) error {
			message, ok := asproto.Message(req)
			if !ok {
				return status.Errorf(codes.Internal, "%T is no protobuf message", req)
			}
			return decode(message)
		}, interceptor)
	case interceptor == nil:
		req := m.unary.newRequest()
		if err := decode(req); err != nil {
			return nil, err
		}
		return m.unary.call(ctx, req)
	default:
		req := m.unary.newRequest()
		if err := decode(req); err != nil {
			return nil, err
		}
		res, err = interceptor(ctx, req, &grpc.UnaryServerInfo{Server: impl, FullMethod: "/" + m.name}, func(ctx context.Context, req any) (any, error) {
			return m.unary.call(ctx, req.(proto.Message))
		})
	}
	if err != nil {
		return nil, err
	}
	message, ok := asproto.Message(res)
	if !ok {
		return nil, &Error{Reason: ReasonUnencodable, Text: fmt.Sprintf("the handler, or an interceptor, has returned %T, which is no protobuf message", res), Phase: PhaseSent, Execution: MayHaveExecuted}
	}
	return message, nil
}

// Unimplemented is the answer of the generated Unimplemented types.
func Unimplemented(method string) error {
	return status.Errorf(codes.Unimplemented, "method %s not implemented", method)
}
