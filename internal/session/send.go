package session

import (
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// Send is a one-way message of this side that the peer has not acknowledged.
type Send struct {
	Target   wire.Target
	Metadata []wire.Metadata
	// Payload is nil for a large message whose last chunk has been written.
	Payload []byte
	// Parts is the payload instead, if it is in parts.
	Parts    *wire.Parts
	Encoding wire.Encoding
	// Execution is NotExecuted if the message was never written to a stream, or not wholly.
	Execution endpoint.Execution
}

// UnacknowledgedSends returns the sends that the peer has not acknowledged, in order. It is to be called before End, which forgets them.
func (s *Session) UnacknowledgedSends() []Send {
	o := &s.out
	c := sendCollector{routes: make(map[uint32]wire.Target, o.routes.Len()), transfers: make(map[uint64]*transfer)}
	for target, r := range o.routes.All() {
		c.routes[r.number] = target
	}
	for _, a := range o.accounts.All() {
		if a.transfer != nil {
			c.transfers[a.transfer.id] = a.transfer
		}
	}
	for _, t := range o.sends {
		if t.first == 0 || t.first > o.acked {
			continue // its message is still in what follows
		}
		send := *t.send
		send.Payload, send.Parts, send.Execution = t.data, t.parts, endpoint.NotExecuted
		if t.written() {
			send.Execution = endpoint.MayHaveExecuted
		}
		c.sends = append(c.sends, send)
	}
	for i := range o.replay.kept {
		k := &o.replay.kept[i]
		c.add(k.frame.Bytes[:k.body], endpoint.MayHaveExecuted)
	}
	for i := range o.ready {
		c.add(o.ready[i].body.Bytes, endpoint.NotExecuted)
	}
	if o.open.body != nil {
		c.add(o.open.body.Bytes, endpoint.NotExecuted)
	}
	return c.sends
}

type sendCollector struct {
	routes    map[uint32]wire.Target
	transfers map[uint64]*transfer // that are not written wholly
	sends     []Send
}

// add adds the sends of a body, which this side has encoded.
func (c *sendCollector) add(body []byte, x endpoint.Execution) {
	envelopes := wire.Body(body)
	for content, more := envelopes.Next(); more; content, more = envelopes.Next() {
		var e wire.Envelope
		if e.Decode(content) != nil || e.Kind != wire.KindSend || e.ID != 0 { // who waits for a receipt is told otherwise
			continue
		}
		send := Send{Target: e.Target, Metadata: e.Metadata, Payload: append([]byte{}, e.Payload...), Encoding: e.Encoding, Execution: x}
		if !e.Text {
			send.Target = c.routes[e.Route]
		}
		if e.Encoding == wire.Transfer {
			send.Payload, send.Encoding = nil, wire.Proto
			if t := c.transfers[e.Transfer]; t != nil {
				send.Payload, send.Parts, send.Execution = t.data, t.parts, endpoint.NotExecuted
			}
		}
		c.sends = append(c.sends, send)
	}
}
