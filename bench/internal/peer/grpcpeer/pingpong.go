package grpcpeer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// openStream opens one of the raw streams, which lasts until finish, or the end of ctx.
func openStream(ctx context.Context, conn *grpc.ClientConn, name string) (grpc.ClientStream, error) {
	desc := bidi(name, nil)
	return conn.NewStream(ctx, &desc, "/"+streamService+"/"+name)
}

// finish ends a stream whose messages have all been answered, or need no answer, and waits until the server has had them.
func finish(s grpc.ClientStream) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	extra := &sayhiv1.HiReply{}
	if err := s.RecvMsg(extra); err != io.EOF {
		return fmt.Errorf("end of a stream: got message %q and error %v, want EOF", extra.GetMsg(), err)
	}
	return nil
}

// pingPong is a stream with one request at a time. The contexts of its calls do not end it, unless they end during a call.
type pingPong struct {
	stream grpc.ClientStream
	cancel context.CancelFunc // ends the stream
	last   *binding           // of the call before; callers have the same context for many
	during atomic.Pointer[binding]
}

// binding has a context end the stream while it is that of a call.
type binding struct {
	ctx  context.Context
	stop func() bool
}

// newPingPong opens a stream. opening bounds only that.
func newPingPong(opening context.Context, conn *grpc.ClientConn) (*pingPong, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(opening))
	defer context.AfterFunc(opening, cancel)()
	stream, err := openStream(ctx, conn, echoStream)
	if err != nil {
		cancel()
		return nil, err
	}
	return &pingPong{stream: stream, cancel: cancel}, nil
}

// call is a workload.Call.
func (p *pingPong) call(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	if p.last == nil || p.last.ctx != ctx {
		p.bind(ctx)
	}
	p.during.Store(p.last)
	defer p.during.Store(nil)
	// What has ended before the line above has not ended the stream.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.stream.SendMsg(r); err != nil {
		return nil, err
	}
	reply := &sayhiv1.HiReply{}
	return reply, p.stream.RecvMsg(reply)
}

func (p *pingPong) bind(ctx context.Context) {
	p.unbind()
	b := &binding{ctx: ctx}
	b.stop = context.AfterFunc(ctx, func() {
		if p.during.Load() == b {
			p.cancel()
		}
	})
	p.last = b
}

func (p *pingPong) unbind() {
	if p.last != nil {
		p.last.stop()
	}
}

// close ends the stream, and reports what it still had.
func (p *pingPong) close(ctx context.Context) error {
	p.unbind()
	defer p.cancel()
	defer context.AfterFunc(ctx, p.cancel)()
	return finish(p.stream)
}
