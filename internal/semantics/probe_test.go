package semantics

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// probe is the endpoint of the cases. What a case wants to be otherwise it sets before the registration. It keeps a journal
// of its callbacks, and of the texts that Echo got.
type probe struct {
	journal journal

	onStart func(ctx context.Context) error
	onStop  func(ctx context.Context) error
	echo    func(ctx context.Context, text string) (string, error)
	fail    func(ctx context.Context, text string) error
	block   *gate
	blob    func(ctx context.Context, payload []byte) error

	count    int64 // not atomic: the endpoint is serial
	received atomic.Int64
	kept     parleytestv1parley.ProbeRef
	errs     chan error
}

// newProbe returns a probe that behaves as its .proto says; Block passes a gate that only the test opens.
func newProbe(t *testing.T) *probe {
	return &probe{block: newGate(t), errs: make(chan error, 4096)}
}

func (p *probe) Echo(ctx context.Context, r *parleytestv1.EchoRequest) (*parleytestv1.EchoResponse, error) {
	p.journal.add(r.GetText())
	text := r.GetText()
	if p.echo != nil {
		var err error
		if text, err = p.echo(ctx, text); err != nil {
			return nil, err
		}
	}
	return &parleytestv1.EchoResponse{Text: text}, nil
}

func (p *probe) Hello(ctx context.Context, _ *parleytestv1.HelloRequest) (*parleytestv1.HelloResponse, error) {
	self, ok := endpoint.Self(ctx)
	if !ok {
		return nil, errors.New("no self")
	}
	return &parleytestv1.HelloResponse{Ref: self.Proto()}, nil
}

func (p *probe) Fail(ctx context.Context, r *parleytestv1.FailRequest) (*parleytestv1.FailResponse, error) {
	if p.fail != nil {
		return nil, p.fail(ctx, r.GetText())
	}
	return nil, status.Error(codes.FailedPrecondition, r.GetText())
}

func (p *probe) Panic(_ context.Context, r *parleytestv1.PanicRequest) (*parleytestv1.PanicResponse, error) {
	panic(r.GetText())
}

func (p *probe) Block(ctx context.Context, r *parleytestv1.BlockRequest) (*parleytestv1.BlockResponse, error) {
	// The handler does not look at the end of its context, as handlers may.
	err := p.block.pass(context.WithoutCancel(ctx), r.GetText())
	return &parleytestv1.BlockResponse{Text: r.GetText()}, err
}

func (p *probe) Count(_ context.Context, r *parleytestv1.CountRequest) (*parleytestv1.CountResponse, error) {
	p.count += r.GetAdd()
	return &parleytestv1.CountResponse{Sum: p.count}, nil
}

func (p *probe) KeepRef(ctx context.Context, r *parleytestv1.KeepRefRequest) (*parleytestv1.KeepRefResponse, error) {
	b, err := endpoint.Bind(ctx, r.GetRef())
	if err != nil {
		return nil, err
	}
	p.kept = parleytestv1parley.NewProbe(b)
	return &parleytestv1.KeepRefResponse{}, nil
}

func (p *probe) Kept(context.Context, *parleytestv1.KeptRequest) (*parleytestv1.KeptResponse, error) {
	return &parleytestv1.KeptResponse{Ref: p.kept.Ref().Proto()}, nil
}

func (p *probe) AskThrough(ctx context.Context, r *parleytestv1.AskThroughRequest) (*parleytestv1.AskThroughResponse, error) {
	res, err := p.kept.Echo.AskSync(ctx, &parleytestv1.EchoRequest{Text: r.GetText()})
	if err != nil {
		return nil, err
	}
	return &parleytestv1.AskThroughResponse{Text: res.GetText()}, nil
}

func (p *probe) Blob(ctx context.Context, r *parleytestv1.BlobRequest) (*parleytestv1.BlobResponse, error) {
	if p.blob != nil {
		if err := p.blob(ctx, r.GetPayload()); err != nil {
			return nil, err
		}
	}
	p.received.Add(1)
	return &parleytestv1.BlobResponse{Size: int64(len(r.GetPayload()))}, nil
}

func (p *probe) OnStart(ctx context.Context) error {
	p.journal.add("start")
	if p.onStart != nil {
		return p.onStart(ctx)
	}
	return nil
}

func (p *probe) OnStop(ctx context.Context) error {
	p.journal.add("stop")
	if p.onStop != nil {
		return p.onStop(ctx)
	}
	return nil
}

func (p *probe) OnError(_ context.Context, err error) { p.errs <- err }

func (p *probe) OnConnected(_ context.Context, peer endpoint.Peer) {
	p.journal.add("connected " + peer.Address)
}

func (p *probe) OnDisconnected(_ context.Context, peer endpoint.Peer) {
	p.journal.add("disconnected " + peer.Address)
}

func (p *probe) OnNetworkError(_ context.Context, peer endpoint.Peer, _ error) {
	p.journal.add("network error " + peer.Address)
}

// journal is a list that one can wait for.
type journal struct {
	mu      sync.Mutex
	entries []string
	changed chan struct{} // closed by the next add; nil if nobody waits
}

func (j *journal) add(entry string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// await waits until the journal has all of the entries, in any order.
func (j *journal) await(t *testing.T, entries ...string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		j.mu.Lock()
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		missing := slices.DeleteFunc(slices.Clone(entries), func(e string) bool { return slices.Contains(j.entries, e) })
		j.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("the journal is %q, and has not %q", j.all(), missing)
		}
	}
}

// want checks that the journal is exactly this.
func (j *journal) want(t *testing.T, entries ...string) {
	t.Helper()
	if got := j.all(); !slices.Equal(got, entries) {
		t.Errorf("the journal is %q, want %q", got, entries)
	}
}

// countOf returns how often the journal has an entry.
func (j *journal) countOf(entry string) int {
	n := 0
	for _, e := range j.all() {
		if e == entry {
			n++
		}
	}
	return n
}

// echo asks Echo and checks that it is echoed.
func echo(t *testing.T, ref parleytestv1parley.ProbeRef, text string) {
	t.Helper()
	r, err := ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: text})
	if err != nil || r.GetText() != text {
		t.Fatalf("Echo(%q) = %q, %v", text, r.GetText(), err)
	}
}

// send sends text to Echo.
func send(t *testing.T, ref parleytestv1parley.ProbeRef, text string) {
	t.Helper()
	if err := ref.Echo.Send(within(t), &parleytestv1.EchoRequest{Text: text}); err != nil {
		t.Fatalf("Send(%q): %v", text, err)
	}
}
