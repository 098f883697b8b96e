package rawtcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/bench/internal/workload"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// traffic is what goes over a connection: batches, all of the size of the shape. With a codec a batch begins with its messages, each after its length; the
// rest, and all of it without a codec, is zero bytes.
type traffic struct {
	shape    Shape
	codec    bool
	messages *workload.Messages
}

// end returns the end of the batch that begins with message first, of n messages.
func (t traffic) end(first, n int) int { return min(first+t.shape.Messages, n) }

// ask writes the batch of requests that begins with message first, of n. The requests of asks are new ones, as a user's are; those that are sent one way are shared, as
// in the benchmark of Parley.
func (t traffic) ask(w io.Writer, batch []byte, first, n int) error {
	if t.codec {
		b := batch[:0]
		for i := first; i < t.end(first, n); i++ {
			r := t.messages.Request(i)
			if t.shape.Back > 0 {
				r = &sayhiv1.HiRequest{Msg: t.messages.Payload(i)}
			}
			var err error
			if b, err = appendMessage(b, r); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(batch)
	return err
}

// check reads the batch of replies that begins with the one to message first, of n.
func (t traffic) check(r io.Reader, batch []byte, first, n int) error {
	if _, err := io.ReadFull(r, batch); err != nil || !t.codec {
		return err
	}
	rest := batch
	for i := first; i < t.end(first, n); i++ {
		encoded, err := nextMessage(&rest)
		if err != nil {
			return err
		}
		if err := t.checkReply(encoded, i); err != nil {
			return err
		}
	}
	return nil
}

// checkReply decodes the reply to message i.
func (t traffic) checkReply(encoded []byte, i int) error {
	reply := &sayhiv1.HiReply{}
	if err := proto.Unmarshal(encoded, reply); err != nil {
		return err
	}
	return t.messages.CheckReply(i, reply)
}

// serve answers all batches of n asks.
func (t traffic) serve(c io.ReadWriter, n int) error {
	in, out := make([]byte, t.shape.Out), make([]byte, t.shape.Back)
	for first := 0; first < n; first += t.shape.Messages {
		if _, err := io.ReadFull(c, in); err != nil {
			return err
		}
		if t.codec {
			if err := answer(in, out, t.end(first, n)-first); err != nil {
				return err
			}
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// answer makes of a batch of so many requests that of the replies.
func answer(in, out []byte, count int) error {
	out = out[:0]
	for range count {
		encoded, err := nextMessage(&in)
		if err != nil {
			return err
		}
		request := &sayhiv1.HiRequest{}
		if err := proto.Unmarshal(encoded, request); err != nil {
			return err
		}
		if out, err = appendMessage(out, workload.Echo(request)); err != nil {
			return err
		}
	}
	return nil
}

// drain receives all batches of n messages that are sent one way.
func (t traffic) drain(r io.Reader, n int) error {
	in := make([]byte, t.shape.Out)
	for first := 0; first < n; first += t.shape.Messages {
		if _, err := io.ReadFull(r, in); err != nil {
			return err
		}
		if !t.codec {
			continue
		}
		rest := in
		for i := first; i < t.end(first, n); i++ {
			encoded, err := nextMessage(&rest)
			if err != nil {
				return err
			}
			request := &sayhiv1.HiRequest{}
			if err := proto.Unmarshal(encoded, request); err != nil {
				return err
			}
			if request.GetMsg() != t.messages.Payload(i) {
				return fmt.Errorf("message %d is another one", i)
			}
		}
	}
	return nil
}

// errShort is for batches that have no room for their messages, or less in them than they should.
var errShort = errors.New("a batch is too short for its messages")

// appendMessage adds a message to a batch, whose capacity it does not exceed.
func appendMessage(b []byte, m proto.Message) ([]byte, error) {
	size := proto.Size(m)
	if len(b)+size+binary.MaxVarintLen32 > cap(b) {
		return nil, errShort
	}
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(binary.AppendUvarint(b, uint64(size)), m)
}

// nextMessage takes an encoded message from the front of a batch.
func nextMessage(batch *[]byte) ([]byte, error) {
	size, n := binary.Uvarint(*batch)
	if n <= 0 || size > uint64(len(*batch)-n) {
		return nil, errShort
	}
	m := (*batch)[n : n+int(size)]
	*batch = (*batch)[n+int(size):]
	return m, nil
}
