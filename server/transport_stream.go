package server

import (
	"context"
	"sync"

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

// ContextValue implements callctx.Valuer.
func (c *call) ContextValue(key any) (any, bool) {
	if key == transportStreamKey && c.callback == nil {
		return grpc.ServerTransportStream(transportStream{c}), true
	}
	return nil, false
}

// transportStream lets grpc.SetHeader, grpc.SendHeader, grpc.SetTrailer and grpc.Method work in a handler.
type transportStream struct{ c *call }

// answerMetadata is the metadata of the answer to an ask.
type answerMetadata struct {
	mu              sync.Mutex
	header, trailer metadata.MD
}

// metadata returns the metadata of the answer.
func (c *call) metadata() (header, trailer metadata.MD) {
	a := c.answerMetadata.Load()
	if a == nil {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.header, a.trailer
}

// change changes the metadata of the answer.
func (t transportStream) change(f func(a *answerMetadata)) {
	t.c.answerMetadata.CompareAndSwap(nil, new(answerMetadata))
	a := t.c.answerMetadata.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
}

// Method implements grpc.ServerTransportStream.
func (t transportStream) Method() string { return "/" + t.c.during() }

// SetHeader implements grpc.ServerTransportStream.
func (t transportStream) SetHeader(md metadata.MD) error {
	t.change(func(a *answerMetadata) { a.header = metadata.Join(a.header, md) })
	return nil
}

// SendHeader implements grpc.ServerTransportStream. Headers travel with the reply, so it is SetHeader.
func (t transportStream) SendHeader(md metadata.MD) error { return t.SetHeader(md) }

// SetTrailer implements grpc.ServerTransportStream.
func (t transportStream) SetTrailer(md metadata.MD) error {
	t.change(func(a *answerMetadata) { a.trailer = metadata.Join(a.trailer, md) })
	return nil
}
