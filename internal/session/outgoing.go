package session

import (
	"time"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/smallmap"
	"github.com/parley-rpc/parley/internal/wire"
)

const (
	// batchBytes is how much body goes into one frame. gRPC's own cost of a frame, with its four switches of goroutines, is
	// that of some 50 small messages. For a frame of more than 32 KiB gRPC clears 1 MiB of memory on each side, which is the next size of its pool, so this
	// leaves room for a head, of which one with eight credits of long names alone has more than it. gRPC writes two DATA frames at once. This is what measured best.
	batchBytes = 32_000
	// headRoom is how much of a buffer a head is expected to take.
	headRoom = 200
	// MostWhole is the largest payload that travels whole: in a frame of one HTTP/2 DATA frame.
	MostWhole = 15_900
	// chunkBytes is the size of the chunks of a larger one, which with all that is around them fit into a batch.
	chunkBytes = wire.PartBytes / 4
	// wholeBytes is the largest payload that a message of a streaming call may have in its envelope, by revision 1. It bounds by how much a peer can
	// overdraw the window of a call.
	wholeBytes = 64 << 10
	// besideBytes is what a message of a streaming call takes of its window beside its envelope, by revision 1: without it, a window would hold tens of
	// thousands of empty ones.
	besideBytes = 64
	// queueBytes is how much may wait to be written before senders have to wait.
	queueBytes = 512 << 10
	// wakeBytes is how little has to wait before they go on: they would take turns with the writer frame by frame otherwise,
	// and each turn costs a switch of goroutines.
	wakeBytes = queueBytes / 4
	// replyBytes is how much of replies may wait to be written before further ones are replaced by an error.
	replyBytes = 64 << 20
	// creditsPerFrame keeps heads small.
	creditsPerFrame = 8
)

// outgoing is all that waits to be written, and what may be.
type outgoing struct {
	number uint64 // of the last frame that was made
	acked  uint64 // the peer has taken over everything up to this frame

	open    batch   // takes envelopes
	ready   []batch // ended, in order
	queued  int     // bytes in open and ready
	written uint64  // the highest ask in a frame that was made
	hint    int     // the size of the last batch: the next is expected to be alike

	replay replay // what was written, until it is acknowledged
	pace   pace   // how much of it may be chunks

	transfers     []*transfer // that have begun, in turn
	sends         []*transfer // large sends that are not acknowledged wholly, in order; if the session outlives its streams
	underway      int         // transfers that have not ended, begun or not
	replies       []*transfer // large replies that wait for a transfer to end
	lastTransfer  uint64
	largeReplies  int            // bytes in replies, and in transfers that are replies
	betweenChunks int            // bytes of batches since the last chunk, up to batchBytes
	bye           *wire.Envelope // waits until all else is written; nil if there is none
	largeMessages int            // bytes in transfers that are not replies

	accounts smallmap.Map[mailboxKey, *account]
	blocked  []*account // those with waiters, in turn
	session  credit.Window
	transfer credit.Window
	routes   smallmap.Map[wire.Target, *Route]

	full    bool          // queued has reached queueBytes, and not come down to wakeBytes since
	ackNow  bool          // an acknowledgement is due
	dirtyIn bool          // the session's credit is to be stated
	dirty   []*Account    // credit to be stated
	drain   time.Duration // after which this side is going to end the stream, which it is about to announce; 0 if not
	pongs   []uint64
	scratch *wire.Envelope // of envelope; nil while nothing is written
	credits []wire.Credit  // scratch
}

// account is the sender's side of one mailbox at the peer, or of one streaming call. Like a Route, it is one cache line.
type account struct {
	session  *Session // of a mailbox
	window   credit.Window
	transfer *transfer // a large message that is under way to it; the others wait behind it
	blocked  bool      // in outgoing.blocked
	stream   bool      // of a streaming call: it takes nothing of the session's window
}

// Route is a target at the peer of one session.
type Route struct {
	target  wire.Target
	account *account
	number  uint32 // 0 if there are too many: then the target is written out
}

// Posting is an ask, a send, or the opening of a streaming call, on its way into the session.
type Posting struct {
	// Ask is the ask or the streaming call, nil for a send without a receipt.
	Ask *Ask
	// Receipt says that it is a send, of which Ask gets the receipt.
	Receipt bool
	// Target is where to.
	Target wire.Target
	// Route may be the route that an earlier posting took, of any session: it need not be looked up if it leads there. Post sets it to the one that it
	// takes.
	Route *Route
	// Payload is kept if it is longer than MostWhole, copied otherwise.
	Payload []byte
	// Parts is the payload instead, if it is larger than MostWhole and in parts: the session takes it over with the posting. Its Encoding is wire.Proto.
	Parts *wire.Parts
	// Memory is what Payload is in, if it is kept and that may be used again: the session takes it over with the posting. Nil if there is none.
	Memory *wire.Buffer
	// Encoding is wire.Proto or wire.JSON. JSON is not cut into chunks.
	Encoding wire.Encoding
	// Metadata is copied.
	Metadata []wire.Metadata
	// Started is when the asker began to wait, and Deadline when it stops; zero for a send, and for an ask without end.
	Started, Deadline time.Time
	// Waiter keeps the place of a posting that has to wait; nil if it will not.
	Waiter *credit.Waiter
}

func (p *Posting) size() int { return payloadSize(p.Payload, p.Parts) }

// payloadSize returns the size of a payload that may be in parts.
func payloadSize(payload []byte, parts *wire.Parts) int {
	if parts != nil {
		return parts.Len()
	}
	return len(payload)
}

// Post accepts p, if there is room. If not, p.Waiter, unless it is nil, keeps its place in the order; Post is to be called again
// when it gets its turn, or Leave. An error is final.
func (s *Session) Post(p *Posting) (accepted bool, err *endpoint.Error) {
	if err := s.refuse(p); err != nil {
		s.Leave(p)
		return false, err
	}
	r := p.Route
	if r == nil || r.account.session != s || r.target != p.Target {
		if r, err = s.route(p.Target); err != nil {
			return false, err
		}
		p.Route = r
	}
	a := r.account
	large := p.size() > MostWhole && p.Encoding == wire.Proto
	if a.window.Waiters.Blocks(p.Waiter) || !s.mayStart(a, large) {
		if p.Waiter != nil {
			a.window.Waiters.Join(p.Waiter)
			s.block(a)
		}
		return false, nil
	}
	e := s.out.envelope()
	e.Kind, e.Metadata, e.Encoding, e.Payload, e.RemainingMicros = wire.KindSend, p.Metadata, p.Encoding, p.Payload, 0
	if p.Ask != nil {
		p.Ask.receipt, p.Ask.account = p.Receipt, a
		s.asks.add(p.Ask)
		e.ID = p.Ask.id
		switch {
		case p.Ask.Stream != nil:
			e.Kind = wire.KindHeaders
			s.asks.stream(e.ID)
			s.begin(p.Ask.Stream, e.ID, false)
		case !p.Receipt:
			e.Kind = wire.KindAsk
		}
	}
	e.Route = r.number
	if r.number == 0 {
		e.Text, e.Target = true, p.Target
	}
	if large {
		s.announce(p, a, e)
	}
	if !p.Deadline.IsZero() {
		s.tellRemaining(e, p)
	}
	cost := uint64(s.append(e))
	if large {
		s.startTransfer(a.transfer)
	}
	a.window.Charge(1, cost)
	s.out.session.Charge(1, cost)
	if p.Ask != nil {
		s.out.open.lastAsk = p.Ask.id
	}
	e.ID, e.Metadata, e.Payload = 0, nil, nil // what Post does not set each time
	e.Text, e.Target, e.Transfer, e.TransferSize = false, wire.Target{}, 0, 0
	if p.Waiter != nil {
		a.window.Waiters.Leave(p.Waiter)
		s.wake()
	}
	return true, nil
}

// announce makes the large payload of p a transfer, which e announces.
func (s *Session) announce(p *Posting, a *account, e *wire.Envelope) {
	t := &transfer{id: s.nextTransfer(), data: p.Payload, memory: p.Memory, parts: p.Parts, size: p.size(), account: a}
	a.transfer = t
	if p.Ask != nil {
		p.Ask.transfer = t
	} else if s.out.replay.on {
		t.send = &Send{Target: p.Target, Metadata: clone(p.Metadata), Encoding: wire.Proto}
		s.out.sends = append(s.out.sends, t)
	}
	e.Encoding, e.Payload, e.Transfer, e.TransferSize = wire.Transfer, nil, t.id, uint64(t.size)
	s.out.transfer.Charge(1, e.TransferSize)
}

// Leave gives up the place of p.
func (s *Session) Leave(p *Posting) {
	if p.Waiter == nil {
		return
	}
	if a := s.out.accounts.Get(mailboxKey{p.Target.EnvID, p.Target.Endpoint}); a != nil {
		a.window.Waiters.Leave(p.Waiter)
		s.wake()
	}
}

// refuse returns why p can never be accepted, or nil.
func (s *Session) refuse(p *Posting) *endpoint.Error {
	if s.over != nil {
		return sessionOver(s.over)
	}
	if limit := s.payloadLimit(p.Encoding); uint64(p.size()) > limit {
		return tooLarge(p.size(), limit)
	}
	if metadataBytes(p.Metadata) > maxMetadataBytes {
		return tooMuchMetadata(endpoint.PhaseQueued)
	}
	if p.Ask == nil {
		return nil
	}
	if p.Receipt && !s.in.receipts {
		return &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: "the peer gives no receipts", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted}
	}
	if p.Ask.Stream != nil {
		if !s.in.calls {
			return &endpoint.Error{Reason: endpoint.ReasonMethodNotFound, Text: "the peer takes no streaming calls", Phase: endpoint.PhaseQueued, Execution: endpoint.NotExecuted}
		}
		if len(s.asks.streams) >= int(s.peer.Streams) {
			return overloaded("the peer's limit on streaming calls", "too many streaming calls are open")
		}
	}
	return s.refuseAsk()
}

// refuseAsk returns why nothing can be asked of the peer, or nil.
func (s *Session) refuseAsk() *endpoint.Error {
	switch {
	case s.in.ended != nil:
		return sessionOver(s.in.ended)
	case s.asks.unanswered >= int(s.peer.Pending):
		return overloaded("the peer's limit on pending asks", "too many asks are pending")
	}
	return nil
}

// route returns the route to a target. At the first use it is announced, unless there are too many.
func (s *Session) route(t wire.Target) (*Route, *endpoint.Error) {
	o := &s.out
	if r := o.routes.Get(t); r != nil {
		return r, nil
	}
	r, err := s.newRoute(t)
	if err != nil {
		return nil, err
	}
	if o.routes.Len() < int(s.peer.Routes) {
		r.number = uint32(o.routes.Len() + 1)
		o.routes.Set(t, r)
		s.append(&wire.Envelope{Kind: wire.KindRoute, Route: r.number, Target: t})
	}
	return r, nil
}

// newRoute makes a route to a target, and an account of its mailbox if there is none.
func (s *Session) newRoute(t wire.Target) (*Route, *endpoint.Error) {
	key := mailboxKey{t.EnvID, t.Endpoint}
	if a := s.out.accounts.Get(key); a != nil {
		return &Route{target: t, account: a}, nil
	}
	if s.out.accounts.Len() >= int(s.peer.Mailboxes) {
		return nil, overloaded("the peer's limit on mailboxes", "too many endpoints in one session")
	}
	// Most mailboxes have one route. What is side by side a processor fetches together.
	both := &struct {
		route   Route
		account account
	}{Route{target: t}, account{session: s, window: credit.NewWindow(s.peer.MailboxMessages, s.peer.MailboxBytes)}}
	both.route.account = &both.account
	s.out.accounts.Set(key, &both.account)
	return &both.route, nil
}

// mayStart reports whether a message may start to the mailbox of a.
func (s *Session) mayStart(a *account, large bool) bool {
	if a.transfer != nil || !a.window.Open() || s.out.full || !a.stream && !s.out.session.Open() {
		return false
	}
	return !large || s.out.underway < int(s.peer.Transfers) && s.out.transfer.Open()
}

// block remembers that somebody waits at a.
func (s *Session) block(a *account) {
	if !a.blocked {
		a.blocked = true
		s.out.blocked = append(s.out.blocked, a)
	}
}

// wake wakes the first waiter of each account where a message may start. The accounts take turns in being looked at
// first.
func (s *Session) wake() {
	blocked := s.out.blocked
	kept := blocked[:0]
	for _, a := range blocked {
		if a.window.Waiters.Empty() {
			a.blocked = false
			continue
		}
		kept = append(kept, a)
		if s.mayStart(a, false) {
			a.window.Waiters.WakeHead()
		}
	}
	clear(blocked[len(kept):])
	if len(kept) > 1 {
		first := kept[0]
		copy(kept, kept[1:])
		kept[len(kept)-1] = first
	}
	s.out.blocked = kept
}

// HasBatch reports whether a whole batch waits, so that nothing is to be gained by waiting for more.
func (s *Session) HasBatch() bool { return len(s.out.ready) > 0 }

// Queued returns how many bytes wait in batches.
func (s *Session) Queued() int { return s.out.queued }

// HasFrame reports whether NextFrame has something to return.
func (s *Session) HasFrame() bool {
	o := &s.out
	if o.replay.detached {
		return false
	}
	if o.replay.next < len(o.replay.kept) || s.headDue() {
		return true
	}
	return (o.queued > 0 || len(o.transfers) > 0 && o.pace.open() ||
		len(o.replies) > 0 && o.underway < int(s.peer.Transfers) || o.bye != nil && s.Idle()) && !s.replayFull()
}

func (s *Session) headDue() bool {
	o := &s.out
	return o.ackNow || len(o.dirty) > 0 || o.dirtyIn || len(o.pongs) > 0 || s.live.ping || o.drain > 0
}

// NextFrame returns the next frame to write, encoded, or nil if there is none. Who has written it releases it. Batches and
// chunks take turns, so that a large message holds up each batch for no longer than one chunk, and many batches that are not full for one
// chunk in half a frame of them. What was written on an earlier stream and not acknowledged comes before all else.
func (s *Session) NextFrame(now time.Time) *wire.Buffer {
	o := &s.out
	switch {
	case o.replay.detached:
		return nil
	case o.replay.next < len(o.replay.kept):
		return s.again(now)
	case s.replayFull():
		if !s.headDue() {
			return nil
		}
		frame := wire.NewBuffer(headRoom)
		s.appendHead(frame, wire.Head{})
		return frame
	}
	s.startReplies()
	if o.bye != nil && s.Idle() {
		s.append(o.bye)
		o.bye = nil
	}
	var frame *wire.Buffer
	ready, chunk := now, false
	switch {
	case s.chunkDue():
		frame, chunk = s.nextChunk(), true
		o.betweenChunks = 0
	case len(o.ready) > 0:
		ready = o.ready[0].ready(now)
		frame = s.takeBatch(o.ready[0])
		o.ready[0] = batch{}
		o.ready = o.ready[1:]
	case o.open.body != nil:
		ready = o.open.ready(now)
		frame = s.takeBatch(o.open)
		o.open = batch{}
	case s.headDue():
		frame = wire.NewBuffer(headRoom)
	default:
		o.rest()
		return nil
	}
	body := len(frame.Bytes)
	if body == 0 {
		s.appendHead(frame, wire.Head{})
		return frame
	}
	o.number++
	s.counters.FramesOut++
	s.appendHead(frame, wire.Head{Number: o.number, AgeMicros: uint64(now.Sub(ready) / time.Microsecond)})
	if o.replay.on {
		frame = frame.Fit()
		o.replay.keep(kept{number: o.number, frame: frame, body: body, chunk: chunk, ready: ready})
		if chunk {
			o.pace.ahead += body
		}
	}
	return frame
}

// chunkDue reports whether the next frame is to be a chunk.
func (s *Session) chunkDue() bool {
	o := &s.out
	// Most batches are full, but not those of many small replies.
	turn := o.betweenChunks >= batchBytes/2 || o.betweenChunks > 0 && len(o.ready) == 0
	if len(o.transfers) == 0 || !turn && o.queued > 0 {
		return false
	}
	if !o.pace.open() {
		o.pace.hold(o.number)
		return false
	}
	return true
}

// appendHead completes a frame. protobuf allows fields in any order, so the head goes behind the body, where it costs no
// copy.
func (s *Session) appendHead(frame *wire.Buffer, h wire.Head) {
	o := &s.out
	if s.in.received > s.in.acked {
		h.Ack = s.in.received
		s.in.acked = s.in.received
		s.in.unacked, s.in.chunks = 0, 0
	}
	s.in.ackAt, o.ackNow = time.Time{}, false
	if len(o.pongs) > 0 {
		h.Pong = &o.pongs[0]
	}
	if o.drain > 0 {
		h.Drain = &parleyv1.Drain{DeadlineMs: milliseconds(o.drain)}
		o.drain = 0
	}
	if s.live.ping {
		s.live.ping = false
		s.live.pings++
		token := s.live.pings
		h.Ping = &token
	}
	o.credits = s.takeCredits(o.credits[:0])
	h.Credits = o.credits
	frame.Bytes = wire.AppendHead(frame.Bytes, &h)
	if len(o.pongs) > 0 {
		o.pongs = o.pongs[1:]
	}
}

// takeCredits appends the totals that are to be stated now. Those of the session come last and with any of a mailbox: what
// is taken after an account's mark is cleared marks it anew, so what is read after that misses nothing for good.
func (s *Session) takeCredits(credits []wire.Credit) []wire.Credit {
	o := &s.out
	for len(o.dirty) > 0 && len(credits) < creditsPerFrame {
		a := o.dirty[0]
		o.dirty[0] = nil
		o.dirty = o.dirty[1:]
		a.dirty = false
		a.withheld.Store(false)
		messages, bytes := a.grant.Totals()
		credits = append(credits, wire.Credit{EnvID: a.key.envID, Endpoint: a.key.endpoint, Messages: messages, Bytes: bytes})
	}
	if o.dirtyIn || len(credits) > 0 {
		o.dirtyIn = false
		_, bytes := s.in.session.Totals()
		_, transfer := s.in.transfer.Totals()
		credits = append(credits, wire.Credit{Bytes: bytes, TransferBytes: transfer})
	}
	return credits
}
