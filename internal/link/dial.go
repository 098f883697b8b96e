package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// deniedRetries is how often Dial tries again, after deniedPause to twice that, where the peer has a session with this Env whose
// token is not known here: that of another attempt, whose welcome is on its way, or one that is about to end.
const (
	deniedRetries = 5
	deniedPause   = 20 * time.Millisecond
)

// Dial opens a stream on cc and a session on it. ctx bounds the opening only. Every error means that nothing was executed.
func Dial(ctx context.Context, cc grpc.ClientConnInterface, c *Config) (*Link, *endpoint.Error) {
	var token []byte
	for retries := 0; ; {
		l, refusal, by, err := dial(ctx, cc, c, token)
		if refusal.GetReason() != parleyv1.Refusal_REASON_DENIED {
			return l, err
		}
		if refusal.GetEnvId() == c.EnvID {
			return nil, unreachable(ctx, fmt.Errorf("this address is this very Env; use %s", c.address()))
		}
		// The peer may be one that this Env has a session with, under another address, or has had.
		if known := c.Table.newToken(refusal.GetEnvId(), by); known != nil && token == nil {
			token = known
			continue
		}
		if retries == deniedRetries || !pause(ctx, deniedPause+rand.N(deniedPause)) {
			return nil, err
		}
		retries++
		token = c.Table.newToken(refusal.GetEnvId(), by)
	}
}

// pause waits for d, and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// dial makes one attempt. Where it is refused, by is who has done that.
func dial(ctx context.Context, cc grpc.ClientConnInterface, c *Config, token []byte) (l *Link, refusal *parleyv1.Refusal, by listener, e *endpoint.Error) {
	hello := c.hello()
	hello.Opening = &parleyv1.Hello_New{New: &parleyv1.NewSession{Token: token}}
	o, err := open(ctx, cc, hello)
	if err != nil {
		return nil, o.refusal, o.by, err
	}
	w := o.welcome
	for _, agreed := range w.GetCapabilities() {
		if !slices.Contains(hello.GetCapabilities(), agreed) {
			o.cancel()
			return nil, nil, o.by, unreachable(ctx, fmt.Errorf("the welcome agrees to capabilities that were not offered: %.300q", w.GetCapabilities()))
		}
	}
	if text := c.badClaim(w.GetEnvId(), w.GetAddress()); text != "" {
		o.cancel()
		return nil, nil, o.by, unreachable(ctx, errors.New("the welcome is not to be believed: "+text))
	}
	l = &Link{
		peer:    endpoint.Peer{EnvID: w.GetEnvId(), Address: w.GetAddress(), Remote: o.by.remote, Session: w.GetSession()},
		dialled: true,
		config:  c,
		handler: c.Handler,
		token:   bytes.Clone(w.GetToken()),
		session: session.New(*c.Limits, session.LimitsFromProto(w.GetLimits())),

		principal: o.by.principal, dialledAt: o.by.address,
	}
	l.attachAt = w.GetAttachAt()
	l.agree(w.GetCapabilities())
	if l.session.Resumable() {
		l.session.Acknowledge() // an empty frame, which says that the welcome has come
	}
	l.prepare()
	if _, err := c.Table.add(l, nil); err != nil {
		o.cancel()
		return nil, nil, o.by, &endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: err.Error(), Phase: endpoint.PhaseConnecting, Execution: endpoint.NotExecuted}
	}
	if !l.start(newCarrier(l, o.stream, o.cancel), o.first) { // a welcome may come with more
		o.cancel()
	}
	return l, nil, o.by, nil
}

// hello returns what every hello of this Env says.
func (c *Config) hello() *parleyv1.Hello {
	h := &parleyv1.Hello{
		LowestRevision:  session.LowestRevision,
		HighestRevision: session.HighestRevision,
		Limits:          c.Limits.Proto(),
		EnvId:           c.EnvID,
		Address:         c.address(),
		WaitsForWelcome: true,
	}
	h.Capabilities = c.capabilities()
	return h
}

// The capabilities that this package has.
const (
	resume   = "resume"   // sessions outlive their streams
	receipts = "receipts" // sends may want a receipt
	streams  = "streams"  // streaming calls
)

// capabilities returns what this side offers or agrees to.
func (c *Config) capabilities() []string {
	if c.Resume {
		return []string{resume, receipts, streams}
	}
	return []string{receipts, streams}
}

// agree begins what both sides have agreed to.
func (l *Link) agree(capabilities []string) {
	if slices.Contains(capabilities, resume) {
		l.session.Resume()
	}
	if slices.Contains(capabilities, receipts) {
		l.session.GiveReceipts()
	}
	if slices.Contains(capabilities, streams) {
		l.session.CarryStreams()
	}
}

// opening is a stream whose hello was answered.
type opening struct {
	stream  grpc.ClientStream
	cancel  func()
	welcome *parleyv1.Welcome
	first   *wire.Buffer      // the frame of the welcome
	refusal *parleyv1.Refusal // instead of all others
	by      listener          // who has answered
}

// open opens a stream on cc with a hello, and waits for the answer. ctx bounds that only, and nothing of it is kept.
func open(ctx context.Context, cc grpc.ClientConnInterface, hello *parleyv1.Hello) (opening, *endpoint.Error) {
	streamCtx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	fail := func(err error) (opening, *endpoint.Error) {
		stop()
		cancel()
		return opening{}, unreachable(ctx, err)
	}
	stream, err := cc.NewStream(streamCtx, &grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}, Method)
	if err != nil {
		return fail(err)
	}
	if err := stream.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: hello}))); err != nil {
		err = stream.RecvMsg(&wire.Frame{}) // SendMsg says only EOF; RecvMsg says why
		return fail(err)
	}
	var f wire.Frame
	if err := stream.RecvMsg(&f); err != nil {
		return fail(err)
	}
	var h wire.Head
	if err := wire.ParseHead(f.Bytes(), &h); err != nil {
		return fail(err)
	}
	if r := h.Refusal; r != nil {
		stop()
		cancel()
		return opening{refusal: r, by: listenerOf(cc, stream.Context())}, unreachable(ctx, fmt.Errorf("refused: %s: %s", r.GetReason(), r.GetMessage()))
	}
	w := h.Welcome
	if w == nil || w.GetRevision() < session.LowestRevision || w.GetRevision() > session.HighestRevision {
		return fail(fmt.Errorf("the first answer is no welcome of a revision that this side speaks"))
	}
	if !stop() {
		return fail(ctx.Err())
	}
	return opening{stream: stream, cancel: cancel, welcome: w, first: f.Take(), by: listenerOf(cc, stream.Context())}, nil
}

// unreachable returns the error of an opening that failed.
func unreachable(ctx context.Context, err error) *endpoint.Error {
	if ctx.Err() != nil {
		e := endpoint.ContextError(ctx)
		e.Phase, e.Execution = endpoint.PhaseConnecting, endpoint.NotExecuted
		return e
	}
	return &endpoint.Error{
		Reason: endpoint.ReasonUnreachable, Text: status.Convert(err).Message(), Phase: endpoint.PhaseConnecting, Execution: endpoint.NotExecuted, Cause: err,
	}
}
