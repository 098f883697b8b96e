package mailbox

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// The items of an endpoint, as its owner would post them.
type (
	onStart struct{}
	onStop  struct{}
	send    struct{ text string }
	ask     struct {
		text  string
		reply chan<- string
	}
	onConnected    struct{ address string }
	onDisconnected struct{ address string }
	onNetworkError struct {
		cause   error
		address string
	}
)

// TestSemanticsB restates the InboxSuite of Spark. B7 (the count of active
// threads after a fatal error) has no equivalent: in Go a fatal error ends the
// process, and a panic is the owner's to recover. TestGoexit covers the
// accounting that B7 is about.
func TestSemanticsB(t *testing.T) {
	// started returns a serial box that has been given onStart and records
	// every item; stopped closes it and returns the record.
	started := func(t *testing.T) (b *Box[any], stopped func() []any) {
		t.Helper()
		var record []any // ordered by the box, then by Done
		b = New(Config{}, func(_ Turn, item any) {
			if a, ok := item.(ask); ok {
				a.reply <- "re: " + a.text
				item = send{a.text}
			}
			record = append(record, item)
		})
		if !b.PostControl(onStart{}) {
			t.Fatal("onStart was refused")
		}
		return b, func() []any {
			if !b.Close(onStop{}) {
				t.Fatal("Close of an open box = false")
			}
			<-b.Done()
			if n := b.Len(); n != 0 {
				t.Errorf("Len = %d after Done, want 0", n)
			}
			return record
		}
	}
	expect := func(t *testing.T, got []any, want ...any) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("handled %v, want %v", got, want)
		}
	}

	t.Run("B1 post", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, stopped := started(t)
			if n := b.Post(send{"hi"}); n != 1 {
				t.Fatalf("Post = %d, want 1", n)
			}
			synctest.Wait()
			if n := b.Len(); n != 0 {
				t.Errorf("Len = %d, want 0", n)
			}
			expect(t, stopped(), onStart{}, send{"hi"}, onStop{})
		})
	})

	t.Run("B2 post with reply", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, stopped := started(t)
			reply := make(chan string)
			b.Post(ask{"hi", reply})
			if got := <-reply; got != "re: hi" {
				t.Errorf("reply %q, want %q", got, "re: hi")
			}
			expect(t, stopped(), onStart{}, send{"hi"}, onStop{})
		})
	})

	t.Run("B3 post multiple threads", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const threads, posts, closeAt = 10, 100, 300
			var record []any
			var b *Box[any]
			b = New(Config{}, func(_ Turn, item any) {
				record = append(record, item)
				if len(record) == closeAt {
					b.Close(onStop{})
				}
			})
			b.PostControl(onStart{})
			var accepted, refused [threads]int
			var producers sync.WaitGroup
			for i := range threads {
				producers.Go(func() {
					for range posts {
						n := b.Post(send{"hi"})
						accepted[i] += n
						refused[i] += 1 - n
					}
				})
			}
			producers.Wait()
			<-b.Done()

			received, dropped := 0, 0
			for i := range threads {
				received += accepted[i]
				dropped += refused[i]
			}
			if got := len(record) - 2; got != received || got+dropped != threads*posts {
				t.Errorf("received %d of %d accepted, %d refused, want a sum of %d",
					got, received, dropped, threads*posts)
			}
			if n := b.Post(send{"late"}); n != 0 {
				t.Errorf("Post after Done = %d, want 0", n)
			}
			if b.Len() != 0 || record[0] != (onStart{}) || record[len(record)-1] != (onStop{}) {
				t.Errorf("Len %d, first %T, last %T, want 0, onStart, onStop",
					b.Len(), record[0], record[len(record)-1])
			}
			if i := slices.Index(record, any(onStop{})); i != len(record)-1 {
				t.Errorf("onStop at %d of %d, want only at the end", i, len(record))
			}
		})
	})

	for _, test := range []struct {
		name  string
		event any
	}{
		{"B4 post connected", onConnected{"localhost:1"}},
		{"B5 post disconnected", onDisconnected{"localhost:1"}},
		{"B6 post network error", onNetworkError{errors.New("broken"), "localhost:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stopped := started(t)
				b.Post(send{"before"})
				if !b.PostControl(test.event) {
					t.Error("PostControl = false on an open box")
				}
				b.Post(send{"after"})
				expect(t, stopped(), onStart{}, send{"before"}, test.event, send{"after"}, onStop{})
			})
		})
	}
}

// TestPreparedBoxIsNotSerialAtFirst: without a first item that prepares, as many run at once as may.
func TestPreparedBoxIsNotSerialAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t, Config{Concurrency: 2, Prepared: true})
		g.Post(1, 2, 3)
		g.expect(1, 2)
		g.finish(1)
		g.expect(1, 2, 3)
		g.finish(2, 3)
		g.Close(last)
		g.finish(last)
		g.expectDone(true)
	})
}
