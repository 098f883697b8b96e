package link

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/google/uuid"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// conn is a grpc.ClientConnInterface in memory: each stream of it is served by serve, on a goroutine of its own.
type conn struct {
	serve func(stream Stream) error
	room  int // how many frames a stream takes in each direction before SendMsg blocks
	wg    sync.WaitGroup
}

// Invoke implements grpc.ClientConnInterface.
func (*conn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return status.Error(codes.Unimplemented, "there are only streams")
}

// NewStream implements grpc.ClientConnInterface.
func (c *conn) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	serverCtx, cancel := context.WithCancel(ctx)
	s := &stream{up: make(chan []byte, c.room), down: make(chan []byte, c.room), ended: make(chan struct{})}
	c.wg.Go(func() {
		s.err = c.serve(&serverStream{s, serverCtx})
		close(s.ended)
		cancel()
	})
	return &clientStream{stream: s, ctx: ctx}, nil
}

// stream is both sides of one stream.
type stream struct {
	up, down chan []byte   // frames from and to the client; up is closed by CloseSend
	err      error         // what serve has returned
	ended    chan struct{} // closed when it has
}

type clientStream struct {
	*stream
	ctx  context.Context
	once sync.Once
}

func (s *clientStream) Header() (metadata.MD, error) { return nil, nil }
func (s *clientStream) Trailer() metadata.MD         { return nil }
func (s *clientStream) Context() context.Context     { return s.ctx }

func (s *clientStream) CloseSend() error {
	s.once.Do(func() { close(s.up) })
	return nil
}

func (s *clientStream) SendMsg(m any) error {
	select {
	case <-s.ended:
		return io.EOF
	case <-s.ctx.Done():
		return io.EOF
	case s.up <- bytes.Clone(m.(*wire.Frame).Bytes()):
		return nil
	}
}

func (s *clientStream) RecvMsg(m any) error {
	select { // what has been written comes before the end
	case b := <-s.down:
		m.(*wire.Frame).SetBytes(b)
		return nil
	default:
	}
	select {
	case b := <-s.down:
		m.(*wire.Frame).SetBytes(b)
		return nil
	case <-s.ctx.Done():
	case <-s.ended:
		select {
		case b := <-s.down:
			m.(*wire.Frame).SetBytes(b)
			return nil
		default:
		}
	}
	switch { // who has cancelled hears of that, whatever the server said of it
	case s.ctx.Err() != nil:
		return status.FromContextError(s.ctx.Err()).Err()
	case s.err != nil:
		return s.err
	}
	return io.EOF
}

type serverStream struct {
	*stream
	ctx context.Context
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) SendMsg(m any) error {
	select {
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	case s.down <- bytes.Clone(m.(*wire.Frame).Bytes()):
		return nil
	}
}

func (s *serverStream) RecvMsg(m any) error {
	select {
	case b, open := <-s.up:
		if !open {
			return io.EOF
		}
		m.(*wire.Frame).SetBytes(b)
		return nil
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// recorder is a Handler that remembers. Its fields may be read when all goroutines wait.
type recorder struct {
	mu             sync.Mutex
	begun          int
	events         []session.Event
	breaks         []*endpoint.Error
	unacknowledged []session.Send
	ends           []*endpoint.Error
	broken         bool
	got            func(l *Link, ev *session.Event) // called with each event, if not nil
}

func (r *recorder) Begun(*Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
}

func (r *recorder) Deliver(l *Link, frame *wire.Buffer, events []session.Event) {
	frame.Retain(1) // for good: the events are kept
	r.mu.Lock()
	r.events = append(r.events, events...)
	r.mu.Unlock()
	for i := range events {
		if r.got != nil {
			r.got(l, &events[i])
		}
	}
}

func (r *recorder) Unacknowledged(_ *Link, sends []session.Send, _ *endpoint.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unacknowledged = append(r.unacknowledged, sends...)
}

func (r *recorder) Broken(_ *Link, reason *endpoint.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.breaks = append(r.breaks, reason)
}

func (r *recorder) Ended(_ *Link, reason *endpoint.Error, broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = append(r.ends, reason)
	r.broken = broken
}

// answer is a recorder.got that takes every message and answers every ask with its payload.
func answer(l *Link, ev *session.Event) {
	if ev.Kind == wire.KindLookup {
		l.Reply(&session.Reply{ID: ev.ID})
		return
	}
	l.Take(ev.Account, ev.Cost)
	if ev.Kind == wire.KindAsk {
		l.Reply(&session.Reply{ID: ev.ID, Payload: ev.Payload, Encoding: wire.Proto})
	}
}

// outcome is a Completion that can be waited for.
type outcome chan endpoint.Response

func (o outcome) Complete(r endpoint.Response) { o <- r }

func newOutcome() outcome { return make(outcome, 2) }

// wait returns the outcome, which must be the only one.
func (o outcome) wait(t *testing.T) endpoint.Response {
	t.Helper()
	r := <-o
	if len(o) != 0 {
		t.Error("an ask was completed twice")
	}
	return r
}

// two are the two sides of a session in memory.
type two struct {
	dialler, listener *Link
	at                [2]*recorder // the dialler's and the listener's
	table             *Table       // the listener's
	conn              *conn
}

func newConfig(h Handler, change ...func(*session.Limits)) *Config {
	limits := session.InitialLimits()
	for _, c := range change {
		c(&limits)
	}
	return &Config{EnvID: uuid.Must(uuid.NewV7()).String(), Limits: &limits, Handler: h, Table: NewTable()}
}

// connect opens a session; the limits are the listener's. At the end both sides must be over, with nothing left.
func connect(t *testing.T, change ...func(*session.Limits)) *two {
	t.Helper()
	w := &two{at: [2]*recorder{{}, {}}}
	listening := newConfig(w.at[1], change...)
	w.table = listening.Table
	accepted := make(chan *Link, 1)
	w.conn = &conn{room: 1 << 16}
	w.conn.serve = func(s Stream) error {
		c, err := Accept(s, listening, w.conn.wg.Go)
		if err != nil {
			return err
		}
		if c.First() {
			accepted <- c.Link()
			w.conn.wg.Go(c.Link().Wait)
		}
		select {
		case <-c.Over():
		case <-s.Context().Done():
			c.Broken(s.Context().Err())
		}
		return c.Err()
	}
	var err *endpoint.Error
	if w.dialler, err = Dial(t.Context(), w.conn, newConfig(w.at[0])); err != nil {
		t.Fatal(err)
	}
	w.listener = <-accepted
	return w
}

// end waits for the end of both sides and checks that each was told of it once.
func (w *two) end(t *testing.T, broken ...bool) {
	t.Helper()
	w.dialler.Wait()
	w.conn.wg.Wait()
	for i, r := range w.at {
		if r.begun != 1 || len(r.ends) != 1 || r.broken != broken[i] {
			t.Errorf("side %d: begun %d times, ended %d times, broken %t, want once, once, %t", i, r.begun, len(r.ends), r.broken, broken[i])
		}
	}
	for _, l := range []*Link{w.dialler, w.listener} {
		if own, _ := l.Pending(); own != 0 {
			t.Errorf("%d asks are pending after the end", own)
		}
	}
}

func target(name string) wire.Target {
	return wire.Target{Endpoint: name, Method: "test.v1.Service/Method"}
}

func asking(o outcome, name string, payload []byte) *session.Posting {
	return &session.Posting{Ask: &session.Ask{Done: o}, Target: target(name), Payload: payload, Encoding: wire.Proto}
}

func sending(name string, payload []byte) *session.Posting {
	return &session.Posting{Target: target(name), Payload: payload, Encoding: wire.Proto}
}
