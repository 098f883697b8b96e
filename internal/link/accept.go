package link

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/identity"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// opened is what was read of a stream before its link: the first frame, or an error.
type opened struct {
	frame *wire.Buffer
	err   error
}

// Accept opens the session of a stream that a dialler has begun. The error, a gRPC status, is for the stream's handler to
// return, like that of the Carrier when it is over. goes runs a function on a goroutine that somebody waits for: one reads the
// hello, and outlives Accept if none comes; another one opens the session.
func Accept(stream Stream, c *Config, goes func(func())) (*Carrier, error) {
	first := make(chan opened, 1)
	goes(func() {
		var f wire.Frame
		err := stream.RecvMsg(&f)
		first <- opened{f.Take(), err}
	})
	timeout := time.NewTimer(HelloTimeout)
	defer timeout.Stop()
	select {
	case o := <-first:
		if o.err != nil {
			return nil, status.Error(codes.Canceled, "parley: the stream ended before hello")
		}
		return acceptApart(stream, c, o.frame, goes)
	case <-timeout.C:
		return nil, status.Errorf(codes.DeadlineExceeded, "parley: no hello came in %s", HelloTimeout)
	case <-c.Table.over.Done():
		return nil, status.Error(codes.Unavailable, "parley: "+errTableClosed.Error())
	case <-stream.Context().Done():
		return nil, status.FromContextError(stream.Context().Err()).Err()
	}
}

// acceptApart calls accept on a goroutine of its own, because the handler of the stream waits for as long as the session, and does not need the stack
// that the opening takes. It panics as accept does, for whatever the gRPC server does about panics.
func acceptApart(stream Stream, c *Config, frame *wire.Buffer, goes func(func())) (carrier *Carrier, err error) {
	var panicked any
	done := make(chan struct{})
	goes(func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		carrier, err = accept(stream, c, frame)
	})
	if <-done; panicked != nil {
		panic(panicked)
	}
	return carrier, err
}

func accept(stream Stream, c *Config, frame *wire.Buffer) (*Carrier, error) {
	var h wire.Head
	if err := wire.ParseHead(frame.Bytes, &h); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "parley: undecodable frame: %v", err)
	}
	hello := h.Hello
	if hello == nil {
		return nil, status.Error(codes.InvalidArgument, "parley: the first frame of a stream must have a hello")
	}
	if h.Welcome != nil || h.Refusal != nil {
		return nil, status.Error(codes.FailedPrecondition, "parley: a welcome or refusal from a dialler")
	}
	waits := hello.GetWaitsForWelcome() || slices.Contains(hello.GetCapabilities(), resume)
	if body := wire.Body(frame.Bytes); waits {
		if _, more := body.Next(); more || h.Number != 0 {
			return nil, status.Error(codes.InvalidArgument, "parley: a dialler that waits for the welcome must not send envelopes before it")
		}
	}
	if r := refuse(c, hello); r != nil {
		return nil, sendRefusal(stream, c, r)
	}
	if a := hello.GetAttach(); a != nil {
		return attached(stream, c, a)
	}
	if c.Closing != nil && c.Closing() {
		return nil, status.Error(codes.Unavailable, "parley: "+errTableClosed.Error())
	}
	limits := *c.Limits
	if !waits {
		limits = atLeastInitial(limits)
	}
	id := uuid.NewString()
	token := make([]byte, 32)
	rand.Read(token) // it never fails
	l := &Link{
		peer:    endpoint.Peer{EnvID: hello.GetEnvId(), Address: hello.GetAddress(), Remote: RemoteAddr(stream.Context()), Session: id},
		config:  c,
		handler: c.Handler,
		token:   token,
		session: session.New(limits, session.LimitsFromProto(hello.GetLimits())),

		principal: identity.Principal(stream.Context()),
	}
	capabilities := slices.DeleteFunc(c.capabilities(), func(has string) bool { return !slices.Contains(hello.GetCapabilities(), has) })
	l.agree(capabilities)
	l.prepare()
	switch unknown, err := c.Table.add(l, hello.GetNew().GetToken()); err {
	case nil:
		for _, old := range unknown {
			old.finish(ended("the dialler has opened another session", nil), retired, false) // that it broke was told
		}
	case errTableClosed, errCrowded:
		return nil, status.Error(codes.Unavailable, "parley: "+err.Error())
	default:
		return nil, sendRefusal(stream, c, &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_DENIED, Message: err.Error()})
	}
	welcome := wire.NewFrame(wire.AppendHead(nil, &wire.Head{Welcome: &parleyv1.Welcome{
		Revision:     session.HighestRevision,
		Capabilities: capabilities,
		Limits:       limits.Proto(),
		EnvId:        c.EnvID,
		Address:      c.address(),
		Session:      id,
		Token:        token,
		AttachAt:     c.attachAt(),
	}}))
	if err := stream.SendMsg(welcome); err != nil {
		c.Table.Remove(l)
		l.discard(ended("the stream broke before the welcome", err))
		return nil, status.Convert(err).Err()
	}
	carrier := newCarrier(l, stream, nil)
	if !l.start(carrier, frame) {
		return nil, status.Error(codes.Unavailable, "parley: "+errTableClosed.Error())
	}
	return carrier, nil
}

// refuse returns why a hello is not taken, or nil.
func refuse(c *Config, hello *parleyv1.Hello) *parleyv1.Refusal {
	lowest := max(hello.GetLowestRevision(), 1)
	highest := hello.GetHighestRevision()
	if highest == 0 {
		highest = lowest
	}
	if lowest > session.HighestRevision || highest < session.LowestRevision || highest < lowest {
		return &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_REVISION, Message: "no revision that both sides speak"}
	}
	if text := c.badClaim(hello.GetEnvId(), hello.GetAddress()); text != "" {
		return &parleyv1.Refusal{Reason: parleyv1.Refusal_REASON_DENIED, Message: text}
	}
	return nil
}

// badClaim returns what is wrong with what a peer says that it is, or "".
func (c *Config) badClaim(envID, address string) string {
	if envID != "" {
		if u, err := uuid.Parse(envID); err != nil || u.String() != envID || envID == c.EnvID {
			return "the Env id is not a uuid, or is this Env's own"
		}
	}
	if address != "" {
		if _, err := endpoint.ParseAddress(address); err != nil {
			return "the address is malformed: " + err.Error()
		}
	}
	return ""
}

func sendRefusal(stream Stream, c *Config, r *parleyv1.Refusal) error {
	r.EnvId = c.EnvID
	r.LowestRevision, r.HighestRevision = session.LowestRevision, session.HighestRevision
	if err := stream.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Refusal: r}))); err != nil {
		return status.Convert(err).Err()
	}
	return status.Errorf(refusalCodes[r.GetReason()], "parley: refused: %s", r.GetMessage())
}

// refusalCodes are the status codes with which a stream ends after a refusal.
var refusalCodes = map[parleyv1.Refusal_Reason]codes.Code{
	parleyv1.Refusal_REASON_WRONG_ENV: codes.FailedPrecondition,
	parleyv1.Refusal_REASON_EXPIRED:   codes.NotFound,
	parleyv1.Refusal_REASON_UNKNOWN:   codes.NotFound,
	parleyv1.Refusal_REASON_DENIED:    codes.PermissionDenied,
	parleyv1.Refusal_REASON_REVISION:  codes.Unimplemented,
}

// atLeastInitial raises limits to the initial ones: a dialler that does not wait for the welcome may rely on them.
func atLeastInitial(l session.Limits) session.Limits {
	i := session.InitialLimits()
	l.MailboxMessages = max(l.MailboxMessages, i.MailboxMessages)
	l.MailboxBytes = max(l.MailboxBytes, i.MailboxBytes)
	l.SessionBytes = max(l.SessionBytes, i.SessionBytes)
	l.TransferBytes = max(l.TransferBytes, i.TransferBytes)
	l.ReplayBytes = max(l.ReplayBytes, i.ReplayBytes)
	l.MessageBytes = max(l.MessageBytes, i.MessageBytes)
	l.FrameBytes = max(l.FrameBytes, i.FrameBytes)
	l.Routes = max(l.Routes, i.Routes)
	l.Transfers = max(l.Transfers, i.Transfers)
	l.Pending = max(l.Pending, i.Pending)
	l.Mailboxes = max(l.Mailboxes, i.Mailboxes)
	l.StreamBytes = max(l.StreamBytes, i.StreamBytes)
	l.Streams = max(l.Streams, i.Streams)
	return l
}

// RemoteAddr returns the socket address of who is at the other end of the stream with that context; empty if that is not known.
func RemoteAddr(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}
