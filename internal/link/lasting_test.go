package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// network is a conn whose streams can be cut and made to lose what they carry. Its listener resumes sessions.
type network struct {
	conn
	listening *Config
	at        *recorder // the listener's
	accepted  chan *Link
	mute      atomic.Bool  // whatever either side writes is lost
	down      atomic.Bool  // no connection can be made
	late      atomic.Int64 // by how much, in nanoseconds, the listener's answer to a hello is late

	mu   sync.Mutex
	cuts []context.CancelFunc // of the streams, the oldest first
}

func newNetwork(change ...func(*session.Limits)) *network {
	n := &network{at: &recorder{}, accepted: make(chan *Link, 100)}
	n.room = 1 << 12
	n.listening = resuming(n.at, change...)
	n.conn.serve = n.serve
	return n
}

// resuming returns the Config of an Env whose sessions outlive their streams, and whose table forgets those that end.
func resuming(r *recorder, change ...func(*session.Limits)) *Config {
	c := newConfig(nil, change...)
	c.Resume = true
	c.Handler = remover{r, c}
	return c
}

// remover takes links out of the table, as an Env does.
type remover struct {
	*recorder
	config *Config
}

func (r remover) Ended(l *Link, e *endpoint.Error, broken bool) {
	r.config.Table.Remove(l)
	r.recorder.Ended(l, e, broken)
}

func (n *network) serve(s Stream) error {
	s = &lossy{Stream: s, n: n}
	c, err := Accept(s, n.listening, n.wg.Go)
	if err != nil {
		return err
	}
	if c.First() {
		n.accepted <- c.Link()
		n.wg.Go(c.Link().Wait)
	}
	select {
	case <-c.Over():
	case <-s.Context().Done():
		c.Broken(s.Context().Err())
	}
	return c.Err()
}

// NewStream implements grpc.ClientConnInterface.
func (n *network) NewStream(ctx context.Context, d *grpc.StreamDesc, m string, o ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, cancel := context.WithCancel(ctx)
	n.mu.Lock()
	n.cuts = append(n.cuts, cancel)
	n.mu.Unlock()
	return n.conn.NewStream(ctx, d, m, o...)
}

// cut ends all streams.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, cut := range n.cuts {
		cut()
	}
	n.cuts = nil
}

// streams returns how many streams there have been since the last cut.
func (n *network) streams() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.cuts)
}

// lossy is the listener's side of a stream of a network.
type lossy struct {
	Stream
	n        *network
	answered atomic.Bool
}

func (s *lossy) SendMsg(m any) error {
	if late := time.Duration(s.n.late.Load()); late > 0 && !s.answered.Swap(true) {
		<-time.After(late)
	}
	if s.n.mute.Load() {
		return nil
	}
	return s.Stream.SendMsg(m)
}

func (s *lossy) RecvMsg(m any) error {
	for {
		if err := s.Stream.RecvMsg(m); err != nil || !s.n.mute.Load() {
			return err
		}
	}
}

// authenticated returns a context in which the peer of a stream has shown a certificate for a DNS name.
func authenticated(ctx context.Context, name string) context.Context {
	certificate := &x509.Certificate{DNSNames: []string{name}}
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}},
	}}})
}

// lasting is a session on a network whose dialler gives it another stream whenever it needs one.
type lasting struct {
	*testing.T
	*network
	dialler, listener *Link
	own               *recorder                      // the dialler's
	connect           func() (Conn, *endpoint.Error) // how the dialler gets further connections; may be changed while it needs none
}

func newLasting(t *testing.T, change ...func(*session.Limits)) *lasting {
	t.Helper()
	w := &lasting{T: t, network: newNetwork(change...), own: &recorder{}}
	w.connect = w.dialAgain
	dialling := resuming(w.own, change...)
	var err *endpoint.Error
	if w.dialler, err = Dial(t.Context(), w.network, dialling); err != nil {
		t.Fatal(err)
	}
	w.listener = <-w.accepted
	w.dialler.Keep(Conn{ClientConnInterface: w.network, Close: func() {}}, func(string) (Conn, *endpoint.Error) { return w.connect() })
	return w
}

func (w *lasting) dialAgain() (Conn, *endpoint.Error) {
	if w.down.Load() {
		return Conn{Close: func() {}}, &endpoint.Error{Reason: endpoint.ReasonUnreachable, Text: "the network is down"}
	}
	return Conn{ClientConnInterface: w.network, Close: func() {}}, nil
}

// send sends texts from the dialler.
func (w *lasting) send(texts ...string) {
	w.Helper()
	for _, text := range texts {
		if err := w.dialler.Post(w.Context(), sending("a", []byte(text)), PostOptions{NoWait: true}); err != nil {
			w.Fatal(err)
		}
	}
}

// arrived returns the payloads that have come, in order, and forgets them.
func (r *recorder) arrived() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, ev := range r.events {
		texts = append(texts, string(ev.Payload))
	}
	r.events = nil
	return texts
}

// asks checks that the session works, both ways: an ask of each side is answered.
func (w *lasting) asks() {
	w.Helper()
	w.at.got, w.own.got = answer, answer
	for _, l := range []*Link{w.dialler, w.listener} {
		o := newOutcome()
		if err := l.Post(w.Context(), asking(o, "a", []byte("?")), PostOptions{}); err != nil {
			w.Fatal(err)
		}
		if r := o.wait(w.T); r.Err != nil || string(r.Payload) != "?" {
			w.Errorf("the answer is %q, %v", r.Payload, r.Err)
		}
	}
}

// end waits for the end of both sides, and checks that each was told of it once.
func (w *lasting) end() {
	w.Helper()
	w.dialler.Wait()
	w.wg.Wait()
	for i, r := range []*recorder{w.own, w.at} {
		if r.begun != 1 || len(r.ends) != 1 {
			w.Errorf("side %d: begun %d times, ended %d times, want once", i, r.begun, len(r.ends))
		}
	}
	t := w.listening.Table
	parked, bytes := t.parkedNow()
	if n := len(t.All()); n != 0 || parked != 0 || bytes != 0 || len(t.ids) != 0 {
		w.Errorf("the table has %d links, %d parked with %d bytes, %d ids at the end", n, parked, bytes, len(t.ids))
	}
}

// parkedNow returns how many sessions have no stream, and what they keep.
func (t *Table) parkedNow() (n int, bytes uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.parked.Len(), t.parkedBytes
}

// close ends the session in good order.
func (w *lasting) close() {
	w.Helper()
	w.dialler.Close(errClosed)
	w.end()
}

// opens opens a stream with a hello by hand, and returns the head of the answer.
func (n *network) opens(ctx context.Context, t *testing.T, hello *parleyv1.Hello) (*wire.Head, grpc.ClientStream) {
	t.Helper()
	s, err := n.NewStream(ctx, nil, Method)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(wire.NewFrame(wire.AppendHead(nil, &wire.Head{Hello: hello}))); err != nil {
		t.Fatal(err)
	}
	var f wire.Frame
	if err := s.RecvMsg(&f); err != nil {
		t.Fatal(err)
	}
	h := &wire.Head{}
	if err := wire.ParseHead(f.Bytes(), h); err != nil {
		t.Fatal(err)
	}
	return h, s
}

// attachment returns the attach that the session's dialler would make next.
func (w *lasting) attachment(change func(*parleyv1.Attach)) *parleyv1.Hello {
	l := w.dialler
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &parleyv1.Attach{Session: l.peer.Session, Token: l.token, Epoch: l.epoch + 1, Received: l.session.Received(), EnvId: l.peer.EnvID}
	change(a)
	return &parleyv1.Hello{Capabilities: []string{resume}, Opening: &parleyv1.Hello_Attach{Attach: a}}
}
