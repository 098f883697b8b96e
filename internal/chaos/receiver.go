package main

import (
	"context"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

// numberedName is the name of the endpoint that each process has.
const numberedName = "numbered"

// receiver is that endpoint. It is serial, so that it sees messages in the order in which the mailbox has them.
type receiver struct {
	parleytestv1parley.UnimplementedNumbered
	suffix string // of the flows to this process

	mu       sync.Mutex // reports are made while messages arrive
	inboxes  map[string]*inbox
	strays   uint64
	sessions map[string]struct{}
}

func newReceiver(name string) *receiver {
	return &receiver{suffix: flow("", name), inboxes: make(map[string]*inbox), sessions: make(map[string]struct{})}
}

// OnConnected notes the session, also if no message ever comes by it.
func (r *receiver) OnConnected(_ context.Context, peer endpoint.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[peer.Session] = struct{}{}
}

// Put takes a message that was sent.
func (r *receiver) Put(ctx context.Context, req *parleytestv1.NumberedMessage) (*emptypb.Empty, error) {
	r.take(ctx, req, func(b *inbox) *ledger { return &b.puts })
	return &emptypb.Empty{}, nil
}

// Check takes a message that was asked. Its answer has a padding, so that faults strike it as well.
func (r *receiver) Check(ctx context.Context, req *parleytestv1.NumberedMessage) (*parleytestv1.NumberedMessage, error) {
	r.take(ctx, req, func(b *inbox) *ledger { return &b.checks })
	return &parleytestv1.NumberedMessage{Flow: req.GetFlow(), Number: req.GetNumber(), Position: req.GetPosition(), Padding: padding(leastPadding)}, nil
}

func (r *receiver) take(ctx context.Context, req *parleytestv1.NumberedMessage, of func(*inbox) *ledger) {
	sender, _ := endpoint.Sender(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[sender.Session] = struct{}{}
	if !strings.HasSuffix(req.GetFlow(), r.suffix) {
		r.strays++
		return
	}
	b := r.inboxes[req.GetFlow()]
	if b == nil {
		b = new(inbox)
		r.inboxes[req.GetFlow()] = b
	}
	b.take(of(b), req.GetNumber(), req.GetPosition())
}

// report fills in what the receiver knows.
func (r *receiver) report(to *report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.Received = make(map[string]received, len(r.inboxes))
	for f, b := range r.inboxes {
		to.Received[f] = b.received()
	}
	to.Strays = r.strays
	to.Sessions = sorted(r.sessions)
}
