package server

import (
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/payload"
	"github.com/parley-rpc/parley/internal/session"
	"github.com/parley-rpc/parley/internal/wire"
)

// answer answers an ask with a reply.
func (c *call) answer(res proto.Message) {
	encoding := wire.Proto
	var memory *wire.Buffer
	var parts *wire.Parts
	var encoded []byte
	var err error
	switch {
	case c.encoding == wire.JSON:
		encoding = wire.JSON
		encoded, err = protojson.Marshal(res)
	case c.local != nil:
		encoded, parts, err = payload.Marshal(res, false)
	default:
		buffer := payload.NewBuffer() // the session copies a small payload
		defer buffer.Free()
		encoded, memory, parts, err = buffer.Marshal(res, false)
	}
	if err != nil {
		e := failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err)
		c.noteError(e)
		c.answerError(e)
		return
	}
	size := len(encoded)
	if parts != nil {
		size = parts.Len()
	}
	header, trailer := c.ctx.Metadata()
	var cut error // the asker waits no more
	if c.told != nil {
		cut = c.ctx.Err()
	}
	var refused *endpoint.Error
	if c.local != nil {
		r := endpoint.Response{Header: header, Trailer: trailer}
		r.Payload = encoded
		if parts != nil {
			r.Parts = parts
		}
		refused = c.answerLocally(r)
	} else {
		refused = c.reply(&session.Reply{ID: c.id, Payload: encoded, Memory: memory, Parts: parts, Encoding: encoding}, header, trailer)
	}
	if c.told == nil {
		return
	}
	c.answered()
	switch {
	case cut != nil:
		c.told.Fail(cut)
	case refused != nil:
		c.told.OutTrailer(nil)
		c.told.Fail(refused)
	default:
		c.told.OutHeader(header)
		c.told.OutPayload(res, size)
		c.told.OutTrailer(trailer)
	}
}

// answerError answers an ask with an error.
func (c *call) answerError(e *endpoint.Error) {
	if c.stream != nil {
		c.endStream(e)
		return
	}
	header, trailer := c.ctx.Metadata()
	defer c.tellError(c.told != nil && c.ctx.Err() != nil, header, trailer, e)
	if c.local != nil {
		if e.Reason == endpoint.ReasonHandler {
			e = endpoint.ErrorFromStatus(statusOf(e)) // no more than a peer would get
			e.Remote = false
		}
		c.answerLocally(endpoint.Response{Err: e, Header: header, Trailer: trailer})
		return
	}
	c.reply(&session.Reply{ID: c.id, Status: statusOf(e)}, header, trailer)
}

// tellError tells of an answer that is the error e; cut says that the asker waits no more.
func (c *call) tellError(cut bool, header, trailer metadata.MD, e *endpoint.Error) {
	if c.told == nil {
		return
	}
	c.answered()
	if !cut {
		if len(header) > 0 {
			c.told.OutHeader(header)
		}
		c.told.OutTrailer(trailer)
	}
	c.told.Fail(e)
}

// answered makes c one that nobody waits for, so that a stats handler that panics when it is told of the answer does not cause another.
func (c *call) answered() { c.id, c.local = 0, nil }

// answerLocally answers a local ask, with an error in place of an answer that a session would not carry, and returns that.
func (c *call) answerLocally(r endpoint.Response) *endpoint.Error {
	e := c.hosted.server.refuseReply(&r)
	if e != nil {
		r = endpoint.Response{Err: e}
	}
	c.local.complete(r)
	return e
}

// reply answers a peer's ask. It returns the error that was sent in place of a reply, or nil.
func (c *call) reply(r *session.Reply, header, trailer metadata.MD) *endpoint.Error {
	failed := r.Status != nil
	var err error
	if r.Header, err = wire.FromMD(header); err == nil {
		r.Trailer, err = wire.FromMD(trailer)
	}
	if err != nil {
		*r = session.Reply{ID: c.id, Status: statusOf(failure(endpoint.ReasonUnencodable, endpoint.MayHaveExecuted, "reply: %v", err))}
	}
	c.link.Reply(r)
	if failed || r.Status == nil {
		return nil
	}
	return endpoint.ErrorFromStatus(r.Status)
}
