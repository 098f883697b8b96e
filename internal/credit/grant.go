package credit

import "sync/atomic"

// Grant is what a receiver allows one sender. Take may be called concurrently with everything; the other methods need
// the owner's lock. Of the two halves one is for those who receive, the other for those who take: each is a cache line, where a Grant begins one.
type Grant struct {
	initialMessages       uint64
	gotMessages, gotBytes uint64
	// Until that much has come there is no need to look at what has been taken, which others are changing all the time.
	mayMessages, mayBytes uint64
	// When that much has come, the sender has used half of what it knows that it may.
	tightMessages, tightBytes uint64
	isTight                   bool

	takenMessages, takenBytes atomic.Uint64
	// When that much has been taken, the sender should be told.
	dueMessages, dueBytes   atomic.Uint64
	toldMessages, toldBytes uint64 // what of takenMessages and takenBytes was stated
	initialBytes            uint64
	tight                   atomic.Bool // isTight, for who takes
}

// NewGrant returns a grant with an initial total.
func NewGrant(messages, bytes uint64) *Grant {
	g := new(Grant)
	g.Init(messages, bytes)
	return g
}

// Init makes a zero Grant what NewGrant returns, for a Grant that is part of something.
func (g *Grant) Init(messages, bytes uint64) {
	g.initialMessages, g.initialBytes = messages, bytes
	g.Totals()
}

// Receive counts what arrived: messages that start, bytes of them or of further parts. It returns false if the sender had
// no right to it.
func (g *Grant) Receive(messages, bytes uint64) bool {
	if messages > 0 && (g.gotMessages >= g.mayMessages || g.gotBytes >= g.mayBytes) && !g.look(messages) {
		return false
	}
	g.gotMessages += messages
	g.gotBytes += bytes
	if !g.isTight && g.half() {
		g.tighten(true)
	}
	return true
}

// half reports whether the sender has used half of what it knows that it may.
func (g *Grant) half() bool {
	return g.gotBytes >= g.tightBytes || g.initialMessages > 0 && g.gotMessages >= g.tightMessages
}

func (g *Grant) tighten(tight bool) {
	g.isTight = tight
	g.tight.Store(tight)
}

// Tight reports whether the sender has used half of what it knows that it may: it might soon wait for what was taken since the totals were last stated,
// however little that is.
func (g *Grant) Tight() bool { return g.isTight }

// Untold reports whether something was taken since the totals were last stated.
func (g *Grant) Untold() bool {
	return g.takenMessages.Load() != g.toldMessages || g.takenBytes.Load() != g.toldBytes
}

// WasTight is Tight for who does not have the owner's lock. Who takes something finds all that came before it counted.
func (g *Grant) WasTight() bool { return g.tight.Load() }

// Take returns what was received to the sender. It reports whether enough has come together, a quarter of the window,
// that the sender should be told.
func (g *Grant) Take(messages, bytes uint64) bool {
	m := g.takenMessages.Add(messages)
	b := g.takenBytes.Add(bytes)
	return m >= g.dueMessages.Load() || b >= g.dueBytes.Load()
}

// TakeBytes is Take for a grant whose messages do not count.
func (g *Grant) TakeBytes(bytes uint64) bool {
	return g.takenBytes.Add(bytes) >= g.dueBytes.Load()
}

// Totals returns the totals to state to the sender, and remembers that they have been stated.
func (g *Grant) Totals() (messages, bytes uint64) {
	m, b := g.takenMessages.Load(), g.takenBytes.Load()
	g.dueMessages.Store(m + g.initialMessages/4)
	g.dueBytes.Store(b + g.initialBytes/4)
	g.tightMessages, g.tightBytes = m+g.initialMessages/2, b+g.initialBytes/2
	g.toldMessages, g.toldBytes = m, b
	g.tighten(g.half())
	return g.initialMessages + m, g.initialBytes + b
}

// ReceiveBytes is Receive for a grant whose messages do not count.
func (g *Grant) ReceiveBytes(bytes uint64) bool {
	if g.gotBytes >= g.mayBytes && !g.look(0) {
		return false
	}
	g.gotBytes += bytes
	if !g.isTight && g.half() {
		g.tighten(true)
	}
	return true
}

// look looks at what has been taken, and reports whether more may come. That may not have been stated yet, so this is more lenient
// than what the peer knows, never stricter.
func (g *Grant) look(messages uint64) bool {
	g.mayMessages = g.initialMessages + g.takenMessages.Load()
	g.mayBytes = g.initialBytes + g.takenBytes.Load()
	return g.gotBytes < g.mayBytes && (messages == 0 || g.gotMessages < g.mayMessages)
}

// Outstanding returns what was received and not taken.
func (g *Grant) Outstanding() (messages, bytes uint64) {
	return g.gotMessages - g.takenMessages.Load(), g.gotBytes - g.takenBytes.Load()
}
