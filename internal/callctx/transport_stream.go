package callctx

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// transportStreamKey is the key under which grpc-go looks for a ServerTransportStream. grpc-go keeps it to itself, so it
// is learnt by asking; a context.WithValue for every message would cost a tenth of the throughput.
var transportStreamKey = func() any {
	var p keyProbe
	grpc.ServerTransportStreamFromContext(&p)
	return p.key
}()

// keyProbe is a context that remembers the key that it was asked for.
type keyProbe struct {
	context.Context
	key any
}

// Value implements context.Context.
func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}

// transportStream lets grpc.SetHeader, grpc.SendHeader, grpc.SetTrailer and grpc.Method work in a handler.
type transportStream struct{ c *Context }

// named is a call that knows what runs.
type named interface {
	// FullMethod returns "/package.Service/Method", or the name of a callback.
	FullMethod() string
}

var errReturned = errors.New("parley: the handler has returned")

// Metadata returns the metadata that the handler has set for its answer.
func (c *Context) Metadata() (header, trailer metadata.MD) {
	m := c.more.Load()
	if m == nil {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.header, m.trailer
}

// Method implements grpc.ServerTransportStream. After the handler has returned it is empty.
func (t transportStream) Method() (name string) {
	Use(t.c, func(call any) {
		if n, ok := call.(named); ok {
			name = n.FullMethod()
		}
	})
	return name
}

// streaming is a call that may be a streaming one.
type streaming interface {
	// Stream returns what the handler answers by, or nil for a unary call. It may be used when the handler has returned.
	Stream() grpc.ServerStream
}

// stream returns what a streaming handler answers by; nil for a unary call, and when the handler has returned.
func (t transportStream) stream() (stream grpc.ServerStream) {
	Use(t.c, func(call any) {
		if s, ok := call.(streaming); ok {
			stream = s.Stream()
		}
	})
	return stream
}

// SetHeader implements grpc.ServerTransportStream.
func (t transportStream) SetHeader(md metadata.MD) error {
	if s := t.stream(); s != nil {
		return s.SetHeader(md)
	}
	return t.change(func(m *more) { m.header = metadata.Join(m.header, md) })
}

// SendHeader implements grpc.ServerTransportStream. Headers travel with the reply, so it is SetHeader, but for a streaming call.
func (t transportStream) SendHeader(md metadata.MD) error {
	if s := t.stream(); s != nil {
		return s.SendHeader(md)
	}
	return t.SetHeader(md)
}

// SetTrailer implements grpc.ServerTransportStream.
func (t transportStream) SetTrailer(md metadata.MD) error {
	if s := t.stream(); s != nil {
		s.SetTrailer(md)
		return nil
	}
	return t.change(func(m *more) { m.trailer = metadata.Join(m.trailer, md) })
}

func (t transportStream) change(f func(m *more)) error {
	if !Use(t.c, func(any) { f(t.c.moreLocked()) }) {
		return errReturned
	}
	return nil
}
