package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/callctx"
	"github.com/parley-rpc/parley/internal/identity"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/wire"
)

// Caller returns what carries messages of this Env to its own endpoint of that name. They are encoded and decoded as those
// from afar, so that neither side sees the other's later changes, and everything that can go wrong goes wrong in the same way.
func (s *Server) Caller(name string) endpoint.Caller {
	return &localCaller{server: s, name: name, from: here, window: (*hosted).localWindow}
}

// The settings that errors name.
const (
	askTimeout   = "parley.WithAskTimeout"
	queueTimeout = "parley.WithQueueTimeout"
)

const (
	// messageBytes is what a local message takes of its window beside what it carries.
	messageBytes = 64
	// maxMetadataBytes bounds the metadata of a message, or of a reply, as in a session.
	maxMetadataBytes = 64 << 10
)

// refuseReply returns why a local reply is not delivered, or nil, and takes out of it what does not travel. A session does the same.
func (s *Server) refuseReply(r *endpoint.Response) *endpoint.Error {
	size := 0
	for _, md := range []*metadata.MD{&r.Header, &r.Trailer} {
		entries, err := wire.FromMD(*md)
		if err != nil {
			return failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err)
		}
		*md = wire.MD(entries)
		size += metadataBytes(entries)
	}
	limits := s.config.Link.Limits
	switch {
	case uint64(r.Len()) > limits.MessageBytes:
		return failure(endpoint.ReasonTooLarge, endpoint.MayHaveExecuted, "reply: %d bytes, where the receiver allows %d", r.Len(), limits.MessageBytes)
	case size > maxMetadataBytes:
		return failure(endpoint.ReasonTooLarge, endpoint.MayHaveExecuted, "reply: more than 64 KiB of metadata")
	case r.Err == nil:
		return nil
	}
	if size, limit := proto.Size(statusOf(r.Err)), limits.FrameBytes/2; uint64(size) > limit {
		return failure(endpoint.ReasonTooLarge, endpoint.MayHaveExecuted, "reply: a status of %d bytes, where %d fit", size, limit)
	}
	return nil
}

// metadataBytes returns what entries take of the limit on metadata, as in a session.
func metadataBytes(entries []wire.Metadata) int {
	n := 0
	for i := range entries {
		n += pairBytes(entries[i].Key, entries[i].Value)
	}
	return n
}

func pairBytes(key, value string) int { return len(key) + len(value) + 8 }

type localCaller struct {
	server   *Server
	name     string
	from     *peer.Peer                 // who sends
	window   func(*hosted) *localWindow // what senders of that kind share
	ordinary bool                       // it is an ordinary gRPC call that is passed on: its metadata has what gRPC's server says of it
}

// life returns the parent of the contexts of what l carries, which knows who has sent it.
func (l *localCaller) life() context.Context {
	if l.from == here {
		return l.server.own
	}
	return peer.NewContext(l.server.life, l.from)
}

// Peer implements endpoint.Caller.
func (l *localCaller) Peer() string { return "local" }

// Carried implements endpoint.Caller.
func (l *localCaller) Carried() *peer.Peer { return here }

// local is the address of who is in the same Env.
type local struct{}

func (local) Network() string { return "local" }
func (local) String() string  { return "local" }

// here is who sends a local message.
var here = &peer.Peer{Addr: local{}, AuthInfo: identity.InProcess{}}

// Go implements endpoint.Caller.
func (l *localCaller) Go(f func()) { l.server.Go(f) }

// Calls implements endpoint.Caller.
func (l *localCaller) Calls() *endpoint.Calls { return &l.server.calls }

// WaitsForItself implements endpoint.Caller.
func (l *localCaller) WaitsForItself(ctx context.Context) bool {
	h, err := l.server.find(l.name)
	return err == nil && h.holdsUp(ctx)
}

// Send implements endpoint.Caller.
func (l *localCaller) Send(ctx context.Context, r endpoint.Request) error {
	if err := l.post(ctx, &r, nil); err != nil {
		return err
	}
	return nil
}

// Ask implements endpoint.Caller.
func (l *localCaller) Ask(ctx context.Context, r endpoint.Request, done endpoint.Completion) endpoint.Pending {
	a := &localAsk{server: l.server, done: done}
	if r.Receipt {
		a.complete(endpoint.Response{Err: l.post(ctx, &r, nil)})
		return a
	}
	if err := l.post(ctx, &r, a); err != nil {
		a.complete(endpoint.Response{Err: err})
	}
	return a
}

// post puts a message into the mailbox; a is nil for a send.
func (l *localCaller) post(ctx context.Context, r *endpoint.Request, a *localAsk) *endpoint.Error {
	h, err := l.server.find(l.name)
	if err != nil {
		return err
	}
	method, err := h.method(r.Method, false)
	if err != nil {
		return err
	}
	encoded, parts, encodeErr := payload.Marshal(r.Message, r.NoWait)
	if encodeErr != nil {
		return payload.Unencodable(encodeErr)
	}
	bytes := len(encoded)
	if parts != nil {
		bytes = parts.Len()
	}
	if limit := l.server.config.Link.Limits.MessageBytes; uint64(bytes) > limit {
		return failure(endpoint.ReasonTooLarge, endpoint.NotExecuted, "%d bytes, where the receiver allows %d", bytes, limit)
	}
	if err := h.authorize(ctx, r); err != nil {
		return err
	}
	incoming, extra, err := l.incoming(r.Metadata)
	if err != nil {
		return err
	}
	size := bytes + extra + messageBytes
	var deadline time.Time // of an ask
	timeout := l.server.config.QueueTimeout
	byDefault := a != nil && r.Deadline.IsZero() // the ask timeout ends it, also while it waits for room
	if byDefault {
		deadline = r.Started.Add(l.server.config.AskTimeout)
		timeout = min(timeout, l.server.config.AskTimeout)
	} else if a != nil {
		deadline = r.Deadline
	}
	window := l.window(h)
	if err := window.take(ctx, size, r.NoWait, timeout); err != nil {
		if err.Setting == queueTimeout && timeout < l.server.config.QueueTimeout {
			return &endpoint.Error{Reason: endpoint.ReasonTimeout, Phase: err.Phase, Execution: err.Execution, Setting: askTimeout}
		}
		return err
	}
	c := &call{ctx: new(callctx.Context), hosted: h, method: method, payload: encoded, parts: parts, encoding: wire.Proto, local: a, from: l.from, window: window,
		size: uint32(size), arrived: l.server.arrival(r.Started)}
	if byDefault {
		a.timer.Store(time.AfterFunc(time.Until(deadline), a.timeOut))
	}
	if a != nil {
		a.call.Store(c.ctx)
	}
	c.begin(l.life(), incoming, deadline)
	method.calls.Add(1)
	if h.box.Post(c) == 0 {
		window.giveBack(size)
		return l.server.closedMailbox(l.name)
	}
	return nil
}

// method returns a method of the endpoint, which is streaming or not.
func (h *hosted) method(name string, streaming bool) (*offered, *endpoint.Error) {
	m := h.offers.Load().method(name)
	switch {
	case m == nil:
		return nil, failure(endpoint.ReasonMethodNotFound, endpoint.NotExecuted, "%s does not implement %s", h.name(), name)
	case m.IsStreaming() != streaming:
		return nil, wrongKind(m)
	default:
		return m, nil
	}
}

// authorize has the credentials of a local call, if it has any, say what they would to a peer.
func (h *hosted) authorize(ctx context.Context, r *endpoint.Request) *endpoint.Error {
	if r.Credentials == nil {
		return nil
	}
	authority := h.ref.Address()
	if authority == "" {
		authority = here.Addr.String()
	}
	return r.Authorize(ctx, here, authority)
}

// toldByServer are the reserved keys that gRPC's server shows to its handlers. They are the transport's own, and not what the caller has put in.
var toldByServer = [...]string{":authority", "user-agent"}

// incoming returns the metadata of a message as its handler gets it, and its size.
func (l *localCaller) incoming(md metadata.MD) (metadata.MD, int, *endpoint.Error) {
	entries, err := wire.FromMD(md)
	if err != nil {
		return nil, 0, failure(endpoint.ReasonInvalid, endpoint.NotExecuted, "%v", err)
	}
	in, size := wire.MD(entries), metadataBytes(entries)
	if l.ordinary {
		if in == nil {
			in = make(metadata.MD, len(toldByServer))
		}
		for _, key := range toldByServer {
			for _, value := range md[key] {
				in[key] = append(in[key], value)
				size += pairBytes(key, value)
			}
		}
	}
	if size > maxMetadataBytes {
		return nil, 0, failure(endpoint.ReasonTooLarge, endpoint.NotExecuted, "more than 64 KiB of metadata")
	}
	return in, size, nil
}

// localAsk is an ask to an endpoint of the same Env.
type localAsk struct {
	server *Server
	done   endpoint.Completion
	timer  atomic.Pointer[time.Timer]      // for the default timeout; nil if the context has a deadline
	call   atomic.Pointer[callctx.Context] // the handler's
	ended  atomic.Bool
}

// complete ends the ask, unless it has ended.
func (a *localAsk) complete(r endpoint.Response) {
	if !a.ended.CompareAndSwap(false, true) {
		a.server.late.Add(1)
		return
	}
	a.stopTimer()
	a.call.Store(nil) // a future may be kept for long
	a.done.Complete(r)
}

func (a *localAsk) stopTimer() {
	if t := a.timer.Load(); t != nil {
		t.Stop()
	}
}

func (a *localAsk) timeOut() {
	a.Abandon(&endpoint.Error{Reason: endpoint.ReasonTimeout, Phase: endpoint.PhaseSent, Execution: endpoint.MayHaveExecuted, Setting: askTimeout})
}

// Abandon implements endpoint.Pending.
func (a *localAsk) Abandon(e *endpoint.Error) {
	if !a.ended.CompareAndSwap(false, true) {
		return
	}
	a.stopTimer()
	if c := a.call.Swap(nil); c != nil {
		err := context.Canceled
		if e.Reason == endpoint.ReasonTimeout {
			err = context.DeadlineExceeded
		}
		c.Cancel(err, nil)
	}
	a.done.Complete(endpoint.Response{Err: e})
}

// localAsks are the local asks and streaming calls that handlers of one endpoint are running.
type localAsks struct {
	mu      sync.Mutex
	running map[endpoint.Pending]struct{}
}

func (l *localAsks) add(a endpoint.Pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = make(map[endpoint.Pending]struct{})
	}
	l.running[a] = struct{}{}
}

func (l *localAsks) remove(a endpoint.Pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, a)
}

// fail ends all of them with e. Their handlers may go on; what they answer is late.
func (l *localAsks) fail(e *endpoint.Error) {
	l.mu.Lock()
	running := slices.Collect(maps.Keys(l.running))
	l.mu.Unlock()
	for _, a := range running {
		own := *e
		a.Abandon(&own)
	}
}
