package endpoint

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/asproto"
)

// Conn is a grpc.ClientConnInterface whose calls are asks of one endpoint, so that stock stubs work over Parley:
//
//	client := sayhiv1.NewSayHiClient(endpoint.NewConn(bound))
//
// Outgoing metadata, deadlines and cancellation are as with gRPC, and so are the errors of handlers, with their codes, messages and
// details; those of Parley are an *Error, whose gRPC status says as much. Of grpc.CallOption it knows Header, Trailer, Peer, WaitForReady,
// MaxCallRecvMsgSize, MaxCallSendMsgSize, PerRPCCredentials and OnFinish. UseCompressor, MaxRetryRPCBufferSize and CallAuthority concern an HTTP/2
// stream of the call's own, which there is not, and do nothing, and neither do types of the program's own, which are for interceptors. A codec other than protobuf is
// refused with ErrInvalid, rather than ignored.
//
// Streaming calls are as with gRPC, too: there is backpressure in both directions, by windows of the call's own, so that one that is not read harms no other.
// One without a deadline may last for ever; it ends with its context, when it was received to its end, or with the session. A Conn may be used concurrently, and has nothing to be closed.
type Conn struct {
	bound   Bound
	cores   sync.Map     // of *methodCore, by full method
	methods atomic.Int32 // that were looked for in vain: as many are in cores at most
}

// mostMethods is how many methods a Conn remembers. Calls of others cost some more.
const mostMethods = 1024

var _ grpc.ClientConnInterface = (*Conn)(nil)

// NewConn returns a Conn to the endpoint that b is bound to.
func NewConn(b Bound) *Conn { return &Conn{bound: b} }

// Ref returns where the endpoint is.
func (c *Conn) Ref() Ref { return c.bound.Ref() }

// Invoke implements grpc.ClientConnInterface. Stubs call it; method is "/package.Service/Method".
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	core := c.core(method, reply)
	if core.inside != nil {
		return core.inside.around(ctx, args, reply, opts, func(ctx context.Context, args, reply any, opts []grpc.CallOption) error {
			return statusError(core.invoke(ctx, args, reply, opts))
		})
	}
	return statusError(core.invoke(ctx, args, reply, opts))
}

// NewStream implements grpc.ClientConnInterface. Stubs call it. As with gRPC, the stream has to be received to its end, or its context be ended.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return c.newCore(method).stream(ctx, desc, opts)
}

// core returns what the calls of a method share, whose replies are like reply.
func (c *Conn) core(method string, reply any) *methodCore {
	if core, ok := c.cores.Load(method); ok {
		return core.(*methodCore)
	}
	made := c.newCore(method)
	if m, ok := asproto.Message(reply); ok { // invoke refuses what is none
		t := m.ProtoReflect().Type() // and not m, which would be kept
		made.reply = func() proto.Message { return t.New().Interface() }
		if m.ProtoReflect().Interface() == m { // and not the message in something that has it embedded
			made.resets = reflect.TypeOf(m)
		}
	}
	made.inside = interceptionOf(made)
	if c.methods.Load() >= mostMethods { // a proxy may be told any names
		return made
	}
	c.methods.Add(1)
	core, _ := c.cores.LoadOrStore(method, made)
	return core.(*methodCore)
}

func (c *Conn) newCore(method string) *methodCore {
	return newStubCore(c.bound, strings.TrimPrefix(method, "/"))
}

// newStubCore returns what carries the calls of a stub, whose messages may be of any type.
func newStubCore(b Bound, name string) *methodCore {
	return &methodCore{name: name, ref: b.ref, caller: b.caller, messages: anyTypes{}, stub: true}
}

// anyTypes are the types of a method whose stub brings its own messages.
type anyTypes struct{}

func (anyTypes) message(req any) proto.Message {
	m, _ := asproto.Message(req) // invoke has looked
	return m
}

// A stub decodes into what it has, so nobody calls the others.
func (anyTypes) newRes() any                   { return nil }
func (anyTypes) asProto(res any) proto.Message { return anyTypes{}.message(res) }

// invoke makes a call as a stub does.
func (c *methodCore) invoke(ctx context.Context, args, reply any, opts []grpc.CallOption) *Error {
	if c.caller != nil && c.caller.WaitsForItself(ctx) {
		return c.refuse(opts, c.describe(errSelfAsk(), verbAsk, time.Now()))
	}
	return c.attempt(ctx, false, args, reply, opts, nil)
}

// refuse ends a call of a stub that does not begin, with err.
func (c *methodCore) refuse(opts []grpc.CallOption, err *Error) *Error {
	var o callOptions
	if refused := o.take(opts, c.stub, new(Request)); refused != nil {
		err = refused
	}
	o.more.finished(statusError(err))
	return err
}

// attempt is invoke, or the same with a receipt in place of the reply, also where that is waited for on a goroutine of its own. handed is called when the message
// has been handed over; nil for nothing.
func (c *methodCore) attempt(ctx context.Context, receipt bool, args, reply any, opts []grpc.CallOption, handed func()) *Error {
	a := c.acquire(nil)
	a.receipt = receipt
	err := a.invoke(ctx, args, reply, opts, handed)
	more := a.options.more
	c.release(a)
	if more != nil {
		more.finished(statusError(err))
	}
	return err
}

// invoke makes the call c of a stub.
func (c *call) invoke(ctx context.Context, args, reply any, opts []grpc.CallOption, handed func()) *Error {
	res, ok := asproto.Message(reply)
	if _, too := asproto.Message(args); !ok || !too {
		if err := c.options.take(opts, c.core.stub, new(Request)); err != nil { // OnFinish is among them
			return err
		}
		return &Error{Reason: ReasonInvalid, Text: fmt.Sprintf("%T and %T must be protobuf messages", args, reply), Execution: NotExecuted}
	}
	c.start(ctx, args, opts, false)
	if handed != nil {
		handed()
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		c.abandon(ctx)
		<-c.turn
	}
	if err := c.failure(); err != nil {
		return err
	}
	if c.receipt {
		return nil
	}
	return c.decode(res, c.core.unmarshalReply)
}

// unmarshalReply is proto.Unmarshal, which comes to the message's Reset by reflection where that is not needed.
func (c *methodCore) unmarshalReply(b []byte, res proto.Message) error {
	if reflect.TypeOf(res) != c.resets {
		return proto.Unmarshal(b, res)
	}
	proto.Reset(res)
	return asproto.UnmarshalNew(b, res)
}

// statusError returns what a stub returns: the very status of a handler's error, and Parley's own error otherwise.
func statusError(e *Error) error {
	switch {
	case e == nil:
		return nil
	case e.Reason == ReasonHandler:
		return e.GRPCStatus().Err()
	default:
		return e
	}
}
