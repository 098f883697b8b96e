package endpoint

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/internal/piecewise"
)

// Env is what generated code needs of a *parley.Env, which is its only implementation.
type Env interface {
	// Register hosts impl under name; see parley.Env.
	Register(ctx context.Context, name string, impl any, services []Service, opts ...Option) (Bound, error)
	// Lookup binds the Ref that uri stands for, after a check that it exists and implements service; see parley.Env.
	Lookup(ctx context.Context, uri, service string) (Bound, error)
	// Bind binds ref without a check; see parley.Env.
	Bind(ref Ref) (Bound, error)
}

// Bound is a Ref and the Env that calls through it. The zero Bound refuses every call. Generated constructors take it.
type Bound struct {
	ref    *Ref // nil in the zero Bound
	caller Caller
}

// NewBound returns a Bound whose messages c carries.
func NewBound(ref Ref, c Caller) Bound { return Bound{ref: &ref, caller: c} }

// Ref returns where the endpoint is.
func (b Bound) Ref() Ref {
	if b.ref == nil {
		return Ref{}
	}
	return *b.ref
}

// Caller carries messages to one endpoint. The Env implements it for local and for remote endpoints; a test may, too. Its methods
// may be called concurrently.
type Caller interface {
	// Send hands over a one-way message. It returns when the message is accepted: it has its place in the order, and
	// waits only for the network and for the handler.
	Send(ctx context.Context, r Request) error
	// Ask hands over a message and returns as Send does. done.Complete is called exactly once, whatever happens, perhaps
	// before Ask returns.
	Ask(ctx context.Context, r Request, done Completion) Pending
	// Open opens a streaming call. It returns as Send does; the request has no message, and its Deadline is zero for a call that may last for ever.
	Open(ctx context.Context, r Request) (StreamCarrier, *Error)
	// UnaryInterceptor returns what runs around messages, and the connection that it is shown; nil for nothing. It is the same for the life of the Caller. The verbs and stubs run
	// it: what comes to Send and Ask has passed it.
	UnaryInterceptor() (grpc.UnaryClientInterceptor, *grpc.ClientConn)
	// StreamInterceptor returns what runs around streaming calls, and the connection that it is shown; nil for nothing.
	StreamInterceptor() (grpc.StreamClientInterceptor, *grpc.ClientConn)
	// StatsHandler returns what is to be told of streaming calls; nil for nothing. Of all other calls it is told already.
	StatsHandler() stats.Handler
	// WaitsForItself reports whether ctx is that of a handler that holds up the very endpoint that messages go to, so that
	// to wait for a reply would be to wait for ever.
	WaitsForItself(ctx context.Context) bool
	// Go runs f on a goroutine that the Env waits for when it shuts down.
	Go(f func())
	// Calls returns what asks use again, never nil. It is the same for the life of the Caller, and had better be for all Callers of an Env: few Refs of many are in
	// use at a time.
	Calls() *Calls
	// Peer says where messages go, for errors.
	Peer() string
	// Carried returns who was at the other end of the connection that the last message took, and what it has authenticated; nil if there was none. A local
	// endpoint is reached by no connection: its address, and the type of its AuthInfo, is "local".
	Carried() *peer.Peer
}

// Calls keeps what asks use again. The zero value is ready; it may be used concurrently. There is not one for the program, as what an ask waits by
// belongs to a bubble of testing/synctest.
type Calls struct {
	pool sync.Pool // of *call
}

// StreamCarrier carries one streaming call, from the caller's side. There may be one goroutine that sends and one that receives at a time; the other
// methods may be called concurrently. Its user receives until the end, or abandons it.
type StreamCarrier interface {
	// Send encodes a message and hands it over. It waits for room until ctx ends, or the call. It returns the encoded size.
	Send(ctx context.Context, m proto.Message) (size int, err *Error)
	// HalfClose says that no more messages are sent.
	HalfClose()
	// Header waits for the response headers, until a message or the end comes without any, or ctx ends.
	Header(ctx context.Context) (metadata.MD, error)
	// Receive returns the next message; io.EOF at a good end, and else an *Error, or that of ctx.
	Receive(ctx context.Context) (Received, error)
	// Trailer returns what came with the end; nil before it.
	Trailer() metadata.MD
	// Abandon ends the call, unless it is over: what was not received is dropped, the peer is told that nobody waits, and Receive returns err.
	Abandon(err *Error)
}

// Completion is told the outcome of an ask. Complete must not block.
type Completion interface {
	Complete(Response)
}

// Outcome is a Completion to wait for. It is to be made with room for one Response.
type Outcome chan Response

// Complete implements Completion.
func (o Outcome) Complete(r Response) { o <- r }

// Wait returns the outcome of the ask p. When ctx ends first, p is abandoned.
func (o Outcome) Wait(ctx context.Context, p Pending) Response {
	select {
	case r := <-o:
		return r
	case <-ctx.Done():
		p.Abandon(ContextError(ctx))
		return <-o
	}
}

// Pending is an ask that waits for its reply.
type Pending interface {
	// Abandon ends the wait: unless the ask is complete, it is completed with err, and the peer is told that nobody waits.
	Abandon(err *Error)
}

// Reusable is a Pending that Ask may return again when its ask is over. Reset is called then: it keeps nothing of what it was used for, but room
// for the next reply.
type Reusable interface {
	Pending
	Reset()
}

// Request is one message on its way out.
type Request struct {
	// Method is the full name, "package.Service/Method".
	Method string
	// Message is encoded before Send or Ask of the Caller returns, and not kept.
	Message proto.Message
	// NewReply returns an empty reply of the method, for who has to decode one.
	NewReply func() proto.Message
	// Metadata travels with the message.
	Metadata metadata.MD
	// Credentials say what else travels with it, if they are not nil; see Authorize.
	Credentials credentials.PerRPCCredentials
	// Started is when an ask was made; the zero time for a send.
	Started time.Time
	// Deadline of an ask; zero for the Env's default.
	Deadline time.Time
	// WaitForReady waits for a peer that cannot be reached, until the context ends, instead of failing.
	WaitForReady bool
	// Reuse is what Ask returned for an ask that is over, if the caller has no other use for it: Ask may return it again.
	// Nil if there is none.
	Reuse Reusable
	// Receipt of an ask says that it is a send, and that what is waited for is its receipt.
	Receipt bool
	// NoWait fails at once where the message would have to wait for a session or for room.
	NoWait bool
	// Shares says of an ask that its reply is decoded at once, and may be a part of memory that others use, too; see Response.
	Shares bool
}

// Memory is what is used again when all have released it who use it. It may be called concurrently.
type Memory interface {
	Release()
}

// Parts is an encoded message that is not in one piece yet.
type Parts interface {
	// Len returns how long it is: what was not taken out.
	Len() int
	// Take takes the first part out, and returns nil if there is none. Nobody looks at it after release.
	Take() (part []byte, release func())
}

// Received is a message as it came, encoded.
type Received struct {
	// Payload is the receiver's to keep, but for that of a Response, which says more.
	Payload []byte
	// Parts is the message instead, if it is a large one that came in pieces; nil where there is Payload. Encoded makes one of them.
	Parts Parts
}

// Len returns how long the message is.
func (r *Received) Len() int {
	if r.Parts != nil {
		return r.Parts.Len()
	}
	return len(r.Payload)
}

// Encoded returns the message in one piece. Unlike Complete, it may take its time, so it is for whoever decodes the message.
func (r *Received) Encoded() []byte {
	if r.Parts != nil {
		r.Payload, r.Parts = piecewise.Join(r.Parts), nil
	}
	return r.Payload
}

// Response is the outcome of an ask.
type Response struct {
	// Received is the reply. If Shared is nil, its Payload is the receiver's, but only until the ask is used again.
	Received
	// Shared is what Payload is a part of, if that is to be released when Payload is not needed any more. What is never released is left to the
	// garbage collector. Nil for an ask that has not said that it shares.
	Shared Memory
	// JSON says that the reply is JSON, which only an ask in JSON should get.
	JSON bool
	// Header and Trailer are the reply's metadata.
	Header, Trailer metadata.MD
	// Err is nil if there is a reply.
	Err *Error
}
