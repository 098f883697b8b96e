// Package inbox has what has come for one side of a streaming call and was not read yet: headers, messages, and the end. The window of the
// call bounds it.
package inbox

import (
	"context"
	"sync"

	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// Message is one message of a streaming call.
type Message struct {
	// Payload is the encoded message, which is the reader's to keep.
	Payload []byte
	// Parts is the encoded message instead, if it is a large one that came in pieces; nil where there is Payload.
	Parts *wire.Parts
	// JSON says that it is in protobuf's JSON.
	JSON bool
	// Taken is called once, when the message is read or dropped; nil for nothing.
	Taken func()
}

// Len returns how long the encoded message is.
func (m *Message) Len() int {
	if m.Parts != nil {
		return m.Parts.Len()
	}
	return len(m.Payload)
}

// Received returns the message as who calls gets it.
func (m *Message) Received() endpoint.Received {
	r := endpoint.Received{Payload: m.Payload}
	if m.Parts != nil {
		r.Parts = m.Parts
	}
	return r
}

// Inbox is filled by whoever carries the call, and read by one side of it. All methods may be called concurrently, but for Next, for which there is
// one reader at a time.
type Inbox struct {
	mu       sync.Mutex
	messages []Message // from first on
	first    int
	header   metadata.MD
	trailer  metadata.MD
	err      error // why there are no more messages; nil while there may be
	dropping bool  // nobody reads any more

	came   chan struct{} // has room for one: there is something new for Next
	headed chan struct{} // closed when there are headers, or none are coming
	known  bool          // headed is closed
}

// New returns an empty Inbox.
func New() *Inbox {
	return &Inbox{came: make(chan struct{}, 1), headed: make(chan struct{})}
}

// PutHeader puts in the response headers. Only the first that comes before any message and the end counts.
func (b *Inbox) PutHeader(md metadata.MD) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known {
		return
	}
	if md == nil {
		md = metadata.MD{}
	}
	b.header = md
	b.headLocked()
}

// headLocked says that the headers are known.
func (b *Inbox) headLocked() {
	if !b.known {
		b.known = true
		close(b.headed)
	}
}

// Put puts in a message. After the end, or where nobody reads any more, it is dropped.
func (b *Inbox) Put(m Message) {
	b.mu.Lock()
	if b.err != nil || b.dropping {
		b.mu.Unlock()
		m.taken()
		return
	}
	b.headLocked()
	if len(b.messages) == cap(b.messages) && b.first > len(b.messages)/2 { // not more often, so that a message is moved about once
		n := copy(b.messages, b.messages[b.first:])
		clear(b.messages[n:])
		b.messages, b.first = b.messages[:n], 0
	}
	b.messages = append(b.messages, m)
	b.mu.Unlock()
	b.wake()
}

// End says that no more messages come: Next returns err, io.EOF for a good end, when those that are there have been read. Only the first call counts.
func (b *Inbox) End(err error, trailer metadata.MD) {
	b.mu.Lock()
	if b.err == nil {
		b.err, b.trailer = err, trailer
		b.headLocked()
	}
	b.mu.Unlock()
	b.wake()
}

// Drop says that nobody reads any more, and why: what is there, and what comes, is dropped. Whoever reads all the same gets err, if anything is lost
// by it: an end after messages that were not read is no good one.
func (b *Inbox) Drop(err error) {
	b.End(err, nil)
	b.mu.Lock()
	dropped := b.messages[b.first:]
	if len(dropped) > 0 {
		b.err = err
	}
	b.messages, b.first, b.dropping = nil, 0, true
	b.mu.Unlock()
	for _, m := range dropped {
		m.taken()
	}
}

func (m *Message) taken() {
	if m.Taken != nil {
		m.Taken()
	}
}

func (b *Inbox) wake() {
	select {
	case b.came <- struct{}{}:
	default:
	}
}

// Next returns the next message; when there is none any more, the error of End; when ctx ends first, that of ctx.
func (b *Inbox) Next(ctx context.Context) (Message, error) {
	for {
		m, ok, err := b.take()
		if ok {
			m.taken()
			return m, nil
		}
		if err != nil {
			b.wake() // for whoever reads next
			return Message{}, err
		}
		select {
		case <-b.came:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

func (b *Inbox) take() (m Message, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first < len(b.messages) {
		m = b.messages[b.first]
		b.messages[b.first] = Message{}
		b.first++
		if b.first == len(b.messages) {
			b.messages, b.first = b.messages[:0], 0
		}
		return m, true, nil
	}
	return m, false, b.err
}

// Header waits for the response headers, until there is a message or the end, which come without any: then it returns nil. When
// ctx ends first it returns its error.
func (b *Inbox) Header(ctx context.Context) (md metadata.MD, err error) {
	select {
	case <-b.headed:
	case <-ctx.Done():
		select {
		case <-b.headed: // they have come before
		default:
			return nil, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.header, nil
}

// Trailer returns what came with the end; nil before it.
func (b *Inbox) Trailer() metadata.MD {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.trailer
}
