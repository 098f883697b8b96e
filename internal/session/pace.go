package session

import "time"

const (
	// leastAhead is how many bytes of chunks may always be unacknowledged. It is what a small message waits for that comes behind them, 0.1 ms at
	// 10 Gbit/s, and enough for a connection within a machine or a rack.
	leastAhead = 128 << 10
	// firstTimes is how many times the least may be unacknowledged on a stream of which nothing is known: where acknowledgements take long, each
	// doubling more costs a message one more round trip.
	firstTimes = 2
	// ackedChunks is after how many bytes of chunks this side acknowledges them, sooner than it must: often enough that a sender that is allowed
	// leastAhead does not come to a halt.
	ackedChunks = 3 * chunkBytes
	// lateAck is by how much longer than the network needs an acknowledgement takes for which the peer has waited, as it may, until ackDelay was over.
	lateAck = ackDelay * 4 / 5
	// forgetPace is after how long a time is not believed any more that no acknowledgement has come near to.
	forgetPace = 10 * time.Second
)

// pace bounds the chunks that are unacknowledged, because a small message that is written behind them arrives behind them: in the buffers of
// both ends and of the network no message passes another. How many it takes to keep a connection busy depends on its rate and delay, and on
// how often the peer acknowledges, of which nothing is known beforehand. So the window grows while it holds chunks up and acknowledgements take
// about the shortest time that one has taken, for then nothing queues anywhere; and it shrinks when they take several times that. What a small
// message waits for is thus a few times the delay of the connection, or leastAhead. At 10 Gbit/s and 1 ms the window grows to some 2 MiB, in
// three round trips; before, a first message is held up. The replay window bounds it, too.
//
// A peer that acknowledges only when it must, after a quarter of the replay window or 25 ms, is taken for a connection of that delay until its
// acknowledgements come sooner.
//
// Where a session ends with its stream no acknowledgement is due, and there is no such bound.
type pace struct {
	least    int           // of window
	window   int           // how many bytes of chunks may be unacknowledged: the last one may exceed it
	ahead    int           // how many are
	held     bool          // a chunk had to wait since the window was settled
	began    uint64        // the last frame that was made for an earlier stream
	settled  uint64        // what is written up to this frame says nothing of the window: it was another then, or not full
	shortest time.Duration // that an acknowledgement has taken; 0 if that is not known
	near     time.Time     // when one has last taken little more
}

func newPace(least int) pace { return pace{least: least, window: firstTimes * least} }

// open reports whether a chunk may be written.
func (p *pace) open() bool { return p.ahead < p.window }

// hold says that a chunk has to wait, and that last is the last frame that was made.
func (p *pace) hold(last uint64) {
	if !p.held {
		p.held, p.settled = true, last
	}
}

// restart begins anew, on a new stream. Frames up to last were made for an earlier one.
func (p *pace) restart(last uint64) {
	*p = pace{least: p.least, window: firstTimes * p.least, ahead: p.ahead, began: last, settled: last}
}

// acknowledged settles the window, about once for each that was written: the chunk in frame number was acknowledged so long after it was written,
// and last is the last frame that was made. The window does not grow beyond most.
func (p *pace) acknowledged(now time.Time, number, last uint64, took time.Duration, most uint64) {
	if number <= p.began {
		return
	}
	if p.shortest == 0 || took < p.shortest {
		p.shortest = max(took, 1)
	}
	if took < 2*p.shortest || p.near.IsZero() {
		p.near = now
	}
	if number <= p.settled {
		return
	}
	if p.held && p.ahead == 0 && took >= p.shortest+lateAck { // what was shorter came along with something else, such as a reply
		p.shortest, p.near = took, now
	}
	switch {
	case now.Sub(p.near) > forgetPace: // the path may have become longer, which is found out with little on it
		p.shortest, p.near, p.window = 0, now, p.least
	case took < 2*p.shortest && p.held:
		p.window = max(p.least, int(min(2*uint64(p.window), most)))
	case took > 4*p.shortest:
		p.window = max(p.least, p.window/2)
	}
	p.held, p.settled = false, last
}
