package wire

import (
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Size returns how many bytes the content of the envelope has, without the tag and length that Append puts before it. It is
// what len says of the input of Decode on the other side.
func (e *Envelope) Size() int {
	if !e.Kind.known() {
		return 0
	}
	return e.sizeAround(e.memberSize())
}

// sizeAround returns the size of the envelope's content whose member has that many bytes.
func (e *Envelope) sizeAround(member int) int {
	return protowire.SizeTag(protowire.Number(e.Kind)) + protowire.SizeBytes(member)
}

// Append appends the envelope to b, a frame that is being built, and returns the longer frame. The bytes are those of the
// generated marshaller, which writes the members of a oneof after all other fields. Without a known kind it is an
// envelope without content.
//
// Names, metadata and a JSON payload must be valid UTF-8, or else no receiver takes the frame: that is checked where they
// come into being, not here. In a status, whose text comes from anywhere, each invalid sequence is written as U+FFFD.
func (e *Envelope) Append(b []byte) []byte {
	b = append(b, tagEnvelopes)
	if !e.Kind.known() {
		return append(b, 0)
	}
	member := e.memberSize()
	b = protowire.AppendVarint(b, uint64(e.sizeAround(member)))
	b = protowire.AppendTag(b, protowire.Number(e.Kind), protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(member))
	return e.appendMember(b)
}

// memberSize returns how many bytes appendMember appends.
func (e *Envelope) memberSize() int {
	switch e.Kind {
	case KindAsk:
		return uintSize(e.ID) + uintSize(e.RemainingMicros) + metadataSize(e.Metadata) + e.destinationSize() + e.payloadSize()
	case KindSend:
		return uintSize(e.ID) + metadataSize(e.Metadata) + e.destinationSize() + e.payloadSize()
	case KindReply:
		return uintSize(e.ID) + statusSize(e.Status) + metadataSize(e.Metadata) + metadataSize(e.Trailer) + e.payloadSize()
	case KindCancel, KindHalfClose, KindUnwatch:
		return uintSize(e.ID)
	case KindRoute:
		return uintSize(uint64(e.Route)) + lengthSize(e.Target.size())
	case KindLookup:
		return uintSize(e.ID) + textSize(e.Target.EnvID) + textSize(e.Target.Endpoint) + textSize(e.Service)
	case KindChunk:
		return uintSize(e.ID) + dataSize(e.Payload)
	case KindAbort, KindReceipt:
		return uintSize(e.ID) + statusSize(e.Status)
	case KindHeaders:
		return uintSize(e.ID) + uintSize(e.RemainingMicros) + metadataSize(e.Metadata) + uintSize(e.WindowBytes) +
			boolSize(e.FromCallee) + e.destinationSize()
	case KindMessage:
		return uintSize(e.ID) + boolSize(e.FromCallee) + e.payloadSize()
	case KindEnd:
		return uintSize(e.ID) + statusSize(e.Status) + metadataSize(e.Trailer)
	case KindWindow:
		return uintSize(e.ID) + uintSize(e.WindowBytes) + boolSize(e.FromCallee)
	case KindWatch:
		return uintSize(e.ID) + textSize(e.Target.EnvID) + textSize(e.Target.Endpoint)
	case KindTerminated:
		return uintSize(e.ID) + uintSize(e.reason())
	case KindBye:
		return statusSize(e.Status)
	}
	return 0
}

// appendMember appends the content of the member of Envelope.kind that e.Kind says. What most envelopes are has functions of its own: that for all others
// takes much of the stack, and there are many callers whose stacks would have to have room for it.
func (e *Envelope) appendMember(b []byte) []byte {
	switch e.Kind {
	case KindAsk, KindSend:
		return e.appendRequest(b)
	case KindReply:
		return e.appendReply(b)
	default:
		return e.appendOther(b)
	}
}

// appendRequest appends the content of an ask, or of a send, which has no remaining time.
func (e *Envelope) appendRequest(b []byte) []byte {
	b = appendUint(b, tagID, e.ID)
	if e.Kind == KindAsk {
		b = appendUint(b, tagRemaining, e.RemainingMicros)
	}
	b = appendMetadata(b, tagMetadata, e.Metadata)
	b = e.appendDestination(b)
	return e.appendPayload(b)
}

func (e *Envelope) appendReply(b []byte) []byte {
	b = appendUint(b, tagID, e.ID)
	b = appendStatus(b, tagStatus, e.Status)
	b = appendMetadata(b, tagReplyHeader, e.Metadata)
	b = appendMetadata(b, tagTrailer, e.Trailer)
	return e.appendPayload(b)
}

func (e *Envelope) appendOther(b []byte) []byte {
	switch e.Kind {
	case KindCancel, KindHalfClose, KindUnwatch:
		return appendUint(b, tagID, e.ID)
	case KindRoute:
		b = appendUint(b, tagRouteNumber, uint64(e.Route))
		return e.Target.append(b, tagRouteTarget)
	case KindLookup:
		b = appendUint(b, tagID, e.ID)
		b = appendText(b, tagLookupEnvID, e.Target.EnvID)
		b = appendText(b, tagLookupEndpoint, e.Target.Endpoint)
		return appendText(b, tagLookupService, e.Service)
	case KindChunk:
		b = appendUint(b, tagID, e.ID)
		return appendData(b, tagChunkData, e.Payload)
	case KindAbort, KindReceipt:
		b = appendUint(b, tagID, e.ID)
		return appendStatus(b, tagStatus, e.Status)
	case KindHeaders:
		b = appendUint(b, tagID, e.ID)
		b = appendUint(b, tagRemaining, e.RemainingMicros)
		b = appendMetadata(b, tagMetadata, e.Metadata)
		b = appendUint(b, tagHeadersWindow, e.WindowBytes)
		b = appendBool(b, tagHeadersCallee, e.FromCallee)
		return e.appendDestination(b)
	case KindMessage:
		b = appendUint(b, tagID, e.ID)
		b = appendBool(b, tagMessageCallee, e.FromCallee)
		return e.appendPayload(b)
	case KindEnd:
		b = appendUint(b, tagID, e.ID)
		b = appendStatus(b, tagStatus, e.Status)
		return appendMetadata(b, tagTrailer, e.Trailer)
	case KindWindow:
		b = appendUint(b, tagID, e.ID)
		b = appendUint(b, tagWindowBytes, e.WindowBytes)
		return appendBool(b, tagWindowCallee, e.FromCallee)
	case KindWatch:
		b = appendUint(b, tagID, e.ID)
		b = appendText(b, tagWatchEnvID, e.Target.EnvID)
		return appendText(b, tagWatchEndpoint, e.Target.Endpoint)
	case KindTerminated:
		b = appendUint(b, tagID, e.ID)
		return appendUint(b, tagTerminatedReason, e.reason())
	case KindBye:
		return appendStatus(b, tagByeStatus, e.Status)
	}
	return b
}

// reason returns the reason as it is written: an enum is a signed 32-bit number, extended to 64 bits.
func (e *Envelope) reason() uint64 {
	return uint64(int32(e.Reason))
}

func (e *Envelope) destinationSize() int {
	if e.Text {
		return lengthSize(e.Target.size())
	}
	return uintSize(uint64(e.Route))
}

func (e *Envelope) appendDestination(b []byte) []byte {
	if e.Text {
		return e.Target.append(b, tagDestinationTarget)
	}
	return appendUint(b, tagDestinationRoute, uint64(e.Route))
}

func (e *Envelope) payloadSize() int {
	switch e.Encoding {
	case Proto, JSON:
		return lengthSize(len(e.Payload))
	case Transfer:
		return lengthSize(e.transferSize())
	}
	return 0
}

func (e *Envelope) appendPayload(b []byte) []byte {
	switch e.Encoding {
	case Proto:
		b = append(b, tagPayloadProto)
		return protowire.AppendBytes(b, e.Payload)
	case JSON:
		b = append(b, tagPayloadJSON)
		return protowire.AppendBytes(b, e.Payload)
	case Transfer:
		b = appendLength(b, tagPayloadTransfer, e.transferSize())
		b = appendUint(b, tagTransferID, e.Transfer)
		return appendUint(b, tagTransferSize, e.TransferSize)
	}
	return b
}

// transferSize returns how many bytes the Transfer message has.
func (e *Envelope) transferSize() int {
	return uintSize(e.Transfer) + uintSize(e.TransferSize)
}

func (t *Target) size() int {
	return textSize(t.EnvID) + textSize(t.Endpoint) + textSize(t.Method)
}

func (t *Target) append(b []byte, tag byte) []byte {
	b = appendLength(b, tag, t.size())
	b = appendText(b, tagTargetEnvID, t.EnvID)
	b = appendText(b, tagTargetEndpoint, t.Endpoint)
	return appendText(b, tagTargetMethod, t.Method)
}

func metadataSize(list []Metadata) int {
	size := 0
	for i := range list {
		size += lengthSize(list[i].size())
	}
	return size
}

func appendMetadata(b []byte, tag byte, list []Metadata) []byte {
	for i := range list {
		m := &list[i]
		b = appendLength(b, tag, m.size())
		b = appendText(b, tagMetadataKey, m.Key)
		if m.binary() {
			b = appendText(b, tagMetadataBinary, m.Value)
		} else {
			b = appendText(b, tagMetadataValue, m.Value)
		}
	}
	return b
}

func (m *Metadata) size() int {
	return textSize(m.Key) + textSize(m.Value)
}

func statusSize(s *spb.Status) int {
	if s == nil {
		return 0
	}
	return lengthSize(proto.Size(validStatus(s)))
}

func appendStatus(b []byte, tag byte, s *spb.Status) []byte {
	if s == nil {
		return b
	}
	s = validStatus(s)
	b = appendLength(b, tag, proto.Size(s))
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, s)
	if err != nil {
		panic(fmt.Sprintf("wire: a status was changed while it was encoded: %v", err))
	}
	return b
}

// The sizes of fields whose number is below 16, so that their tag is one byte. As in proto3, a field with the zero value is
// not written, unless it is a message or in a oneof.

func uintSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func boolSize(v bool) int {
	if !v {
		return 0
	}
	return 2
}

func textSize(s string) int {
	if s == "" {
		return 0
	}
	return lengthSize(len(s))
}

func dataSize(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	return lengthSize(len(data))
}

// lengthSize returns the size of a field of wire type length that has that many bytes, and is written even if it is empty.
func lengthSize(size int) int {
	return 1 + protowire.SizeBytes(size)
}

func appendUint(b []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, tag), v)
}

func appendBool(b []byte, tag byte, v bool) []byte {
	if !v {
		return b
	}
	return append(b, tag, 1)
}

func appendText(b []byte, tag byte, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(append(b, tag), s)
}

func appendData(b []byte, tag byte, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	return protowire.AppendBytes(append(b, tag), data)
}

// appendLength appends the tag and length of a field whose content follows.
func appendLength(b []byte, tag byte, size int) []byte {
	return protowire.AppendVarint(append(b, tag), uint64(size))
}
