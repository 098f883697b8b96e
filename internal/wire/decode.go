package wire

import "fmt"

// Decode sets e to the envelope that is encoded in b, the content of one Envelope message as [Envelopes.Next] returns it.
// Everything that e held before is dropped, not reused, so it may have been handed on; only the payload aliases b.
//
// A well-formed envelope without a known kind has KindUnknown and no error. Any error wraps [ErrMalformed], and leaves
// nothing of use in e.
func (e *Envelope) Decode(b []byte) error {
	e.reset()
	r := reader{data: b}
	for r.next() {
		kind := Kind(r.tag >> 3)
		if r.tag != uint32(kind)<<3|length || !kind.known() {
			continue
		}
		// Of several members of a oneof the last one counts; the same member again is merged with what is there.
		if kind != e.Kind {
			if e.Kind != KindUnknown {
				*e = Envelope{}
			}
			e.Kind = kind
		}
		if err := e.mergeMember(r.bytes()); err != nil {
			r.err = fmt.Errorf("%v: %w", kind, err)
		}
	}
	if r.err != nil {
		return fmt.Errorf("%w: envelope: %w", ErrMalformed, r.err)
	}
	return nil
}

// reset empties e. What nearly every envelope leaves empty is only looked at: to write it costs more than all else, while the garbage
// collector runs.
func (e *Envelope) reset() {
	switch e.Kind {
	case KindAsk, KindSend, KindReply, KindCancel, KindChunk:
		if e.Metadata == nil && e.Trailer == nil && e.Status == nil && !e.Text {
			e.Kind, e.ID, e.Route, e.RemainingMicros = KindUnknown, 0, 0, 0
			e.Encoding, e.Transfer, e.TransferSize = 0, 0, 0
			if e.Payload != nil {
				e.Payload = nil
			}
			return
		}
	}
	*e = Envelope{}
}

// mergeMember decodes b, the content of the member of Envelope.kind that e.Kind says, on top of what e holds.
func (e *Envelope) mergeMember(b []byte) error {
	switch e.Kind {
	case KindAsk:
		return e.mergeAsk(b)
	case KindSend:
		return e.mergeSend(b)
	case KindReply:
		return e.mergeReply(b)
	case KindCancel, KindHalfClose, KindUnwatch:
		return e.mergeID(b)
	case KindRoute:
		return e.mergeRoute(b)
	case KindLookup:
		return e.mergeLookup(b)
	case KindChunk:
		return e.mergeChunk(b)
	case KindAbort, KindReceipt:
		return e.mergeOutcome(b)
	case KindHeaders:
		return e.mergeHeaders(b)
	case KindMessage:
		return e.mergeStreamMessage(b)
	case KindEnd:
		return e.mergeEnd(b)
	case KindWindow:
		return e.mergeWindow(b)
	case KindWatch:
		return e.mergeWatch(b)
	case KindTerminated:
		return e.mergeTerminated(b)
	case KindBye:
		return e.mergeBye(b)
	}
	return nil
}

func (e *Envelope) mergeAsk(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagDestinationRoute:
			e.setRoute(uint32(r.varint))
		case tagDestinationTarget:
			r.fail(e.mergeDestination(r.bytes()))
		case tagRemaining:
			e.RemainingMicros = r.varint
		case tagMetadata:
			r.fail(appendDecoded(&e.Metadata, r.bytes()))
		case tagPayloadProto:
			e.setPayload(Proto, r.bytes())
		case tagPayloadJSON:
			e.setPayload(JSON, r.text())
		case tagPayloadTransfer:
			r.fail(e.mergeTransfer(r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeSend(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagDestinationRoute:
			e.setRoute(uint32(r.varint))
		case tagDestinationTarget:
			r.fail(e.mergeDestination(r.bytes()))
		case tagMetadata:
			r.fail(appendDecoded(&e.Metadata, r.bytes()))
		case tagPayloadProto:
			e.setPayload(Proto, r.bytes())
		case tagPayloadJSON:
			e.setPayload(JSON, r.text())
		case tagPayloadTransfer:
			r.fail(e.mergeTransfer(r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeReply(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagStatus:
			r.fail(mergeMessage(&e.Status, r.bytes()))
		case tagReplyHeader:
			r.fail(appendDecoded(&e.Metadata, r.bytes()))
		case tagTrailer:
			r.fail(appendDecoded(&e.Trailer, r.bytes()))
		case tagPayloadProto:
			e.setPayload(Proto, r.bytes())
		case tagPayloadJSON:
			e.setPayload(JSON, r.text())
		case tagPayloadTransfer:
			r.fail(e.mergeTransfer(r.bytes()))
		}
	}
	return r.err
}

// mergeID is for the kinds that have an id and nothing else.
func (e *Envelope) mergeID(b []byte) error {
	r := reader{data: b}
	for r.next() {
		if r.tag == tagID {
			e.ID = r.varint
		}
	}
	return r.err
}

func (e *Envelope) mergeRoute(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagRouteNumber:
			e.Route = uint32(r.varint)
		case tagRouteTarget:
			r.fail(e.Target.merge(r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeLookup(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagLookupEnvID:
			e.Target.EnvID = string(r.text())
		case tagLookupEndpoint:
			e.Target.Endpoint = string(r.text())
		case tagLookupService:
			e.Service = string(r.text())
		}
	}
	return r.err
}

func (e *Envelope) mergeChunk(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagChunkData:
			e.Payload = r.bytes()
		}
	}
	return r.err
}

// mergeOutcome is for the kinds that have an id and a status.
func (e *Envelope) mergeOutcome(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagStatus:
			r.fail(mergeMessage(&e.Status, r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeHeaders(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagDestinationRoute:
			e.setRoute(uint32(r.varint))
		case tagDestinationTarget:
			r.fail(e.mergeDestination(r.bytes()))
		case tagRemaining:
			e.RemainingMicros = r.varint
		case tagMetadata:
			r.fail(appendDecoded(&e.Metadata, r.bytes()))
		case tagHeadersWindow:
			e.WindowBytes = r.varint
		case tagHeadersCallee:
			e.FromCallee = r.varint != 0
		}
	}
	return r.err
}

func (e *Envelope) mergeStreamMessage(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagMessageCallee:
			e.FromCallee = r.varint != 0
		case tagPayloadProto:
			e.setPayload(Proto, r.bytes())
		case tagPayloadJSON:
			e.setPayload(JSON, r.text())
		case tagPayloadTransfer:
			r.fail(e.mergeTransfer(r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeEnd(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagStatus:
			r.fail(mergeMessage(&e.Status, r.bytes()))
		case tagTrailer:
			r.fail(appendDecoded(&e.Trailer, r.bytes()))
		}
	}
	return r.err
}

func (e *Envelope) mergeWindow(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagWindowBytes:
			e.WindowBytes = r.varint
		case tagWindowCallee:
			e.FromCallee = r.varint != 0
		}
	}
	return r.err
}

func (e *Envelope) mergeWatch(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagWatchEnvID:
			e.Target.EnvID = string(r.text())
		case tagWatchEndpoint:
			e.Target.Endpoint = string(r.text())
		}
	}
	return r.err
}

func (e *Envelope) mergeTerminated(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagID:
			e.ID = r.varint
		case tagTerminatedReason:
			e.Reason = uint32(r.varint)
		}
	}
	return r.err
}

func (e *Envelope) mergeBye(b []byte) error {
	r := reader{data: b}
	for r.next() {
		if r.tag == tagByeStatus {
			r.fail(mergeMessage(&e.Status, r.bytes()))
		}
	}
	return r.err
}

// setRoute makes a number the destination.
func (e *Envelope) setRoute(number uint32) {
	e.Route = number
	e.Text = false
	e.Target = Target{}
}

// mergeDestination makes a target the destination, or merges it with the target that already is.
func (e *Envelope) mergeDestination(b []byte) error {
	e.Route = 0
	e.Text = true
	return e.Target.merge(b)
}

func (t *Target) merge(b []byte) error {
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagTargetEnvID:
			t.EnvID = string(r.text())
		case tagTargetEndpoint:
			t.Endpoint = string(r.text())
		case tagTargetMethod:
			t.Method = string(r.text())
		}
	}
	return r.err
}

// setPayload makes bytes the payload.
func (e *Envelope) setPayload(encoding Encoding, payload []byte) {
	e.Encoding = encoding
	e.Payload = payload
	e.Transfer, e.TransferSize = 0, 0
}

// mergeTransfer makes a transfer the payload, or merges it with the transfer that already is.
func (e *Envelope) mergeTransfer(b []byte) error {
	e.Encoding = Transfer
	e.Payload = nil
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagTransferID:
			e.Transfer = r.varint
		case tagTransferSize:
			e.TransferSize = r.varint
		}
	}
	return r.err
}

// appendDecoded decodes b, one Metadata, and appends it to list.
func appendDecoded(list *[]Metadata, b []byte) error {
	var key, value, binary []byte
	r := reader{data: b}
	for r.next() {
		switch r.tag {
		case tagMetadataKey:
			key = r.text()
		case tagMetadataValue:
			value = r.text()
		case tagMetadataBinary:
			binary = r.bytes()
		}
	}
	if r.err != nil {
		return r.err
	}
	m := Metadata{Key: string(key)}
	if m.binary() {
		m.Value = string(binary)
	} else {
		m.Value = string(value)
	}
	*list = append(*list, m)
	return nil
}
