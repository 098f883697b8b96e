package inbox

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/parley-rpc/parley/internal/leaktest"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Main(m)) }

var errGone = errors.New("gone")

// counted returns a message that counts in n when it is read or dropped.
func counted(text string, n *atomic.Int64) Message {
	return Message{Payload: []byte(text), Taken: func() { n.Add(1) }}
}

// rest reads until there are no more messages.
func rest(b *Inbox) (got []string, err error) {
	for {
		m, err := b.Next(context.Background())
		if err != nil {
			return got, err
		}
		got = append(got, string(m.Payload))
	}
}

// TestOrder: messages are read in the order in which they came, then the end, time and again.
func TestOrder(t *testing.T) {
	b := New()
	var taken atomic.Int64
	want := []string{}
	for i := range 100 {
		b.Put(counted(string(rune('a'+i%26)), &taken))
		want = append(want, string(rune('a'+i%26)))
		if i%3 == 0 {
			m, err := b.Next(context.Background())
			if err != nil || string(m.Payload) != want[0] {
				t.Fatalf("Next = %q, %v, want %q", m.Payload, err, want[0])
			}
			want = want[1:]
		}
	}
	b.End(io.EOF, metadata.Pairs("t", "1"))
	b.End(errGone, metadata.Pairs("t", "2")) // only the first counts
	b.Put(counted("late", &taken))
	got, err := rest(b)
	if !slices.Equal(got, want) || err != io.EOF {
		t.Errorf("%q, %v, want %q and EOF", got, err, want)
	}
	if _, err := b.Next(context.Background()); err != io.EOF {
		t.Errorf("a second time: %v", err)
	}
	if n := taken.Load(); n != 101 {
		t.Errorf("%d messages were taken, want 101", n)
	}
	if md := b.Trailer(); md.Get("t")[0] != "1" {
		t.Errorf("trailer %v", md)
	}
}

// TestTakenWhenRead: the room of a message is used until it is read, not until it came.
func TestTakenWhenRead(t *testing.T) {
	b := New()
	var taken atomic.Int64
	b.Put(counted("1", &taken))
	b.Put(Message{Payload: []byte("2")})
	if taken.Load() != 0 {
		t.Error("taken before it was read")
	}
	if _, err := b.Next(context.Background()); err != nil || taken.Load() != 1 {
		t.Errorf("%v, taken %d times", err, taken.Load())
	}
}

// TestDrop: what is there, and what comes, is dropped, and the reader is told why, unless it has read all and the end had come.
func TestDrop(t *testing.T) {
	for _, test := range []struct {
		name     string
		end      error // before
		messages int
		want     error
	}{
		{"open", nil, 0, errGone},
		{"open, with messages", nil, 3, errGone},
		{"ended", io.EOF, 0, io.EOF},
		{"ended, with messages that are lost by it", io.EOF, 3, errGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			var taken atomic.Int64
			for range test.messages {
				b.Put(counted("x", &taken))
			}
			if test.end != nil {
				b.End(test.end, nil)
			}
			b.Drop(errGone)
			b.Drop(errors.New("again"))
			b.Put(counted("late", &taken))
			if n := taken.Load(); n != int64(test.messages+1) {
				t.Errorf("%d messages were taken, want %d", n, test.messages+1)
			}
			if got, err := rest(b); len(got) != 0 || err != test.want {
				t.Errorf("%q, %v, want %v", got, err, test.want)
			}
		})
	}
}

// TestHeader: the first headers count that come before a message and the end.
func TestHeader(t *testing.T) {
	for _, test := range []struct {
		name string
		put  func(b *Inbox)
		want metadata.MD
	}{
		{"headers", func(b *Inbox) { b.PutHeader(metadata.Pairs("k", "1")); b.PutHeader(metadata.Pairs("k", "2")) }, metadata.Pairs("k", "1")},
		{"empty headers", func(b *Inbox) { b.PutHeader(nil) }, metadata.MD{}},
		{"a message before", func(b *Inbox) { b.Put(Message{}); b.PutHeader(metadata.Pairs("k", "1")) }, nil},
		{"the end before", func(b *Inbox) { b.End(io.EOF, nil); b.PutHeader(metadata.Pairs("k", "1")) }, nil},
		{"dropped", func(b *Inbox) { b.Drop(errGone) }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := New()
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := b.Header(ended); err != context.Canceled {
				t.Errorf("without any: %v", err)
			}
			test.put(b)
			md, err := b.Header(context.Background())
			if err != nil || len(md) != len(test.want) || (md == nil) != (test.want == nil) || len(md) > 0 && md.Get("k")[0] != test.want.Get("k")[0] {
				t.Errorf("Header = %v, %v, want %v", md, err, test.want)
			}
			for range 100 {
				if _, err := b.Header(ended); err != nil {
					t.Fatalf("what is known is returned, whatever the context: %v", err)
				}
			}
		})
	}
}

// TestContext: a reader whose context ends goes, and the next one misses nothing.
func TestContext(t *testing.T) {
	b := New()
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error)
	go func() {
		_, err := b.Next(ctx)
		waited <- err
	}()
	cancel()
	if err := <-waited; err != context.Canceled {
		t.Errorf("Next = %v", err)
	}
	b.Put(Message{Payload: []byte("x")})
	if m, err := b.Next(ctx); err != nil || string(m.Payload) != "x" {
		t.Errorf("what is there is read, whatever the context: %q, %v", m.Payload, err)
	}
}

// TestConcurrent: a writer, a reader, and somebody who ends it: every message is read or dropped, and taken once.
func TestConcurrent(t *testing.T) {
	const messages = 2000
	for _, drop := range []bool{false, true} {
		b := New()
		var taken atomic.Int64
		half := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range messages {
				b.Put(counted(string(rune(i)), &taken))
				if i == messages/2 {
					close(half)
				}
			}
			b.End(io.EOF, nil)
		})
		wg.Go(func() {
			got, err := rest(b)
			for i, text := range got {
				if text != string(rune(i)) {
					t.Errorf("message %d is %q", i, text)
					break
				}
			}
			if len(got) < messages && err != errGone || err == io.EOF && len(got) != messages {
				t.Errorf("after %d messages: %v", len(got), err)
			}
		})
		if drop {
			wg.Go(func() { <-half; b.Drop(errGone) })
		}
		wg.Wait()
		if n := taken.Load(); n != messages {
			t.Errorf("%d messages were taken, want %d", n, messages)
		}
	}
}

// TestRoom: what was read is not kept, however long the inbox lives.
func TestRoom(t *testing.T) {
	b := New()
	b.Put(Message{})
	for range 10_000 {
		b.Put(Message{})
		if _, err := b.Next(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(b.messages); n > 16 {
		t.Errorf("there is room for %d messages, where there were never more than two", n)
	}
}
