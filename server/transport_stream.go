package server

import "google.golang.org/grpc/metadata"

// transportStream lets grpc.SetHeader, grpc.SendHeader, grpc.SetTrailer and grpc.Method work in a handler.
type transportStream struct{ c *call }

// Method implements grpc.ServerTransportStream.
func (t transportStream) Method() string { return "/" + t.c.during }

// SetHeader implements grpc.ServerTransportStream.
func (t transportStream) SetHeader(md metadata.MD) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.header = metadata.Join(t.c.header, md)
	return nil
}

// SendHeader implements grpc.ServerTransportStream. Headers travel with the reply, so it is SetHeader.
func (t transportStream) SendHeader(md metadata.MD) error { return t.SetHeader(md) }

// SetTrailer implements grpc.ServerTransportStream.
func (t transportStream) SetTrailer(md metadata.MD) error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.trailer = metadata.Join(t.c.trailer, md)
	return nil
}
