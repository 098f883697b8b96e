package session

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/credit"
	"github.com/parley-rpc/parley/internal/wire"
)

// TestRandom lets two sessions talk at random, with frames that take their time, and checks the promise: every message that was
// accepted and not taken back arrives exactly once, in order for each endpoint; every ask ends exactly once; and in the end nothing
// is left. PARLEY_SEED=n runs the one seed n.
func TestRandom(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 20
	}
	first := uint64(time.Now().UnixNano())
	if s := os.Getenv("PARLEY_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = n, 1
	}
	t.Logf("seeds from %d", first)
	began := time.Now()
	for i := range uint64(seeds) {
		if i >= 20 && time.Since(began) > 4*time.Second {
			t.Logf("%d of %d seeds in 4 s", i, seeds)
			break
		}
		w := newWorld(t, first+i)
		w.run(2000)
	}
}

// world is a simulation.
type world struct {
	*testing.T
	seed    uint64
	r       *rand.Rand
	now     time.Time
	ends    [2]*actor
	payload []byte // of which every payload is a part
}

// actor is one side of it.
type actor struct {
	*Session
	name    string
	wire    [][]byte // frames on their way to the other side
	waiting []*Posting
	number  map[string]uint64 // of the last message that was accepted, by endpoint
	asks    map[*Ask]*asked   // that have not ended
	boxes   map[string][]*Event
	arrived map[string]uint64 // number of the last message that arrived, by endpoint
	skipped map[string]uint64 // numbers that did not arrive, by endpoint
	aborted map[string]uint64 // asks that were given up before their last chunk was written, by endpoint
	open    []answerable
}

type asked struct {
	lookup bool
	name   string // of the endpoint
	size   int    // of the payload, which comes back
}

type answerable struct {
	id      uint64
	payload []byte
}

func newWorld(t *testing.T, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	limits := func() Limits {
		return limited(func(l *Limits) {
			l.MailboxMessages, l.MailboxBytes = 1+r.Uint64N(40), 1+r.Uint64N(300_000)
			l.SessionBytes, l.TransferBytes = 1+r.Uint64N(100_000), 1+r.Uint64N(1_000_000)
			l.Routes, l.Transfers, l.Pending = 1+r.Uint32N(8), 1+r.Uint32N(4), 1+r.Uint32N(50)
			l.ReplayBytes = 1 + r.Uint64N(200_000)
		})
	}
	a, b := limits(), limits()
	w := &world{T: t, seed: seed, r: r, now: epoch, payload: make([]byte, 200<<10)}
	for i, s := range []*Session{New(a, b), New(b, a)} {
		w.ends[i] = &actor{
			Session: s, name: string(rune('a' + i)), number: map[string]uint64{}, asks: map[*Ask]*asked{},
			boxes: map[string][]*Event{}, arrived: map[string]uint64{}, skipped: map[string]uint64{}, aborted: map[string]uint64{},
		}
	}
	return w
}

func (w *world) failf(format string, args ...any) {
	w.Helper()
	w.Fatalf("PARLEY_SEED=%d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *world) run(steps int) {
	for range steps {
		w.now = w.now.Add(time.Duration(w.r.IntN(3)) * time.Millisecond)
		i := w.r.IntN(2)
		switch a := w.ends[i]; w.r.IntN(12) {
		case 0, 1, 2:
			w.post(a)
		case 3:
			w.retry(a)
		case 4, 5:
			w.take(a)
		case 6:
			w.answer(a)
		case 7:
			if w.r.IntN(3) == 0 {
				w.abandon(a)
			}
		case 8:
			w.expire(a)
		default:
			w.write(a)
			w.read(w.ends[1-i])
		}
	}
	w.finish()
}

// post posts something: an ask or send that carries its endpoint's next number, or a lookup.
func (w *world) post(a *actor) {
	if w.r.IntN(10) == 0 {
		k := &Ask{Done: noReply{}, Expires: w.now.Add(time.Second)}
		switch err := a.Lookup(k, "", "e0", ""); {
		case err == nil:
			a.asks[k] = &asked{lookup: true}
		case err.Reason != endpoint.ReasonOverloaded:
			w.failf("Lookup: %v", err)
		}
		return
	}
	size := 8 + w.r.IntN(100)
	if w.r.IntN(8) == 0 {
		size = 8 + w.r.IntN(200<<10-8)
	}
	q := &Posting{Target: to(fmt.Sprintf("e%d", w.r.IntN(5))), Payload: w.payload[:size], Encoding: wire.Proto}
	if w.r.IntN(2) == 0 {
		q.Ask = &Ask{Done: noReply{}}
		if w.r.IntN(2) == 0 {
			q.Ask.Expires = w.now.Add(time.Second)
		}
	}
	if w.r.IntN(2) == 0 {
		q.Waiter = credit.NewWaiter()
	}
	w.tryPost(a, q)
}

// tryPost posts q; if it has to wait, it joins those that do.
func (w *world) tryPost(a *actor, q *Posting) {
	name := q.Target.Endpoint
	p := append([]byte(nil), q.Payload...)
	binary.BigEndian.PutUint64(p, a.number[name]+1)
	q.Payload = p
	if q.Ask != nil && !q.Ask.Expires.IsZero() {
		q.Ask.Expires = w.now.Add(time.Second) // the list is in order of acceptance
	}
	accepted, err := a.Post(q)
	switch {
	case err != nil && err.Reason != endpoint.ReasonOverloaded:
		w.failf("Post: %v", err)
	case err != nil:
	case accepted:
		a.number[name]++
		if q.Ask != nil {
			a.asks[q.Ask] = &asked{name: name, size: len(q.Payload)}
		}
	case q.Waiter != nil:
		a.waiting = append(a.waiting, q)
	}
}

// retry lets those that were woken try again; now and then one gives up.
func (w *world) retry(a *actor) {
	waiting := a.waiting
	a.waiting = nil
	for _, q := range waiting {
		switch {
		case w.r.IntN(30) == 0:
			a.Leave(q)
		case turn(q.Waiter):
			w.tryPost(a, q)
		default:
			a.waiting = append(a.waiting, q)
		}
	}
}

// take takes a message out of some mailbox.
func (w *world) take(a *actor) {
	for name, box := range a.boxes {
		if len(box) == 0 {
			continue
		}
		ev := box[0]
		a.boxes[name] = box[1:]
		if a.Take(ev.Account, ev.Cost) {
			a.StateCredit(ev.Account)
		} else if a.Withheld(ev.Account) {
			a.StateCreditLater(w.now, ev.Account)
		}
		if ev.Kind == wire.KindAsk {
			a.open = append(a.open, answerable{ev.ID, ev.Payload})
		}
		return
	}
}

// answer answers an ask: with what it brought.
func (w *world) answer(a *actor) {
	if len(a.open) == 0 {
		return
	}
	i := w.r.IntN(len(a.open))
	o := a.open[i]
	a.open = append(a.open[:i], a.open[i+1:]...)
	r := &Reply{ID: o.id}
	if o.payload != nil {
		r.Payload, r.Encoding = o.payload, wire.Proto
	}
	a.Reply(r)
}

func (w *world) abandon(a *actor) {
	for k := range a.asks {
		if !a.Abandon(k) {
			w.failf("an ask of %s was not pending", a.name)
		}
		w.givenUp(a, k)
		return
	}
}

// givenUp forgets an ask that has ended without a reply.
func (w *world) givenUp(a *actor, k *Ask) {
	if k.transfer != nil && !k.transfer.written() {
		a.aborted[a.asks[k].name]++
	}
	delete(a.asks, k)
}

func (w *world) expire(a *actor) {
	for _, k := range a.Tick(w.now) {
		if a.asks[k] == nil {
			w.failf("an ask expired that was over")
		}
		w.givenUp(a, k)
	}
}

// write puts a frame on its way.
func (w *world) write(a *actor) bool {
	b := a.NextFrame(w.now)
	if b == nil {
		return false
	}
	if len(b.Bytes) > mostFrame {
		w.failf("a frame of %d bytes", len(b.Bytes))
	}
	a.wire = append(a.wire, bytes.Clone(b.Bytes))
	b.Release()
	return true
}

// read lets a read some of the frames that are on their way to it.
func (w *world) read(a *actor) {
	other := w.ends[0]
	if other == a {
		other = w.ends[1]
	}
	for n := w.r.IntN(4); n > 0 && len(other.wire) > 0; n-- {
		b := other.wire[0]
		other.wire = other.wire[1:]
		events, v := a.Receive(w.now, b)
		if v != nil {
			w.failf("%s found %v", a.name, v)
		}
		for i := range events {
			w.arrive(a, &events[i])
		}
	}
}

func (w *world) arrive(a *actor, ev *Event) {
	if ev.Refused != nil && ev.Kind != wire.KindReply {
		w.failf("%s refused %v: %v", a.name, ev.Kind, ev.Refused)
	}
	switch ev.Kind {
	case wire.KindAsk, wire.KindSend:
		name, number := ev.To.Endpoint, binary.BigEndian.Uint64(ev.Payload)
		if number <= a.arrived[name] {
			w.failf("message %d to %s came after %d", number, name, a.arrived[name])
		}
		a.skipped[name] += number - a.arrived[name] - 1
		a.arrived[name] = number
		kept := *ev
		a.boxes[name] = append(a.boxes[name], &kept)
	case wire.KindLookup:
		a.open = append(a.open, answerable{id: ev.ID})
	case wire.KindReply:
		k := a.asks[ev.Ask]
		if k == nil {
			w.failf("a reply to an ask that is over")
		}
		delete(a.asks, ev.Ask)
		if ev.Refused == nil && ev.Status == nil && !k.lookup && len(ev.Payload) != k.size {
			w.failf("a reply of %d bytes, want %d", len(ev.Payload), k.size)
		}
	case wire.KindCancel:
	default:
		w.failf("an event of kind %v", ev.Kind)
	}
}

// finish lets everything come to its end, and looks for what is left.
func (w *world) finish() {
	for range 100_000 {
		busy := false
		for i, a := range w.ends {
			w.retry(a)
			w.take(a)
			w.answer(a)
			busy = w.write(a) || len(a.wire) > 0 || len(a.open) > 0 || len(a.waiting) > 0 || busy
			w.read(w.ends[1-i])
			for _, box := range a.boxes {
				busy = busy || len(box) > 0
			}
		}
		if !busy {
			break
		}
	}
	for i, a := range w.ends {
		if problem := leftovers(a.Session); problem != "" || len(a.waiting) > 0 || len(a.wire) > 0 {
			w.failf("%s: %s%d waiters, %d frames", a.name, problem, len(a.waiting), len(a.wire))
		}
		if len(a.asks) > 0 {
			w.failf("%d asks of %s have not ended", len(a.asks), a.name)
		}
		peer := w.ends[1-i]
		for name, last := range a.number {
			if missing := peer.skipped[name] + last - peer.arrived[name]; missing != a.aborted[name] {
				w.failf("%d messages of %s to %s are missing, and %d were aborted", missing, a.name, name, a.aborted[name])
			}
		}
	}
}
