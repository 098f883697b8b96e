package fairness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

const (
	muxService = "parley.bench.Multiplexer"
	muxMethod  = "Connect"
	// queued is how many messages may wait for an endpoint of the multiplexer before its reader does.
	queued = 1024
	// headerBytes begin the text of each ask and each reply: its number, in hexadecimal digits. Messages of the second endpoint begin with something else.
	headerBytes = 16
)

// multiplexer carries the messages of two endpoints on one raw stream of stock gRPC, each whole.
type multiplexer struct {
	server *grpc.Server
	served chan error // gets what Serve returned
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	cancel context.CancelFunc // of the stream
	taken  *consumer
	out    chan outgoing
	over   chan struct{} // closed when the stream has ended
	wg     sync.WaitGroup

	mu      sync.Mutex
	number  uint64
	pending map[uint64]chan string // asks without a reply
}

// outgoing is a message on its way to the stream's writer.
type outgoing struct {
	message *fieldmaskpb.FieldMask
	done    chan error // gets the outcome; has room for it
}

func openMultiplexer(ctx context.Context, c Config) (system, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	most := 2*c.BulkBytes + headerBytes + 1<<20
	m := &multiplexer{
		server:  grpc.NewServer(grpc.MaxRecvMsgSize(most)),
		served:  make(chan error, 1),
		taken:   newConsumer(),
		out:     make(chan outgoing),
		over:    make(chan struct{}),
		pending: make(map[uint64]chan string),
	}
	desc := grpc.StreamDesc{StreamName: muxMethod, ServerStreams: true, ClientStreams: true}
	desc.Handler = func(_ any, s grpc.ServerStream) error { return m.serve(s) }
	m.server.RegisterService(&grpc.ServiceDesc{ServiceName: muxService, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{desc}}, m)
	m.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most)))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() { m.served <- m.server.Serve(listener) }()
	ctx, m.cancel = context.WithCancel(ctx)
	if m.stream, err = m.conn.NewStream(ctx, &desc, "/"+muxService+"/"+muxMethod); err != nil {
		m.cancel()
		return nil, errors.Join(err, m.conn.Close(), m.stop())
	}
	m.wg.Go(m.write)
	m.wg.Go(m.read)
	return m, nil
}

// serve is the server's side: a reader, and a goroutine an endpoint behind a bounded queue. A full queue stops the reader.
func (m *multiplexer) serve(s grpc.ServerStream) error {
	echo, slow := make(chan *fieldmaskpb.FieldMask, queued), make(chan *fieldmaskpb.FieldMask, queued)
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(slow)
	defer close(echo)
	wg.Go(func() {
		for r := range echo {
			if err := s.SendMsg(r); err != nil {
				cancel(err)
			}
		}
	})
	wg.Go(func() {
		for range slow {
			if err := m.taken.take(ctx); err != nil {
				cancel(err)
			}
		}
	})
	for {
		r := &fieldmaskpb.FieldMask{}
		if err := s.RecvMsg(r); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		queue := slow
		if number(r) != 0 {
			queue = echo
		}
		select {
		case queue <- r:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// number returns the number that an ask or its reply has; 0 for any other message, which has none.
func number(m *fieldmaskpb.FieldMask) uint64 {
	if len(m.GetPaths()) != 1 || len(m.GetPaths()[0]) < headerBytes {
		return 0
	}
	n, err := strconv.ParseUint(m.GetPaths()[0][:headerBytes], 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// write writes one message at a time, as gRPC demands.
func (m *multiplexer) write() {
	for {
		select {
		case o := <-m.out:
			o.done <- m.stream.SendMsg(o.message)
		case <-m.over:
			return
		}
	}
}

// read hands replies to those who wait for them; others have given up.
func (m *multiplexer) read() {
	defer close(m.over)
	for {
		r := &fieldmaskpb.FieldMask{}
		if err := m.stream.RecvMsg(r); err != nil {
			return
		}
		m.mu.Lock()
		reply := m.pending[number(r)]
		delete(m.pending, number(r))
		m.mu.Unlock()
		if reply != nil {
			reply <- r.GetPaths()[0][headerBytes:]
		}
	}
}

func (m *multiplexer) ask(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	reply := make(chan string, 1)
	m.mu.Lock()
	m.number++
	n := m.number
	m.pending[n] = reply
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.pending, n)
	}()
	if err := m.post(ctx, newMessage(fmt.Sprintf("%0*x", headerBytes, n)+r.GetMsg())); err != nil {
		return nil, err
	}
	select {
	case text := <-reply:
		return &sayhiv1.HiReply{Msg: text}, nil
	case <-m.over:
		return nil, errors.New("the stream has ended")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *multiplexer) send(ctx context.Context, r *fieldmaskpb.FieldMask) error {
	return m.post(ctx, r)
}

// post has a message written. If ctx ends meanwhile, it may still be.
func (m *multiplexer) post(ctx context.Context, message *fieldmaskpb.FieldMask) error {
	o := outgoing{message: message, done: make(chan error, 1)}
	select {
	case m.out <- o:
	case <-m.over:
		return errors.New("the stream has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *multiplexer) consumer() *consumer { return m.taken }

// stop ends the server.
func (m *multiplexer) stop() error {
	m.server.Stop()
	if err := <-m.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func (m *multiplexer) close(context.Context) error {
	m.cancel()
	m.wg.Wait()
	return errors.Join(m.conn.Close(), m.stop())
}
