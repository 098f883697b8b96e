package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
	"github.com/parley-rpc/parley/internal/leaktest"
	"github.com/parley-rpc/parley/internal/wire"
)

// The tests here speak to an Env as a program would that is not written with this library: by the stock generated stub of
// parley.v1.Parley. The ids are those of the table of abnormal conditions in docs/protocol.md.

const hiMethod = "sayhi.v1.SayHi/Hi"

// stuck is an endpoint whose Hi returns when it is let go.
type stuck struct {
	sayhiv1parley.UnimplementedSayHi
	letGo chan struct{}
}

func (s *stuck) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	select {
	case <-s.letGo:
	case <-ctx.Done():
	}
	return &sayhiv1.HiReply{Msg: "late " + r.GetMsg()}, nil
}

// host is an Env with the endpoints "hi" and "stuck", a client beside it, and a connection for raw streams.
type host struct {
	*testing.T
	ctx    context.Context
	env    *parley.Env
	client *parley.Env
	ref    sayhiv1parley.SayHiRef
	stuck  *stuck
	conn   *grpc.ClientConn
}

// newHost starts a host. At the cleanup it checks that others were not harmed, and that nothing is left.
func newHost(t *testing.T, opts ...parley.Option) *host {
	t.Helper()
	leaktest.Check(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	quiet := parley.WithLogger(slog.New(slog.DiscardHandler))
	env, err := parley.Listen("localhost:0", append(opts, quiet)...)
	if err != nil {
		t.Fatal(err)
	}
	client, err := parley.New(quiet)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{T: t, ctx: ctx, env: env, client: client, stuck: &stuck{letGo: make(chan struct{})}}
	if _, err := sayhiv1parley.RegisterSayHi(ctx, env, "hi", hi{}); err != nil {
		t.Fatal(err)
	}
	if _, err := sayhiv1parley.RegisterSayHi(ctx, env, "stuck", h.stuck); err != nil {
		t.Fatal(err)
	}
	if h.ref, err = sayhiv1parley.LookupSayHi(ctx, client, "parley://hi@"+env.Address()); err != nil {
		t.Fatal(err)
	}
	if h.conn, err = grpc.NewClient(env.Address(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.end)
	return h
}

func (h *host) end() {
	h.unharmed()
	close(h.stuck.letGo)
	if err := h.conn.Close(); err != nil {
		h.Error(err)
	}
	h.awaitAlone()
	if err := h.client.Shutdown(h.ctx); err != nil {
		h.Error(err)
	}
	if err := h.env.Shutdown(h.ctx); err != nil {
		h.Error(err)
	}
	for _, e := range []*parley.Env{h.env, h.client} {
		if c := e.Counters(); c.Sessions != 0 || c.PendingAsks != 0 || c.OpenAsks != 0 {
			h.Errorf("after the shutdown: %+v", c)
		}
	}
}

// awaitAlone waits until the Env has noticed that no stream is left but the client's: what it still has to say on one would not be acknowledged, and
// Shutdown would say so.
func (h *host) awaitAlone() {
	h.Helper()
	for ; ; runtime.Gosched() {
		streams := 0
		for _, s := range h.env.Sessions() {
			if s.State == parley.SessionAttached {
				streams++
			}
		}
		switch {
		case streams <= 1:
			return
		case h.ctx.Err() != nil:
			h.Errorf("%d streams are left", streams)
			return
		}
	}
}

// unharmed checks that the client's calls still work.
func (h *host) unharmed() {
	h.Helper()
	if r, err := h.ref.Hi.AskSync(h.ctx, &sayhiv1.HiRequest{Msg: "still there"}); err != nil || r.GetMsg() != "echo still there" {
		h.Errorf("another client's ask: %v, %v", r, err)
	}
	if c := h.client.Counters(); c.PendingAsks != 0 || c.Sessions != 1 {
		h.Errorf("the other client: %+v", c)
	}
}

// raw is one stream of the stock stub.
type raw struct {
	*host
	stream grpc.BidiStreamingClient[parleyv1.Frame, parleyv1.Frame]
	number uint64
}

// connect opens a stream.
func (h *host) connect() *raw {
	h.Helper()
	stream, err := parleyv1.NewParleyClient(h.conn).Connect(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	return &raw{host: h, stream: stream}
}

// open opens a stream and a session. It waits for the welcome, so that the Env's limits hold where they are lower than the
// initial ones.
func (h *host) open() *raw {
	h.Helper()
	r := h.connect()
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{WaitsForWelcome: true}})
	if f := r.recv(); f.GetWelcome() == nil {
		h.Fatalf("the answer to hello is %v", f)
	}
	return r
}

func (r *raw) send(f *parleyv1.Frame) {
	r.Helper()
	if err := r.stream.Send(f); err != nil && !errors.Is(err, io.EOF) {
		r.Fatal(err)
	}
}

// bytes sends a frame as it is, whether it can be decoded or not.
func (r *raw) bytes(b []byte) {
	r.Helper()
	if err := r.stream.SendMsg(wire.NewFrame(b)); err != nil && !errors.Is(err, io.EOF) {
		r.Fatal(err)
	}
}

// put sends a frame with the next number.
func (r *raw) put(envelopes ...*parleyv1.Envelope) {
	r.Helper()
	r.number++
	r.send(&parleyv1.Frame{Number: r.number, Envelopes: envelopes})
}

func (r *raw) recv() *parleyv1.Frame {
	r.Helper()
	f, err := r.stream.Recv()
	if err != nil {
		r.Fatal(err)
	}
	return f
}

// reply reads until there is a reply, which must be to id.
func (r *raw) reply(id uint64) *parleyv1.Reply {
	r.Helper()
	for {
		for _, e := range r.recv().GetEnvelopes() {
			if e.GetReply() != nil {
				if e.GetReply().GetId() != id {
					r.Fatalf("a reply to %d, want %d", e.GetReply().GetId(), id)
				}
				return e.GetReply()
			}
		}
	}
}

// ends reads until the stream ends, which must be with this code.
func (r *raw) ends(want codes.Code) {
	r.Helper()
	for {
		_, err := r.stream.Recv()
		if err == nil {
			continue
		}
		got := status.Code(err)
		if errors.Is(err, io.EOF) {
			got = codes.OK
		}
		if got != want {
			r.Errorf("the stream ended with %v (%v), want %v", got, err, want)
		}
		return
	}
}

// works checks that the session is alive.
func (r *raw) works(id uint64) {
	r.Helper()
	r.put(askOf(id, "hi", "raw"))
	var m sayhiv1.HiReply
	if p := r.reply(id); p.GetStatus().GetCode() != 0 || proto.Unmarshal(p.GetProto(), &m) != nil || m.GetMsg() != "echo raw" {
		r.Errorf("the reply to an ask is %v", p)
	}
}

func target(name, method string) *parleyv1.Target {
	return &parleyv1.Target{Endpoint: name, Method: method}
}

func askOf(id uint64, name, msg string) *parleyv1.Envelope {
	b, _ := proto.Marshal(&sayhiv1.HiRequest{Msg: msg})
	return envelopeOf(&parleyv1.Ask{Id: id, Destination: &parleyv1.Ask_Target{Target: target(name, hiMethod)}, Payload: &parleyv1.Ask_Proto{Proto: b}})
}

func envelopeOf(a *parleyv1.Ask) *parleyv1.Envelope {
	return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Ask{Ask: a}}
}

func sendOf(name string, payload []byte) *parleyv1.Envelope {
	return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Send{Send: &parleyv1.Send{
		Destination: &parleyv1.Send_Target{Target: target(name, hiMethod)}, Payload: &parleyv1.Send_Proto{Proto: payload},
	}}}
}

// TestRawViolation: what ends a session ends that one only, with the status of the table.
func TestRawViolation(t *testing.T) {
	encode := func(f *parleyv1.Frame) []byte {
		b, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := encode(&parleyv1.Frame{Number: 1, Envelopes: []*parleyv1.Envelope{askOf(1, "hi", "x")}})
	for _, test := range []struct {
		name string
		bad  func(r *raw)
		want codes.Code
	}{
		{"A1 no frame", func(r *raw) { r.bytes([]byte{0xFF, 0xFF, 0xFF, 0xFF}) }, codes.InvalidArgument},
		{"A1 truncated frame", func(r *raw) { r.bytes(good[:len(good)-1]) }, codes.InvalidArgument},
		{"A1 huge length", func(r *raw) { r.bytes([]byte{0x08, 1, 0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}) }, codes.InvalidArgument},
		{"A1 length beyond int64", func(r *raw) {
			r.bytes([]byte{0x08, 1, 0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1})
		}, codes.InvalidArgument},
		{"A2 frame too large", func(r *raw) { r.bytes(make([]byte, 2<<20)) }, codes.ResourceExhausted},
		{"A2 frame too large for gRPC", func(r *raw) { r.bytes(make([]byte, 5<<20)) }, codes.ResourceExhausted},
		{"A3 no number", func(r *raw) { r.send(&parleyv1.Frame{Envelopes: []*parleyv1.Envelope{askOf(1, "hi", "x")}}) }, codes.InvalidArgument},
		{"A4 number without envelopes", func(r *raw) { r.send(&parleyv1.Frame{Number: 1}) }, codes.InvalidArgument},
		{"A6 gap", func(r *raw) { r.number = 7; r.put(askOf(1, "hi", "x")) }, codes.DataLoss},
		{"A8 second hello", func(r *raw) { r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{}}) }, codes.FailedPrecondition},
		{"A9 unknown kind", func(r *raw) {
			r.bytes(protowire.AppendBytes([]byte{0x08, 1, 0x12}, protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), nil)))
		}, codes.Unimplemented},
		{"A9 watch", func(r *raw) {
			r.put(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Watch{Watch: &parleyv1.Watch{Id: 1, Endpoint: "hi"}}})
		}, codes.Unimplemented},
		{"A11 unknown route", func(r *raw) { r.put(envelopeOf(&parleyv1.Ask{Id: 1, Destination: &parleyv1.Ask_Route{Route: 5}})) }, codes.InvalidArgument},
		{"A14 id again", func(r *raw) { r.put(askOf(1, "hi", "x"), askOf(1, "hi", "x")) }, codes.InvalidArgument},
		{"A16 huge transfer", func(r *raw) {
			r.put(envelopeOf(&parleyv1.Ask{Id: 1, Destination: &parleyv1.Ask_Target{Target: target("hi", hiMethod)},
				Payload: &parleyv1.Ask_Transfer{Transfer: &parleyv1.Transfer{Id: 1, Size: 1 << 62}}}))
		}, codes.ResourceExhausted},
		{"A17 chunk of nothing", func(r *raw) {
			r.put(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Chunk{Chunk: &parleyv1.Chunk{Id: 1, Data: []byte("x")}}})
		}, codes.InvalidArgument},
		{"A20 ack of the future", func(r *raw) { r.send(&parleyv1.Frame{Ack: 1000}) }, codes.InvalidArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			pending := h.open()
			pending.put(askOf(1, "stuck", "x"))
			r := h.open()
			test.bad(r)
			r.ends(test.want)
			pending.works(2)
		})
	}
}

// TestRawRandom: whatever bytes come, nobody else is harmed.
func TestRawRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	h := newHost(t)
	for range 50 {
		r := h.connect()
		if rnd.IntN(2) == 0 {
			r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{}})
		}
		for range 1 + rnd.IntN(5) {
			b := make([]byte, rnd.IntN(200))
			for i := range b {
				b[i] = byte(rnd.Uint32())
				if rnd.IntN(3) == 0 {
					b[i] &= 0x1F // rather like a tag or a length
				}
			}
			r.bytes(b)
		}
		if err := r.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		for err := error(nil); err == nil; {
			_, err = r.stream.Recv()
		}
	}
	h.unharmed()
}

// TestRawOverrun: who sends into a blocked endpoint without credit loses its session, and nobody else anything.
func TestRawOverrun(t *testing.T) {
	t.Run("A18 messages", func(t *testing.T) {
		h := newHost(t, parley.WithWindow(1024, 1<<20))
		r := h.open()
		for range 1024 + 2 { // the first is taken by the handler, which gives its credit back
			r.put(sendOf("stuck", nil))
		}
		r.ends(codes.ResourceExhausted)
	})
	t.Run("A18 bytes", func(t *testing.T) {
		h := newHost(t, parley.WithWindow(1024, 1<<20))
		r := h.open()
		large, err := proto.Marshal(&sayhiv1.HiRequest{Msg: strings.Repeat("x", 600_000)})
		if err != nil {
			t.Fatal(err)
		}
		for range 4 { // the first is taken, the third overdraws
			r.put(sendOf("stuck", large))
		}
		r.ends(codes.ResourceExhausted)
	})
	t.Run("within the window", func(t *testing.T) {
		h := newHost(t, parley.WithWindow(1024, 1<<20))
		r := h.open()
		for range 1024 {
			r.put(sendOf("stuck", nil))
		}
		r.works(1)
	})
}

// TestRawCallFails: what fails one call is answered, and the session lives.
func TestRawCallFails(t *testing.T) {
	h := newHost(t, parley.WithMaxMessageSize(10_000))
	r := h.open()
	for i, test := range []struct {
		name   string
		target *parleyv1.Target
		md     []*parleyv1.Metadata
		proto  []byte
		code   codes.Code
		reason parleyv1.Failure_Reason
	}{
		{name: "A10 NUL in the name", target: target("a\x00b", hiMethod), code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_INVALID},
		{name: "A10 name of 10 kB", target: target(strings.Repeat("n", 10_000), hiMethod), code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_INVALID},
		{name: "A10 method", target: target("hi", "no method"), code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_INVALID},
		{name: "A10 Env id", target: &parleyv1.Target{EnvId: "x", Endpoint: "hi", Method: hiMethod}, code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_INVALID},
		{name: "A53", target: target("nobody", hiMethod), code: codes.NotFound, reason: parleyv1.Failure_REASON_ENDPOINT_NOT_FOUND},
		{name: "A56", target: target("hi", "sayhi.v1.SayHi/Nothing"), code: codes.Unimplemented, reason: parleyv1.Failure_REASON_METHOD_NOT_FOUND},
		{name: "A57", target: &parleyv1.Target{EnvId: uuid.NewString(), Endpoint: "hi", Method: hiMethod}, code: codes.Unavailable, reason: parleyv1.Failure_REASON_NOT_HERE},
		{name: "A59 oversize message", target: target("hi", hiMethod), proto: make([]byte, 10_001), code: codes.ResourceExhausted, reason: parleyv1.Failure_REASON_TOO_LARGE},
		{name: "A60 metadata", target: target("hi", hiMethod), md: []*parleyv1.Metadata{{Key: "Bad Key", Value: "x"}}, code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_INVALID},
		{name: "A63 undecodable request", target: target("hi", hiMethod), proto: []byte{0xFF, 0xFF}, code: codes.InvalidArgument, reason: parleyv1.Failure_REASON_UNDECODABLE},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := uint64(2*i + 1)
			r.put(envelopeOf(&parleyv1.Ask{Id: id, Destination: &parleyv1.Ask_Target{Target: test.target}, Metadata: test.md,
				Payload: &parleyv1.Ask_Proto{Proto: test.proto}}))
			st := status.FromProto(r.reply(id).GetStatus())
			if st.Code() != test.code {
				t.Errorf("answered %v, want %v", st, test.code)
			}
			reason := parleyv1.Failure_REASON_UNSPECIFIED
			for _, d := range st.Details() {
				if f, ok := d.(*parleyv1.Failure); ok {
					reason = f.GetReason()
					if f.GetExecution() != parleyv1.Failure_EXECUTION_NOT_EXECUTED {
						t.Errorf("execution %v", f.GetExecution())
					}
				}
			}
			if reason != test.reason {
				t.Errorf("reason %v, want %v", reason, test.reason)
			}
			r.works(id + 1)
		})
	}
}

// TestRawReplyToNothingA46 is counted.
func TestRawReplyToNothingA46(t *testing.T) {
	h := newHost(t)
	r := h.open()
	r.put(&parleyv1.Envelope{Kind: &parleyv1.Envelope_Reply{Reply: &parleyv1.Reply{Id: 12345}}})
	r.works(1)
	if c := h.env.Counters(); c.LateReplies != 1 {
		t.Errorf("%d late replies, want 1", c.LateReplies)
	}
}

// TestRawRefused: openings that are not taken.
func TestRawRefused(t *testing.T) {
	h := newHost(t)
	live := uuid.Must(uuid.NewV7()).String()
	first := h.connect()
	first.send(&parleyv1.Frame{Hello: &parleyv1.Hello{EnvId: live}})
	welcome := first.recv().GetWelcome()
	hello := func(h *parleyv1.Hello) *parleyv1.Frame { return &parleyv1.Frame{Hello: h} }
	attach := func(a *parleyv1.Attach) *parleyv1.Frame {
		return hello(&parleyv1.Hello{Opening: &parleyv1.Hello_Attach{Attach: a}})
	}
	for _, test := range []struct {
		name   string
		frame  *parleyv1.Frame
		reason parleyv1.Refusal_Reason // unspecified: there is none
		want   codes.Code
	}{
		{"A7 envelopes before hello", &parleyv1.Frame{Number: 1, Envelopes: []*parleyv1.Envelope{askOf(1, "hi", "x")}}, 0, codes.InvalidArgument},
		{"A7 empty frame before hello", &parleyv1.Frame{}, 0, codes.InvalidArgument},
		{"A8 welcome beside the hello", &parleyv1.Frame{Hello: &parleyv1.Hello{}, Welcome: &parleyv1.Welcome{}}, 0, codes.FailedPrecondition},
		{"A27 body of one who waits", &parleyv1.Frame{Hello: &parleyv1.Hello{WaitsForWelcome: true}, Number: 1, Envelopes: []*parleyv1.Envelope{askOf(1, "hi", "x")}}, 0, codes.InvalidArgument},
		{"A28 too new", hello(&parleyv1.Hello{LowestRevision: 2, HighestRevision: 9}), parleyv1.Refusal_REASON_REVISION, codes.Unimplemented},
		{"A28 highest below lowest", hello(&parleyv1.Hello{LowestRevision: 3, HighestRevision: 1}), parleyv1.Refusal_REASON_REVISION, codes.Unimplemented},
		{"A29 Env id", hello(&parleyv1.Hello{EnvId: "me"}), parleyv1.Refusal_REASON_DENIED, codes.PermissionDenied},
		{"A29 address", hello(&parleyv1.Hello{Address: "no address"}), parleyv1.Refusal_REASON_DENIED, codes.PermissionDenied},
		{"A30 live Env id", hello(&parleyv1.Hello{EnvId: live}), parleyv1.Refusal_REASON_DENIED, codes.PermissionDenied},
		{"A30 wrong token", hello(&parleyv1.Hello{EnvId: live, Opening: &parleyv1.Hello_New{New: &parleyv1.NewSession{Token: make([]byte, 32)}}}), parleyv1.Refusal_REASON_DENIED, codes.PermissionDenied},
		{"A32", attach(&parleyv1.Attach{EnvId: uuid.NewString(), Session: uuid.NewString(), Epoch: 2}), parleyv1.Refusal_REASON_WRONG_ENV, codes.FailedPrecondition},
		{"A33", attach(&parleyv1.Attach{EnvId: h.env.ID(), Session: uuid.NewString(), Epoch: 2}), parleyv1.Refusal_REASON_UNKNOWN, codes.NotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := h.connect()
			r.send(test.frame)
			if test.reason != 0 {
				refusal := r.recv().GetRefusal()
				if refusal.GetReason() != test.reason || refusal.GetEnvId() != h.env.ID() || refusal.GetMessage() == "" ||
					refusal.GetLowestRevision() != 1 || refusal.GetHighestRevision() != 1 {
					t.Errorf("refused with %v, want %v", refusal, test.reason)
				}
			}
			r.ends(test.want)
		})
	}
	t.Run("A30 right token", func(t *testing.T) {
		r := h.connect()
		r.send(hello(&parleyv1.Hello{EnvId: live, Opening: &parleyv1.Hello_New{New: &parleyv1.NewSession{Token: welcome.GetToken()}}}))
		if f := r.recv(); f.GetWelcome() == nil {
			t.Fatalf("answered %v", f)
		}
		r.works(1)
	})
	first.works(1)
}

// TestRawHelloWithBody: who does not wait for the welcome may send at once.
func TestRawHelloWithBody(t *testing.T) {
	h := newHost(t)
	r := h.connect()
	r.number = 1
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{}, Number: 1, Envelopes: []*parleyv1.Envelope{askOf(1, "hi", "x")}})
	if f := r.recv(); f.GetWelcome() == nil || f.GetWelcome().GetRevision() != 1 || f.GetWelcome().GetReceived() != 0 || f.GetWelcome().GetEnvId() != h.env.ID() {
		t.Fatalf("the first frame is %v, want the welcome", f)
	}
	r.reply(1)
	r.works(2)
}

// TestRawHalfClose: what is outstanding is answered, and then the stream ends with OK; an unfinished message is aborted.
func TestRawHalfClose(t *testing.T) {
	h := newHost(t)
	r := h.open()
	r.put(askOf(1, "stuck", "one"), askOf(2, "hi", "two"))
	r.put(envelopeOf(&parleyv1.Ask{Id: 3, Destination: &parleyv1.Ask_Target{Target: target("hi", hiMethod)},
		Payload: &parleyv1.Ask_Transfer{Transfer: &parleyv1.Transfer{Id: 1, Size: 100_000}}}))
	r.reply(2)
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	h.stuck.letGo <- struct{}{}
	r.reply(1)
	r.ends(codes.OK)
}

// TestRawCancelledStream: the asks of a stream that breaks are ended, and nothing is left of it.
func TestRawCancelledStream(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(h.ctx)
	stream, err := parleyv1.NewParleyClient(h.conn).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{host: h, stream: stream}
	r.send(&parleyv1.Frame{Hello: &parleyv1.Hello{}})
	r.recv()
	r.put(askOf(1, "stuck", "x"))
	r.works(2)
	cancel()
	r.ends(codes.Canceled)
	// The handler's context ends with the session, so a shutdown does not have to wait for it.
	if err := h.env.Stop(h.ctx, mustRef(t, "stuck", h.env.Address())); err != nil {
		t.Error(err)
	}
}

func mustRef(t *testing.T, name, address string) endpoint.Ref {
	t.Helper()
	ref, err := endpoint.ParseRef(fmt.Sprintf("parley://%s@%s", name, address))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
