package endpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// Reason says what went wrong. The values are those of parley.v1.Failure.Reason.
type Reason int32

// The reasons. ReasonHandler is not Parley's: the handler of the endpoint answered with an error, which
// status.FromError gives unchanged.
const (
	ReasonHandler          Reason = 0
	ReasonEndpointNotFound        = Reason(parleyv1.Failure_REASON_ENDPOINT_NOT_FOUND)
	ReasonEndpointStopped         = Reason(parleyv1.Failure_REASON_ENDPOINT_STOPPED)
	ReasonMethodNotFound          = Reason(parleyv1.Failure_REASON_METHOD_NOT_FOUND)
	ReasonEnvStopped              = Reason(parleyv1.Failure_REASON_ENV_STOPPED)
	ReasonUnreachable             = Reason(parleyv1.Failure_REASON_UNREACHABLE)
	ReasonTimeout                 = Reason(parleyv1.Failure_REASON_TIMEOUT)
	ReasonCancelled               = Reason(parleyv1.Failure_REASON_CANCELLED)
	ReasonOverloaded              = Reason(parleyv1.Failure_REASON_OVERLOADED)
	ReasonTooLarge                = Reason(parleyv1.Failure_REASON_TOO_LARGE)
	ReasonUndecodable             = Reason(parleyv1.Failure_REASON_UNDECODABLE)
	ReasonUnencodable             = Reason(parleyv1.Failure_REASON_UNENCODABLE)
	ReasonPanic                   = Reason(parleyv1.Failure_REASON_PANIC)
	ReasonSelfAsk                 = Reason(parleyv1.Failure_REASON_SELF_ASK)
	ReasonNotHere                 = Reason(parleyv1.Failure_REASON_NOT_HERE)
	ReasonSessionEnded            = Reason(parleyv1.Failure_REASON_SESSION_ENDED)
	ReasonInvalid                 = Reason(parleyv1.Failure_REASON_INVALID)
	ReasonDuplicate               = Reason(parleyv1.Failure_REASON_DUPLICATE)
)

// sentinel is an error that stands for a reason in errors.Is.
type sentinel Reason

func (s sentinel) Error() string { return "parley: " + Reason(s).String() }

// Errors to compare with, by errors.Is. What is returned is an *Error, which says more.
var (
	// ErrEndpointNotFound: the Env has no endpoint of that name.
	ErrEndpointNotFound error = sentinel(ReasonEndpointNotFound)
	// ErrEndpointStopped: the endpoint was stopped.
	ErrEndpointStopped error = sentinel(ReasonEndpointStopped)
	// ErrMethodNotFound: the endpoint does not implement the method or service.
	ErrMethodNotFound error = sentinel(ReasonMethodNotFound)
	// ErrEnvStopped: the Env was shut down, this one or the peer; Error.Remote says which.
	ErrEnvStopped error = sentinel(ReasonEnvStopped)
	// ErrUnreachable: the peer cannot be connected to.
	ErrUnreachable error = sentinel(ReasonUnreachable)
	// ErrTimeout: a deadline passed. errors.Is(err, context.DeadlineExceeded) holds, too.
	ErrTimeout error = sentinel(ReasonTimeout)
	// ErrCancelled: the caller gave up. errors.Is(err, context.Canceled) holds, too.
	ErrCancelled error = sentinel(ReasonCancelled)
	// ErrOverloaded: the mailbox's window stayed full, or a limit on pending calls was met. Error.Execution says whether it may have run.
	ErrOverloaded error = sentinel(ReasonOverloaded)
	// ErrTooLarge: the message is larger than its receiver allows.
	ErrTooLarge error = sentinel(ReasonTooLarge)
	// ErrUndecodable: the request or the reply could not be decoded.
	ErrUndecodable error = sentinel(ReasonUndecodable)
	// ErrUnencodable: the request or the reply could not be encoded.
	ErrUnencodable error = sentinel(ReasonUnencodable)
	// ErrPanic: the handler panicked.
	ErrPanic error = sentinel(ReasonPanic)
	// ErrSelfAsk: a serial endpoint asked itself and was going to wait. Call Release first.
	ErrSelfAsk error = sentinel(ReasonSelfAsk)
	// ErrNotHere: no session with the Env of a client-mode Ref.
	ErrNotHere error = sentinel(ReasonNotHere)
	// ErrSessionEnded: the session with the peer ended.
	ErrSessionEnded error = sentinel(ReasonSessionEnded)
	// ErrInvalid: a name, address, URI, Ref or metadata is malformed.
	ErrInvalid error = sentinel(ReasonInvalid)
	// ErrDuplicate: the endpoint's name is taken.
	ErrDuplicate error = sentinel(ReasonDuplicate)
)

// Phase says how far a message had come when it failed.
type Phase int32

// The phases.
const (
	PhaseUnknown    Phase = 0
	PhaseConnecting       = Phase(parleyv1.Failure_PHASE_CONNECTING) // waiting for a session with the peer
	PhaseQueued           = Phase(parleyv1.Failure_PHASE_QUEUED)     // waiting for room, or to be written
	PhaseSent             = Phase(parleyv1.Failure_PHASE_SENT)       // written, or handed to the mailbox
)

// String returns the phase in a word.
func (p Phase) String() string {
	switch p {
	case PhaseConnecting:
		return "connecting"
	case PhaseQueued:
		return "queued"
	case PhaseSent:
		return "sent"
	default:
		return "unknown"
	}
}

// Execution says whether the handler may have run.
type Execution int32

// The certainties.
const (
	// ExecutionUnknown is to be taken as MayHaveExecuted.
	ExecutionUnknown Execution = 0
	// NotExecuted: the handler has not run and will not. It is safe to try again.
	NotExecuted = Execution(parleyv1.Failure_EXECUTION_NOT_EXECUTED)
	// MayHaveExecuted: the handler may have run, or be running.
	MayHaveExecuted = Execution(parleyv1.Failure_EXECUTION_MAY_HAVE_EXECUTED)
)

// String returns the certainty in words.
func (e Execution) String() string {
	if e == NotExecuted {
		return "not executed"
	}
	return "may have executed"
}

// Error is the error of every verb and of lookups and registrations. It has a gRPC status (status.FromError,
// status.Code), which travels: a remote error arrives as the same Reason and status that the peer made.
type Error struct {
	// Reason is the kind of failure; ReasonHandler if the endpoint's own code answered with an error.
	Reason Reason
	// Text says what happened, for people.
	Text string
	// Verb is what was tried: "send", "ask", "lookup", "register".
	Verb string
	// Endpoint, Method and Peer are what the message was for; Peer is HOST:PORT, an Env id, or "local".
	Endpoint, Method, Peer string
	// Phase is how far the message had come.
	Phase Phase
	// Execution says whether the handler may have run.
	Execution Execution
	// Elapsed is the time since the verb was called.
	Elapsed time.Duration
	// Setting names what controls the limit that was met, if one was.
	Setting string
	// Remote is true if the peer produced the error.
	Remote bool
	// Cause is the error below this one, if there is one.
	Cause error

	status *status.Status // as it came from the handler or the peer; nil if made here by Parley
}

// HandlerError returns the error of a call whose handler answered with st.
func HandlerError(st *status.Status) *Error {
	return &Error{Reason: ReasonHandler, Text: st.Message(), Phase: PhaseSent, Execution: MayHaveExecuted, status: st}
}

// ErrorFromStatus returns the error that a peer's status stands for: Parley's own if it has a parley.v1.Failure among its
// details, a handler's otherwise.
func ErrorFromStatus(s *spb.Status) *Error {
	st := status.FromProto(s)
	e := HandlerError(st)
	e.Remote = true
	for _, d := range st.Details() {
		f, ok := d.(*parleyv1.Failure)
		if !ok {
			continue
		}
		e.Reason = Reason(f.GetReason())
		e.Phase = Phase(f.GetPhase())
		e.Execution = Execution(f.GetExecution())
		e.Setting = f.GetSetting()
		e.Endpoint, e.Method, e.Peer = f.GetEndpoint(), f.GetMethod(), f.GetPeer()
	}
	return e
}

// AsError returns err as an *Error: itself if it is one, a handler's error (with its gRPC status, or codes.Unknown)
// otherwise. Nil stays nil. The errors of a context become those of Parley.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if _, ok := status.FromError(err); !ok && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return HandlerError(status.FromContextError(err))
	}
	st, _ := status.FromError(err)
	h := HandlerError(st)
	h.Cause = err
	return h
}

// Error returns one line with all that is known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("parley: ")
	for _, s := range []string{e.Verb, e.Endpoint, e.Method} {
		if s != "" {
			b.WriteString(s)
			b.WriteByte(' ')
		}
	}
	if e.Peer != "" {
		fmt.Fprintf(&b, "at %s ", e.Peer)
	}
	what := e.Reason.String()
	if e.Reason == ReasonHandler {
		what = "handler answered " + e.Code().String()
	}
	text := b.String()
	text = strings.TrimSuffix(text, " ")
	if !strings.HasSuffix(text, ":") {
		text += ":"
	}
	b.Reset()
	b.WriteString(text + " " + what)
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if e.Reason != ReasonHandler && (e.Phase != PhaseUnknown || e.Elapsed > 0) {
		side := "here"
		if e.Remote {
			side = "by the peer"
		}
		fmt.Fprintf(&b, " (said %s; phase %s, %s, after %s)", side, e.Phase, e.Execution, e.Elapsed.Round(time.Microsecond))
	}
	if e.Setting != "" {
		what := "limit"
		if e.Reason == ReasonTimeout || e.Setting == settingQueueTimeout || e.Setting == settingConnectTimeout {
			what = "timeout"
		}
		fmt.Fprintf(&b, ". This %s is controlled by %s", what, e.Setting)
	}
	if h := e.Reason.advice(); h != "" {
		b.WriteString(". " + h)
	}
	return b.String()
}

// Code returns the gRPC status code.
func (e *Error) Code() codes.Code {
	if e.status != nil {
		return e.status.Code()
	}
	if e.Reason == ReasonUndecodable && e.Execution == NotExecuted {
		return codes.InvalidArgument // a request: the asker is to blame, not this side
	}
	return e.Reason.Code()
}

// GRPCStatus returns the gRPC status: that of the handler or the peer unchanged, or one made of e, with a
// parley.v1.Failure among its details. The packages status and codes of grpc-go find it.
func (e *Error) GRPCStatus() *status.Status {
	if e.status != nil {
		return e.status
	}
	text := e.Text
	if text == "" {
		text = e.Reason.String()
	}
	st := status.New(e.Code(), strings.ToValidUTF8(text, "\uFFFD"))
	detailed, err := st.WithDetails(&parleyv1.Failure{
		Reason:    parleyv1.Failure_Reason(e.Reason),
		Phase:     parleyv1.Failure_Phase(e.Phase),
		Execution: parleyv1.Failure_Execution(e.Execution),
		Endpoint:  strings.ToValidUTF8(e.Endpoint, "\uFFFD"),
		Method:    strings.ToValidUTF8(e.Method, "\uFFFD"),
		Peer:      strings.ToValidUTF8(e.Peer, "\uFFFD"),
		Setting:   e.Setting,
	})
	if err != nil {
		return st // only codes.OK cannot have details, and no reason has it
	}
	return detailed
}

// At returns e as it is for one message: where that was, and whether it may have executed. The status of a peer's error is made anew,
// because it says those of the peer.
func (e *Error) At(p Phase, x Execution) *Error {
	at := *e
	at.Phase, at.Execution = p, x
	if e.Reason != ReasonHandler { // whose status is all that it says
		at.status = nil
	}
	return &at
}

// Is makes errors.Is work with the Err… variables, and with context.DeadlineExceeded and context.Canceled.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case sentinel:
		return e.Reason == Reason(t)
	default:
		return e.Reason == ReasonTimeout && target == context.DeadlineExceeded ||
			e.Reason == ReasonCancelled && target == context.Canceled
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// reasons holds what is known of each reason: its text, its code, and what to do.
var reasons = map[Reason]struct {
	text   string
	code   codes.Code
	advice string
}{
	ReasonHandler:          {"handler error", codes.Unknown, ""},
	ReasonEndpointNotFound: {"no such endpoint", codes.NotFound, "Check the name, and that it is registered at this address"},
	ReasonEndpointStopped:  {"endpoint stopped", codes.Unavailable, ""},
	ReasonMethodNotFound:   {"endpoint does not implement the method", codes.Unimplemented, "Check that both sides were generated from the same .proto"},
	ReasonEnvStopped:       {"env stopped", codes.Unavailable, ""},
	ReasonUnreachable:      {"cannot connect", codes.Unavailable, "Check that the peer listens there; grpc.WaitForReady(true) waits for it"},
	ReasonTimeout:          {"timed out", codes.DeadlineExceeded, ""},
	ReasonCancelled:        {"cancelled", codes.Canceled, ""},
	ReasonOverloaded:       {"overloaded", codes.ResourceExhausted, "The receiver is slower than its senders: send less, or give it a larger window"},
	ReasonTooLarge:         {"message too large", codes.ResourceExhausted, "parley.WithMaxMessageSize at the receiver limits payloads; the limit of metadata is fixed"},
	ReasonUndecodable:      {"message could not be decoded", codes.Internal, "Check that both sides were generated from the same .proto"},
	ReasonUnencodable:      {"message could not be encoded", codes.Internal, ""},
	ReasonPanic:            {"handler panicked", codes.Internal, ""},
	ReasonSelfAsk:          {"a serial endpoint asked itself", codes.FailedPrecondition, "Call endpoint.Release(ctx) first, or let the handler return without waiting (ask with context.WithoutCancel(ctx))"},
	ReasonNotHere:          {"no session with the Env of this Ref", codes.Unavailable, ""},
	ReasonSessionEnded:     {"session ended", codes.Unavailable, ""},
	ReasonInvalid:          {"invalid argument", codes.InvalidArgument, ""},
	ReasonDuplicate:        {"name is taken", codes.AlreadyExists, "Stop the endpoint that has it, or use another name"},
}

// String returns the reason in words.
func (r Reason) String() string {
	if i, ok := reasons[r]; ok {
		return i.text
	}
	return fmt.Sprintf("failure %d", int32(r))
}

// Code returns the gRPC status code that stands for the reason.
func (r Reason) Code() codes.Code {
	if i, ok := reasons[r]; ok {
		return i.code
	}
	return codes.Unknown
}

func (r Reason) advice() string { return reasons[r].advice }
