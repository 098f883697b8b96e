package link

import (
	"bytes"
	"context"
	"crypto/subtle"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/identity"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// retired is what the listening side ends a stream with from which another one has taken over.
var retired = status.Error(codes.Aborted, "parley: another stream carries the session now")

// attached puts a session on a stream whose hello has an attach. The checks come in the order of docs/protocol.md, section 3.2;
// a refused attach leaves the session as it was.
func attached(stream Stream, c *Config, a *parleyv1.Attach) (*Carrier, error) {
	refuse := func(reason parleyv1.Refusal_Reason, text string) (*Carrier, error) {
		return nil, sendRefusal(stream, c, &parleyv1.Refusal{Reason: reason, Message: text})
	}
	if a.GetEnvId() != "" && a.GetEnvId() != c.EnvID {
		return refuse(parleyv1.Refusal_REASON_WRONG_ENV, "this is another Env")
	}
	l := c.Table.session(a.GetSession())
	if l == nil || !l.session.Resumable() {
		return refuse(parleyv1.Refusal_REASON_UNKNOWN, "no such session")
	}
	if subtle.ConstantTimeCompare(l.token, a.GetToken()) != 1 || l.principal != identity.Principal(stream.Context()) {
		return refuse(parleyv1.Refusal_REASON_DENIED, "the token or the principal is not that of the session")
	}
	l.mu.Lock()
	if l.epoch == 0 && l.Live() { // the dialler has the welcome, and this side is about to begin: it will come back
		l.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "parley: the session is about to begin")
	}
	var reason parleyv1.Refusal_Reason
	text := ""
	switch {
	case !l.Live(), l.evicted:
		reason, text = parleyv1.Refusal_REASON_UNKNOWN, "the session is over"
	case a.GetEpoch() <= l.epoch:
		reason, text = parleyv1.Refusal_REASON_DENIED, "the epoch is not higher than that of the stream before"
	case !l.session.MayAttach(a.GetReceived()):
		reason, text = parleyv1.Refusal_REASON_UNKNOWN, "frames are said to be received that were not sent, or the other way round"
	}
	if text != "" {
		l.mu.Unlock()
		return refuse(reason, text)
	}
	old := l.carrier
	if old != nil {
		old.retire(retired)
		l.rotations++
	}
	l.session.Detach(time.Now())
	l.epoch = a.GetEpoch()
	received := l.session.Received()
	l.changed()
	l.mu.Unlock()

	welcome := wire.NewFrame(wire.AppendHead(nil, &wire.Head{Welcome: &parleyv1.Welcome{
		Revision: session.HighestRevision,
		EnvId:    c.EnvID,
		Address:  c.address(),
		Session:  a.GetSession(),
		Token:    l.token,
		Received: received,
		AttachAt: c.attachAt(),
	}}))
	if err := stream.SendMsg(welcome); err != nil {
		l.attachFailed(a.GetEpoch(), old != nil, err)
		return nil, status.Convert(err).Err()
	}
	carrier := newCarrier(l, stream, nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.Live() || l.evicted {
		return nil, status.Error(codes.Unavailable, "parley: the session has ended")
	}
	if l.epoch != a.GetEpoch() {
		return nil, retired // a later attach has overtaken this one
	}
	if v := l.session.Attach(time.Now(), a.GetReceived()); v != nil {
		return nil, status.Error(v.Code, v.Error())
	}
	carrier.takeOver(nil)
	l.changed()
	return carrier, nil
}

// attachFailed says that the stream of a taken attach has broken before it carried the session; hadStream, that it has taken the place of
// another one.
func (l *Link) attachFailed(epoch uint64, hadStream bool, err error) {
	l.mu.Lock()
	if !l.Live() || l.carrier != nil || l.epoch != epoch {
		l.mu.Unlock()
		return
	}
	over := l.park()
	if hadStream {
		l.telling.Add(1)
	}
	l.mu.Unlock()
	if hadStream {
		l.tellBroken(ended("the stream broke before the welcome", err))
	}
	if over {
		l.config.Table.evict()
	}
}

// attach puts the session on a new stream of cc, whether it has one or not. refusal is why the listener has refused.
func (l *Link) attach(ctx context.Context, cc grpc.ClientConnInterface) (refusal *parleyv1.Refusal, err *endpoint.Error) {
	l.mu.Lock()
	l.attaching = true
	l.epoch++
	a := &parleyv1.Attach{Session: l.peer.Session, Token: l.token, Epoch: l.epoch, Received: l.session.Received(), EnvId: l.peer.EnvID}
	l.mu.Unlock()
	hello := l.config.hello()
	hello.Opening = &parleyv1.Hello_Attach{Attach: a}
	o, err := open(ctx, cc, hello)
	l.mu.Lock()
	l.attaching = false
	if err != nil {
		l.mu.Unlock()
		return o.refusal, err
	}
	if !l.Live() {
		l.mu.Unlock()
		o.cancel()
		return nil, ended("the session has ended", nil)
	}
	if o.welcome.GetSession() != l.peer.Session || !bytes.Equal(o.welcome.GetToken(), l.token) || !l.session.MayAttach(o.welcome.GetReceived()) {
		l.mu.Unlock()
		o.cancel()
		e := ended("the answer to an attach is the welcome of another session", nil)
		l.finish(e, nil, true)
		return nil, e
	}
	l.attachAt = o.welcome.GetAttachAt()
	old := l.carrier
	if old != nil {
		old.retire(nil)
	}
	if old != nil || l.overtaken != nil {
		l.rotations++
	}
	l.overtaken = nil
	l.session.Detach(time.Now())
	if v := l.session.Attach(time.Now(), o.welcome.GetReceived()); v != nil {
		l.mu.Unlock()
		o.cancel()
		return nil, ended(v.Error(), v)
	}
	newCarrier(l, o.stream, o.cancel).takeOver(o.first)
	l.needs = false // that was the stream that is over
	l.changed()
	l.mu.Unlock()
	if old != nil {
		old.end()
	}
	return nil, nil
}
