package link

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// raw is a dialler by hand.
type raw struct {
	*testing.T
	stream *clientStream
	at     *recorder
	config *Config
	link   *Link // set by hello
	conn   *conn
	opened chan *Link
	cancel context.CancelFunc
}

func newRaw(t *testing.T, change ...func(*session.Limits)) *raw {
	r := &raw{T: t, at: &recorder{}, conn: &conn{room: 100}, opened: make(chan *Link, 1)}
	r.config = newConfig(r.at, change...)
	r.conn.serve = func(s Stream) error {
		c, err := Accept(s, r.config, r.conn.wg.Go)
		if err != nil {
			return err
		}
		if c.First() {
			r.opened <- c.Link()
			r.conn.wg.Go(c.Link().Wait)
		}
		select {
		case <-c.Over():
		case <-s.Context().Done():
			c.Broken(s.Context().Err())
		}
		return c.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	s, err := r.conn.NewStream(ctx, nil, Method)
	if err != nil {
		t.Fatal(err)
	}
	r.stream = s.(*clientStream)
	return r
}

func (r *raw) frame(h wire.Head, envelopes ...*wire.Envelope) {
	r.Helper()
	var b []byte
	for _, e := range envelopes {
		b = e.Append(b)
	}
	if err := r.stream.SendMsg(wire.NewFrame(wire.AppendHead(b, &h))); err != nil {
		r.Fatal(err)
	}
}

func (r *raw) hello(h *parleyv1.Hello) {
	r.Helper()
	r.frame(wire.Head{Hello: h})
	var f wire.Frame
	if err := r.stream.RecvMsg(&f); err != nil {
		r.Fatal(err)
	}
	r.link = <-r.opened
}

// envelope returns the next envelope that comes.
func (r *raw) envelope() wire.Envelope {
	r.Helper()
	for {
		var f wire.Frame
		if err := r.stream.RecvMsg(&f); err != nil {
			r.Fatal(err)
		}
		body := wire.Body(f.Bytes())
		if content, ok := body.Next(); ok {
			var e wire.Envelope
			if err := e.Decode(content); err != nil {
				r.Fatal(err)
			}
			return e
		}
	}
}

// ends reads until the stream ends, which must be with want, and waits for all goroutines.
func (r *raw) ends(want codes.Code) {
	r.Helper()
	var f wire.Frame
	err := error(nil)
	for err == nil {
		err = r.stream.RecvMsg(&f)
	}
	got := status.Code(err)
	if err == io.EOF {
		got = codes.OK
	}
	if got != want {
		r.Errorf("the stream ended with %v (%v), want %v", got, err, want)
	}
	r.cancel()
	r.conn.wg.Wait()
}
