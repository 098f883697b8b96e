package fairness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

const (
	// fillers is how many senders fill a mailbox, and then wait for room.
	fillers = 4
	// moment is the time between two looks at a load that is being built up, and standstill how many of them in a row see no message accepted when a
	// mailbox counts as full.
	moment     = 20 * time.Millisecond
	standstill = 5
	// partBytes is the length of a part of a huge message.
	partBytes = 64 << 10
	// loadTimeout bounds the building up of a load and, once more, its end. Only a hang meets it.
	loadTimeout = time.Minute
)

// load is what keeps the second endpoint of a system busy.
type load struct {
	system  system
	before  int          // messages taken before
	blocked bool         // the consumer is
	sent    atomic.Int64 // messages accepted
	bytes   int64        // of a message
	stop    atomic.Bool
	failed  chan error // gets the outcome of each sender
	senders int
	cancel  context.CancelFunc // of the context of the senders
	wg      sync.WaitGroup
}

// newMessage returns a message of those texts. It is a FieldMask because that is a list of texts of any length.
func newMessage(texts ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: texts} }

// inParts returns a message of that many bytes in texts of part bytes.
func inParts(bytes, part int) *fieldmaskpb.FieldMask {
	text := strings.Repeat("y", part)
	var texts []string
	for ; bytes > 0; bytes -= part {
		texts = append(texts, text[:min(part, bytes)])
	}
	return newMessage(texts...)
}

// begin starts senders, which send message until the load ends.
func begin(ctx context.Context, s system, senders int, message *fieldmaskpb.FieldMask) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{
		system: s, before: s.consumer().count(), bytes: int64(proto.Size(message)),
		failed: make(chan error, senders), senders: senders, cancel: cancel,
	}
	for range senders {
		l.wg.Go(func() { l.failed <- l.send(ctx, message) })
	}
	return l
}

func (l *load) send(ctx context.Context, message *fieldmaskpb.FieldMask) error {
	for !l.stop.Load() {
		if err := l.system.send(ctx, message); err != nil {
			return fmt.Errorf("sending %d bytes: %w", l.bytes, err)
		}
		l.sent.Add(1)
	}
	return nil
}

// bulk sends one huge message after the other, of many parts.
func bulk(ctx context.Context, c Config, s system) (*load, error) {
	return huge(ctx, s, inParts(c.BulkBytes, partBytes))
}

// bulkText sends one huge message after the other, of one text.
func bulkText(ctx context.Context, c Config, s system) (*load, error) {
	return huge(ctx, s, inParts(c.BulkBytes, c.BulkBytes))
}

// huge returns when the first message has been taken.
func huge(ctx context.Context, s system, message *fieldmaskpb.FieldMask) (*load, error) {
	l := begin(ctx, s, 1, message)
	for s.consumer().count() == l.before {
		if err := l.pause(ctx); err != nil {
			return nil, errors.Join(err, l.abandon())
		}
	}
	return l, nil
}

// fill blocks the consumer, and returns when no sender gets any further.
func fill(ctx context.Context, c Config, s system) (*load, error) {
	s.consumer().block()
	l := begin(ctx, s, fillers, inParts(c.AskBytes, c.AskBytes))
	l.blocked = true
	seen, since := int64(0), 0
	for seen == 0 || since < standstill {
		if err := l.pause(ctx); err != nil {
			return nil, errors.Join(err, l.abandon())
		}
		since++
		if sent := l.sent.Load(); sent != seen {
			seen, since = sent, 0
		}
	}
	return l, nil
}

// pause waits a moment. It fails if a sender has.
func (l *load) pause(ctx context.Context) error {
	select {
	case err := <-l.failed:
		l.senders--
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(moment):
		return nil
	}
}

// abandon ends the senders of a load that could not be built up.
func (l *load) abandon() error {
	if l.blocked {
		l.system.consumer().unblock()
	}
	l.cancel()
	l.wg.Wait()
	return errors.New("the load could not be built up")
}

// end lets everything that was sent be taken, and returns its bytes.
func (l *load) end(ctx context.Context) (int64, error) {
	defer l.cancel()
	ctx, cancel := context.WithTimeoutCause(ctx, loadTimeout, errors.New("the load did not end"))
	defer cancel()
	var err error
	if l.blocked {
		l.system.consumer().unblock()
	}
	l.stop.Store(true)
	for ; l.senders > 0; l.senders-- {
		select {
		case failed := <-l.failed:
			err = errors.Join(err, failed)
		case <-ctx.Done():
			l.cancel()
			err = errors.Join(err, <-l.failed)
		}
	}
	l.wg.Wait()
	sent := l.sent.Load()
	if err == nil {
		err = l.system.consumer().wait(ctx, l.before+int(sent))
	}
	return sent * l.bytes, err
}
