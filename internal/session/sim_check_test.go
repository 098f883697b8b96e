package session

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// What the simulator holds the sessions to: each direction delivers what was accepted for an endpoint, in order, each message once
// and none left out but those that were aborted; every ask ends once, and what it says of its execution is true; frames are
// numbered, and replayed as they were; and in the end nothing is left.

// message is an ask, send or lookup.
type message struct {
	from     *end
	payload  []byte
	reply    []byte // what its handler answers
	lookup   bool
	ask      *Ask          // nil for a send
	origin   *message      // that a relay passes on as this one
	call     *callSide     // the caller's side of the streaming call that it opens; nil for all else
	deadline time.Time     // zero if it has none
	patience time.Duration // until then, at first

	unwritten int  // bytes, or 1, that were in no frame; 0 when it was written wholly
	aborted   bool // given up before its last chunk was written
	arrived   bool
	running   bool // taken by the handler
	outcomes  int
	unsent    bool            // reported as never written wholly
	unrun     bool            // reported as not executed
	answered  func(ev *Event) // of what a relay passes on
}

// simData is what every payload is a part of; no part of eight bytes occurs in it twice.
var simData = func() []byte {
	data := make([]byte, 512<<10)
	for i := 0; i < len(data); i += 4 {
		x := uint32(i+1) * 2654435761
		data[i], data[i+1], data[i+2], data[i+3] = byte(x>>24), byte(x>>16), byte(x>>8), byte(x)
	}
	return data
}()

// message returns a new message, which has a payload like no other.
func (s *sim) message(from *end, size int) *message {
	at := int(s.next()) * 8 % (256 << 10)
	reply := s.r.IntN(100)
	if s.r.IntN(8) == 0 {
		reply = s.r.IntN(1 << (13 + s.r.IntN(5)))
	}
	return &message{from: from, payload: s.data[at : at+size], reply: s.data[at+4 : at+4+reply]}
}

func (m *message) size() int { return len(m.payload) }

// root returns the message that the asker has sent.
func (m *message) root() *message {
	if m.origin != nil {
		return m.origin
	}
	return m
}

// ---- Frames.

// frames is what is known of those that one side has written.
type frames struct {
	ready     []time.Time // when each was first ready to be written
	due       uint64      // the number of the next on this stream, 0 for any
	stream    *stream
	unwritten []*message // asks and lookups, in the order of their ids
	transfers map[uint64]*message
	routes    map[uint32]wire.Target
	sends     map[mailboxKey][]*message // that are in no frame, in order
}

// asked notes an ask or lookup that is accepted.
func (f *frames) asked(m *message) {
	m.unwritten = max(1, m.size())
	f.unwritten = append(f.unwritten, m)
	if m.ask.transfer != nil {
		f.begun(m.ask.transfer.id, m)
	}
}

// sent notes a send that is accepted, and transfer if it is large.
func (f *frames) sent(key mailboxKey, m *message, transfer uint64) {
	m.unwritten = max(1, m.size())
	f.sends[key] = append(f.sends[key], m)
	if m.size() > MostWhole {
		f.begun(transfer, m)
	}
}

func (f *frames) begun(id uint64, m *message) { f.transfers[id] = m }

// wrote checks a frame that e writes.
func (s *sim) wrote(e *end, b []byte) {
	s.trace = s.trace*31 + uint64(len(b)) + uint64(s.now.Sub(epoch))
	if len(b) > mostFrame {
		s.failf("%s writes a frame of %d bytes", e, len(b))
	}
	var h wire.Head
	if err := wire.ParseHead(b, &h); err != nil {
		s.failf("%s writes a bad frame: %v", e, err)
	}
	if _, kept := e.Unacknowledged(); kept > max(e.own.ReplayBytes, batchBytes) {
		s.failf("%s keeps %d bytes, where %d are allowed", e, kept, e.own.ReplayBytes)
	}
	f := &e.frames
	if f.stream != e.stream {
		f.stream, f.due = e.stream, 0
		if e.stream.hello.session != 0 && h.Ack != e.Received() {
			s.failf("%s writes a first frame with ack %d, where %d was received", e, h.Ack, e.Received())
		}
	}
	switch {
	case h.Number == 0:
		return
	case h.Number < f.due, h.Number > max(f.due, e.out.acked+1): // one that is acknowledged need not come again
		s.failf("%s writes frame %d where %d was due, and %d is acknowledged", e, h.Number, f.due, e.out.acked)
	}
	f.due = h.Number + 1
	if h.Number <= uint64(len(f.ready)) {
		s.replays++
		if age := s.now.Sub(f.ready[h.Number-1]); h.AgeMicros != uint64(max(1, age.Microseconds())) {
			s.failf("%s writes frame %d again, with the age %d, after %v", e, h.Number, h.AgeMicros, age)
		}
		return
	}
	f.ready = append(f.ready, s.now.Add(-time.Duration(h.AgeMicros)*time.Microsecond))
	body := wire.Body(b)
	for content, more := body.Next(); more; content, more = body.Next() {
		var v wire.Envelope
		if err := v.Decode(content); err != nil {
			s.failf("%s writes a bad envelope: %v", e, err)
		}
		switch v.Kind {
		case wire.KindRoute:
			f.routes[v.Route] = v.Target
		case wire.KindSend:
			if !v.Text {
				v.Target = f.routes[v.Route]
			}
			key := mailboxKey{v.Target.EnvID, v.Target.Endpoint}
			if v.Encoding != wire.Transfer {
				f.sends[key][0].unwritten = 0
			}
			f.sends[key] = f.sends[key][1:]
		case wire.KindAsk, wire.KindLookup, wire.KindHeaders:
			if v.FromCallee {
				continue
			}
			m := f.unwritten[v.ID-1]
			if v.Encoding != wire.Transfer {
				m.unwritten = 0
			}
			s.tells(e, m, v.RemainingMicros, h.AgeMicros)
		case wire.KindChunk:
			if m := f.transfers[v.ID]; m != nil { // not of a reply
				m.unwritten -= len(v.Payload)
			}
		}
	}
}

// tells checks what a frame of e says of how long the asker of m waits yet.
func (s *sim) tells(e *end, m *message, remaining, age uint64) {
	switch left := m.deadline.Sub(s.now).Microseconds() + int64(age); {
	case m.deadline.IsZero() && remaining != 0:
		s.failf("%s writes an ask with %d us left, which has no end", e, remaining)
	case m.deadline.IsZero():
	case m.outcomes > 0 && !m.aborted:
		s.failf("%s writes an ask that is over", e)
	case remaining == 0 || left > 0 && (remaining < uint64(left) || remaining > uint64(left)+1):
		s.failf("%s writes an ask with %d us left, of age %d, where there are %d", e, remaining, age, left)
	}
}

// risen checks that a listener takes streams of rising epochs only.
func (s *sim) risen(e *end, epoch uint64) {
	if epoch <= e.attached {
		s.failf("%s takes epoch %d after %d", e, epoch, e.attached)
	}
	e.attached = epoch
}

// ---- Messages.

// arrive is told all that a frame means to e.
func (s *sim) arrive(e *end, ev *Event) {
	if ev.Refused != nil && ev.Kind != wire.KindReply && ev.Kind != wire.KindMessage {
		s.failf("%s refused %v: %v", e, ev.Kind, ev.Refused)
	}
	switch ev.Kind {
	case wire.KindAsk, wire.KindSend, wire.KindHeaders:
		m := s.expected(e, ev)
		d := delivered{*ev, m}
		if ev.Kind != wire.KindSend {
			e.arrived[ev.ID] = true
		}
		if ev.Kind == wire.KindHeaders {
			s.opened(e, ev, m)
		}
		if ev.To.EnvID != "" {
			s.relay(e, d)
			return
		}
		i := ev.To.Endpoint[1] - '0'
		e.boxes[i] = append(e.boxes[i], d)
	case wire.KindLookup:
		e.arrived[ev.ID] = true
		e.open = append(e.open, delivered{ev: *ev})
	case wire.KindMessage, wire.KindHalfClose:
		s.hear(e, ev)
	case wire.KindReply, wire.KindEnd:
		m := e.pending[ev.Ask]
		if m == nil {
			s.failf("%s has a reply to an ask that is over", e)
		}
		if m.call != nil {
			s.callEnded(m.call, ev)
		}
		s.outcome(e, m, *ev)
	case wire.KindCancel:
		s.cancelled(e, ev.ID)
	case wire.KindBye:
		s.byes++
		e.bye = true
		e.Bye(errEnded)
	default:
		s.failf("an event of kind %v", ev.Kind)
	}
}

// expected returns the message that ev is: of those to its endpoint the first that was not aborted.
func (s *sim) expected(e *end, ev *Event) *message {
	key := mailboxKey{ev.To.EnvID, ev.To.Endpoint}
	queue := e.peer.sent[key]
	for len(queue) > 0 && queue[0].aborted {
		queue = queue[1:]
	}
	if len(queue) == 0 {
		s.failf("%s gets a %v to %v where none was sent", e, ev.Kind, key)
	}
	m := queue[0]
	e.peer.sent[key] = queue[1:]
	left := m.deadline.Sub(s.now).Microseconds() // at least; the way here is not counted
	switch {
	case !bytes.Equal(m.payload, ev.Payload) || (m.ask != nil) != (ev.Kind != wire.KindSend) || (m.call != nil) != (ev.Kind == wire.KindHeaders):
		s.failf("%s gets another message to %v than the next, or a changed one", e, key)
	case m.arrived:
		s.failf("%s gets a message twice", e)
	case m.unsent:
		s.failf("%s gets a message that was reported as not executed", e)
	case m.deadline.IsZero() != (ev.RemainingMicros == 0) || ev.RemainingMicros > 1 && int64(ev.RemainingMicros) < left ||
		int64(ev.RemainingMicros) > m.patience.Microseconds()+1:
		s.failf("%s gets an ask with %d us left, where there are %d", e, ev.RemainingMicros, left)
	}
	m.arrived = true
	s.delivered++
	return m
}

// ran says that a handler takes m.
func (s *sim) ran(m *message) {
	root := m.root()
	if root.running || root.unrun || m.unrun {
		s.failf("a message runs twice, or after it was reported as not executed")
	}
	root.running = true
}

// outcome says how an ask or lookup of e has ended.
func (s *sim) outcome(e *end, m *message, ev Event) {
	if m.outcomes++; m.outcomes > 1 {
		s.failf("an ask of %s has ended twice", e)
	}
	delete(e.pending, m.ask)
	for i, other := range e.asks {
		if other == m {
			e.asks = append(e.asks[:i], e.asks[i+1:]...)
			break
		}
	}
	switch {
	case ev.Refused != nil:
		ev.Status = ev.Refused.GRPCStatus().Proto()
	case ev.Status != nil && endpoint.ErrorFromStatus(ev.Status).Execution == endpoint.NotExecuted:
		if m.unrun = true; m.root().running {
			s.failf("an ask of %s has run, and was reported as not executed", e)
		}
	case ev.Status == nil && m.call != nil && !m.running:
		s.failf("a call of %s ends well, and has not run", e)
	case ev.Status == nil && !m.lookup && m.call == nil && (!m.root().running || !bytes.Equal(ev.Payload, m.root().reply)):
		s.failf("%s has a reply of %d bytes that is not the handler's", e, len(ev.Payload))
	}
	if ev.Status == nil {
		s.replies++
	}
	if m.answered != nil {
		m.answered(&ev)
	}
}

// endedPending says that an ask has ended without an answer.
func (s *sim) endedPending(e *end, u Unanswered, reason endpoint.Reason) {
	m := e.pending[u.Ask]
	if m != nil && m.call != nil {
		s.closeCall(m.call)
		if m.call.callee != nil {
			m.call.callee.gone = m.call.callee.gone || reason == endpoint.ReasonSessionEnded
		}
	}
	why := &endpoint.Error{Reason: reason, Phase: u.Phase, Execution: u.Execution}
	switch {
	case m == nil:
		s.failf("an ask of %s ends without an answer, and had ended", e)
	case why.Execution == endpoint.NotExecuted:
		s.notExecuted++
		if m.unsent = true; m.arrived {
			s.failf("an ask of %s is reported as not executed, and has arrived", e)
		}
		if m.unwritten <= 0 {
			s.failf("an ask of %s is reported as not executed, and was written", e)
		}
	case why.Execution != endpoint.MayHaveExecuted || m.unwritten > 0:
		s.failf("an ask of %s, of which %d bytes were not written, is reported as %v", e, m.unwritten, why.Execution)
	default:
		s.mayHaveExecuted++
	}
	s.outcome(e, m, Event{Status: why.GRPCStatus().Proto()})
}

// ---- Ends.

// unacknowledged checks the sends that e reports when it is about to end: all that did not arrive are among them, and what it says of
// their execution is true. A session that ends with its stream retains nothing that it could report.
func (s *sim) unacknowledged(e *end) {
	if !s.resume {
		return
	}
	reported := map[mailboxKey][]Send{}
	for _, r := range e.UnacknowledgedSends() {
		key := mailboxKey{r.Target.EnvID, r.Target.Endpoint}
		reported[key] = append(reported[key], r)
	}
	for key, queue := range e.sent {
		var missing []*message
		for _, m := range queue {
			if m.ask == nil {
				missing = append(missing, m)
			}
		}
		all := reported[key]
		if len(all) < len(missing) {
			s.failf("%s: of %d sends to %v that did not arrive %d are reported", e, len(missing), key, len(all))
		}
		for i, r := range all[len(all)-len(missing):] { // what comes before has arrived, and its acknowledgement has not
			m := missing[i]
			s.lostSends++
			if got := payloadOf(&r); got != nil && !bytes.Equal(got, m.payload) || got == nil && m.size() <= MostWhole {
				s.failf("%s reports a send to %v that is not the next", e, key)
			}
			if m.unsent = m.unwritten > 0; m.unsent != (r.Execution == endpoint.NotExecuted) {
				s.failf("%s reports a send of which %d bytes were not written as %v", e, m.unwritten, r.Execution)
			}
		}
		for _, r := range all[:len(all)-len(missing)] {
			if r.Execution != endpoint.MayHaveExecuted {
				s.failf("%s reports a send to %v that has arrived as %v", e, key, r.Execution)
			}
		}
	}
}

// ended checks a session that is over.
func (s *sim) ended(e *end) {
	if frames, kept := e.Unacknowledged(); frames != 0 || kept != 0 || e.Pending() != 0 || len(e.asks) != 0 {
		s.failf("%s is over and keeps %d frames of %d bytes, and %d asks", e, frames, kept, e.Pending())
	}
	s.count(e)
}

// count adds up the counters of a session, and checks that two sides which keep to the protocol count nothing that is abnormal.
func (s *sim) count(e *end) {
	c := e.Counters()
	s.attaches += c.Attaches
	s.duplicates += c.Duplicates
	for what, n := range map[string]uint64{
		"stale totals": c.StaleTotals, "credit of unknown mailboxes": c.UnknownCredits, "late chunks": c.LateChunks,
		"late frames": c.LateFrames, "pongs without a ping": c.UnmatchedPongs, "bad metadata": c.DroppedMetadata,
	} {
		if n != 0 {
			s.failf("%s has counted %d %s", e, n, what)
		}
	}
}

// left returns what is left that should not be when all has come to its end.
func (s *sim) left() string {
	var b strings.Builder
	for _, p := range s.pairs {
		if p.end == nil || p.end.stream == nil || p.opening != nil {
			fmt.Fprintf(&b, "%s has no stream to %s; ", p.dialler.name, p.listener.name)
		}
	}
	for _, v := range s.envs {
		for _, r := range v.relays {
			fmt.Fprintf(&b, "%s has still to pass on %d messages; ", v.name, len(r.queue))
		}
		for _, e := range v.ends {
			if text := s.leftOf(e); text != "" {
				fmt.Fprintf(&b, "%s: %s", e, text)
			}
		}
	}
	return b.String()
}

func (s *sim) leftOf(e *end) string {
	var b strings.Builder
	if p := e.pairing; p.end == nil || e != p.end && e != p.end.peer {
		b.WriteString("a session that nobody dials; ")
	}
	var other *Session
	if e.peer != nil {
		other = e.peer.Session
	}
	b.WriteString(leftovers(e.Session))
	b.WriteString(unreturned(e.Session, other))
	if n := len(e.waiting) + len(e.asks) + len(e.open) + len(e.relayed) + len(e.calls); n > 0 {
		fmt.Fprintf(&b, "%d messages wait, %d asks are pending, %d are to be answered, %d are passed on, %d calls are open; ", len(e.waiting), len(e.asks), len(e.open), len(e.relayed), len(e.calls))
	}
	for i, box := range e.boxes {
		if len(box) > 0 {
			fmt.Fprintf(&b, "%d messages in mailbox %d; ", len(box), i)
		}
	}
	for key, queue := range e.sent {
		missing := 0
		for _, m := range queue {
			if !m.aborted {
				missing++
			}
		}
		if missing > 0 {
			fmt.Fprintf(&b, "%d messages to %v have not arrived; ", missing, key)
		}
	}
	return b.String()
}

// unreturned returns what a sender does not know to be its own again when nothing is under way, but for what peer, if that is not nil, need not tell:
// less than a quarter of a window.
func unreturned(s, peer *Session) string {
	var b strings.Builder
	if frames, kept := s.Unacknowledged(); frames != 0 || kept != 0 {
		fmt.Fprintf(&b, "%d frames are kept, of %d bytes; ", frames, kept)
	}
	whole := func(what string, w *credit.Window, g *credit.Grant, messages, bytes uint64) {
		var untoldMessages, untoldBytes uint64
		if g != nil {
			untoldMessages = total(g, "Messages") - counted(w, "totalMessages")
			untoldBytes = total(g, "Bytes") - counted(w, "totalBytes")
		}
		m, n := counted(w, "totalMessages")-counted(w, "sentMessages"), counted(w, "totalBytes")-counted(w, "sentBytes")
		if m+untoldMessages != messages || n+untoldBytes != bytes || untoldMessages > 0 && untoldMessages >= messages/4 || untoldBytes > 0 && untoldBytes >= bytes/4 {
			fmt.Fprintf(&b, "the window of %s has %d messages and %d bytes left, of %d and %d, and %d and %d are not told; ", what, m, n, messages, bytes, untoldMessages, untoldBytes)
		}
	}
	for key, a := range s.out.accounts.All() {
		var g *credit.Grant
		if peer != nil && peer.in.accounts.Get(key) != nil {
			g = &peer.in.accounts.Get(key).grant
		}
		whole(key.endpoint, &a.window, g, s.peer.MailboxMessages, s.peer.MailboxBytes)
	}
	bytesOf := func(what string, w *credit.Window, g *credit.Grant, bytes uint64) {
		var untold uint64
		if g != nil {
			untold = total(g, "Bytes") - counted(w, "totalBytes")
		}
		if n := counted(w, "totalBytes") - counted(w, "sentBytes"); n+untold != bytes || untold > 0 && untold >= bytes/4 {
			fmt.Fprintf(&b, "the window of %s has %d bytes left, of %d, and %d are not told; ", what, n, bytes, untold)
		}
	}
	var session, transfers *credit.Grant
	if peer != nil {
		session, transfers = &peer.in.session, &peer.in.transfer
	}
	bytesOf("the session", &s.out.session, session, s.peer.SessionBytes)
	bytesOf("transfers", &s.out.transfer, transfers, s.peer.TransferBytes)
	return b.String()
}

// counted returns a field of a window.
func counted(w *credit.Window, name string) uint64 {
	return reflect.ValueOf(w).Elem().FieldByName(name).Uint()
}

// total returns what a receiver allows in all, told or not.
func total(g *credit.Grant, unit string) uint64 {
	v := reflect.ValueOf(g).Elem()
	return v.FieldByName("initial"+unit).Uint() + v.FieldByName("taken"+unit).FieldByName("v").Uint()
}
