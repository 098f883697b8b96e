package endpoint

import (
	"context"
	"time"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/identity"
)

// handling is what the context of a handler or callback knows of it. Package server implements it.
type handling interface {
	// ReleaseTurn lets the mailbox go on, or returns why it cannot.
	ReleaseTurn() *Error
	// Self is false from OnStop on.
	Self() (Ref, bool)
	Arrived() (time.Time, bool)
	Sender() Peer
	Bind(Ref) (Bound, error)
}

// inHandler calls f with what ctx knows, and reports false if ctx is not that of a handler that runs.
func inHandler(ctx context.Context, f func(h handling)) bool {
	return callctx.Use(ctx, func(call any) { f(call.(handling)) })
}

func errNoHandler(name string) *Error {
	return &Error{Reason: ReasonInvalid, Text: "endpoint." + name + " needs the context of a handler", Execution: NotExecuted}
}

// errSelfAsk returns the error of an ask of an endpoint to itself. It is not inlined, because the error would be on the stack of every ask.
//
//go:noinline
func errSelfAsk() *Error {
	return &Error{Reason: ReasonSelfAsk, Text: "it would wait for ever for its own mailbox", Phase: PhaseQueued, Execution: NotExecuted}
}

// Release, called inside a handler with its context, lets the endpoint take its next message while this handler goes on;
// what the handler returns is still the reply. After it the handler runs concurrently with others and must guard what they share. This
// is what Spark's deferred reply, Akka's pipe-to-self and gorums' release are for. Calling it again does nothing.
//
// It fails with ErrOverloaded if the endpoint has as many released handlers as MaxReleased allows, and with ErrInvalid
// outside a handler, and in OnStart and OnStop, which run alone.
func Release(ctx context.Context) error {
	var refused *Error
	if !inHandler(ctx, func(h handling) { refused = h.ReleaseTurn() }) {
		return errNoHandler("Release")
	}
	if refused != nil {
		return refused
	}
	return nil
}

// Self returns the Ref of the endpoint whose handler or callback has the context ctx. It reports false in OnStop, outside
// of handlers, and when the handler has returned.
func Self(ctx context.Context) (ref Ref, ok bool) {
	inHandler(ctx, func(h handling) { ref, ok = h.Self() })
	return ref, ok
}

// Arrived returns when the message came into the mailbox, inside a handler, an interceptor or a stats handler, so that what is too old can be refused,
// and waits can be measured. Of messages of this Env itself, and of ordinary gRPC calls, it is exact only where the Env has stats handlers; else it is
// when the ask or the call was made, and not known of sends. It reports false where it is not known, and outside of handlers.
func Arrived(ctx context.Context) (at time.Time, ok bool) {
	inHandler(ctx, func(h handling) { at, ok = h.Arrived() })
	return at, ok
}

// Sender returns the Env that the message came from. It reports false outside of handlers.
func Sender(ctx context.Context) (peer Peer, ok bool) {
	ok = inHandler(ctx, func(h handling) { peer = h.Sender() })
	return peer, ok
}

// targetKey is the key of the Ref that a call is for.
type targetKey struct{}

// WithTarget returns ctx as that of a call of the endpoint that r names. Callers that run something around their messages give that such a context.
func WithTarget(ctx context.Context, r Ref) context.Context {
	return context.WithValue(ctx, targetKey{}, r)
}

// Target returns the Ref that a call is for, inside client interceptors and client stats handlers. Self is there the endpoint that makes the
// call, if one does. It reports false elsewhere.
func Target(ctx context.Context) (r Ref, ok bool) {
	r, ok = ctx.Value(targetKey{}).(Ref)
	return r, ok
}

// Principal returns who has sent the message, inside a handler or an interceptor: what the carrier of the message has authenticated, which is the
// first SPIFFE id, URI, DNS name, email or IP address of the peer's certificate, else its subject, else its key. Of a message that was
// relayed that is the relay; of an ordinary gRPC call, its client. It reports false where nothing was authenticated: over plaintext, with TLS
// without a client certificate or with one that only a callback of the program has verified, inside callbacks such as OnStart, and for
// messages of this Env itself, whose peer.FromContext has the AuthType "local".
//
// Unlike what Sender says, it is no claim of the peer.
func Principal(ctx context.Context) (name string, ok bool) {
	name = identity.Principal(ctx)
	return name, name != ""
}

// Bind turns a Ref that came in a message into one that can be called, inside the handler that has the context ctx;
// elsewhere use Bind of the Env. Nothing is sent. It fails with ErrInvalid if the Ref is malformed or ctx is not that of
// a handler. That nobody has a way to the endpoint is no error of Bind: the verbs report it, with ErrNotHere for a Ref in
// client mode.
func Bind(ctx context.Context, ref *parleyv1.Ref) (Bound, error) {
	r, err := RefFromProto(ref)
	if err != nil {
		return Bound{}, err
	}
	var b Bound
	if !inHandler(ctx, func(h handling) { b, err = h.Bind(r) }) {
		return Bound{}, errNoHandler("Bind")
	}
	return b, err
}
