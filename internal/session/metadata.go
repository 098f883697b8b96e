package session

import (
	"slices"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/wire"
)

// maxMetadataBytes bounds the metadata of one message.
const maxMetadataBytes = 64 << 10

// refuseMetadata returns what is wrong with the metadata of a message, or nil.
func refuseMetadata(md []wire.Metadata) *endpoint.Error {
	if metadataBytes(md) > maxMetadataBytes {
		return tooMuchMetadata(endpoint.PhaseSent)
	}
	for i := range md {
		if err := md[i].Validate(); err != nil {
			return &endpoint.Error{Reason: endpoint.ReasonInvalid, Text: err.Error(), Phase: endpoint.PhaseSent, Execution: endpoint.NotExecuted}
		}
	}
	return nil
}

// allowed returns the pairs of an answer that are allowed.
func (s *Session) allowed(md []wire.Metadata) []wire.Metadata {
	if len(md) == 0 {
		return nil
	}
	return s.without(md, func(m wire.Metadata) bool { return isReserved(m) || m.Validate() != nil })
}

func isReserved(m wire.Metadata) bool { return wire.Reserved(m.Key) }

// without returns a copy of md without those of which drop is true, and counts them.
func (s *Session) without(md []wire.Metadata, drop func(wire.Metadata) bool) []wire.Metadata {
	kept := slices.DeleteFunc(clone(md), drop)
	s.counters.DroppedMetadata += uint64(len(md) - len(kept))
	return kept
}

func tooMuchMetadata(phase endpoint.Phase) *endpoint.Error {
	return &endpoint.Error{Reason: endpoint.ReasonTooLarge, Text: "more than 64 KiB of metadata", Phase: phase, Execution: endpoint.NotExecuted}
}

func metadataBytes(md []wire.Metadata) int {
	n := 0
	for i := range md {
		n += len(md[i].Key) + len(md[i].Value) + 8
	}
	return n
}

func clone(md []wire.Metadata) []wire.Metadata {
	if len(md) == 0 {
		return nil
	}
	return append([]wire.Metadata(nil), md...)
}
