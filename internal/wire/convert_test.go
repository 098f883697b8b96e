package wire

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// The two functions here say, independently of the codec, which generated message a flat Envelope stands for.

// fromProto flattens a generated envelope.
func fromProto(m *parleyv1.Envelope) *Envelope {
	e := &Envelope{}
	target := func(t *parleyv1.Target) {
		e.Target = Target{EnvID: t.GetEnvId(), Endpoint: t.GetEndpoint(), Method: t.GetMethod()}
	}
	metadata := func(list []*parleyv1.Metadata) []Metadata {
		var flat []Metadata
		for _, m := range list {
			value := m.GetValue()
			if strings.HasSuffix(m.GetKey(), "-bin") {
				value = string(m.GetBinary())
			}
			flat = append(flat, Metadata{Key: m.GetKey(), Value: value})
		}
		return flat
	}
	transfer := func(t *parleyv1.Transfer) {
		e.Encoding, e.Transfer, e.TransferSize = Transfer, t.GetId(), t.GetSize()
	}
	switch k := m.GetKind().(type) {
	case nil:
	case *parleyv1.Envelope_Ask:
		e.Kind, e.ID, e.RemainingMicros = KindAsk, k.Ask.GetId(), k.Ask.GetRemainingUs()
		e.Metadata = metadata(k.Ask.GetMetadata())
		switch d := k.Ask.GetDestination().(type) {
		case *parleyv1.Ask_Route:
			e.Route = d.Route
		case *parleyv1.Ask_Target:
			e.Text = true
			target(d.Target)
		}
		switch p := k.Ask.GetPayload().(type) {
		case *parleyv1.Ask_Proto:
			e.Encoding, e.Payload = Proto, p.Proto
		case *parleyv1.Ask_Json:
			e.Encoding, e.Payload = JSON, []byte(p.Json)
		case *parleyv1.Ask_Transfer:
			transfer(p.Transfer)
		}
	case *parleyv1.Envelope_Send:
		e.Kind, e.ID = KindSend, k.Send.GetId()
		e.Metadata = metadata(k.Send.GetMetadata())
		switch d := k.Send.GetDestination().(type) {
		case *parleyv1.Send_Route:
			e.Route = d.Route
		case *parleyv1.Send_Target:
			e.Text = true
			target(d.Target)
		}
		switch p := k.Send.GetPayload().(type) {
		case *parleyv1.Send_Proto:
			e.Encoding, e.Payload = Proto, p.Proto
		case *parleyv1.Send_Json:
			e.Encoding, e.Payload = JSON, []byte(p.Json)
		case *parleyv1.Send_Transfer:
			transfer(p.Transfer)
		}
	case *parleyv1.Envelope_Reply:
		e.Kind, e.ID, e.Status = KindReply, k.Reply.GetId(), k.Reply.GetStatus()
		e.Metadata, e.Trailer = metadata(k.Reply.GetHeader()), metadata(k.Reply.GetTrailer())
		switch p := k.Reply.GetPayload().(type) {
		case *parleyv1.Reply_Proto:
			e.Encoding, e.Payload = Proto, p.Proto
		case *parleyv1.Reply_Json:
			e.Encoding, e.Payload = JSON, []byte(p.Json)
		case *parleyv1.Reply_Transfer:
			transfer(p.Transfer)
		}
	case *parleyv1.Envelope_Cancel:
		e.Kind, e.ID = KindCancel, k.Cancel.GetId()
	case *parleyv1.Envelope_Route:
		e.Kind, e.Route = KindRoute, k.Route.GetNumber()
		target(k.Route.GetTarget())
	case *parleyv1.Envelope_Lookup:
		e.Kind, e.ID, e.Service = KindLookup, k.Lookup.GetId(), k.Lookup.GetService()
		e.Target = Target{EnvID: k.Lookup.GetEnvId(), Endpoint: k.Lookup.GetEndpoint()}
	case *parleyv1.Envelope_Chunk:
		e.Kind, e.ID, e.Payload = KindChunk, k.Chunk.GetId(), k.Chunk.GetData()
	case *parleyv1.Envelope_Abort:
		e.Kind, e.ID, e.Status = KindAbort, k.Abort.GetId(), k.Abort.GetStatus()
	case *parleyv1.Envelope_Receipt:
		e.Kind, e.ID, e.Status = KindReceipt, k.Receipt.GetId(), k.Receipt.GetStatus()
	case *parleyv1.Envelope_Headers:
		e.Kind, e.ID, e.RemainingMicros = KindHeaders, k.Headers.GetId(), k.Headers.GetRemainingUs()
		e.Metadata, e.WindowBytes = metadata(k.Headers.GetMetadata()), k.Headers.GetWindowBytes()
		e.FromCallee = k.Headers.GetFromCallee()
		switch d := k.Headers.GetDestination().(type) {
		case *parleyv1.Headers_Route:
			e.Route = d.Route
		case *parleyv1.Headers_Target:
			e.Text = true
			target(d.Target)
		}
	case *parleyv1.Envelope_Message:
		e.Kind, e.ID, e.FromCallee = KindMessage, k.Message.GetId(), k.Message.GetFromCallee()
		switch p := k.Message.GetPayload().(type) {
		case *parleyv1.Message_Proto:
			e.Encoding, e.Payload = Proto, p.Proto
		case *parleyv1.Message_Json:
			e.Encoding, e.Payload = JSON, []byte(p.Json)
		case *parleyv1.Message_Transfer:
			transfer(p.Transfer)
		}
	case *parleyv1.Envelope_HalfClose:
		e.Kind, e.ID = KindHalfClose, k.HalfClose.GetId()
	case *parleyv1.Envelope_End:
		e.Kind, e.ID, e.Status = KindEnd, k.End.GetId(), k.End.GetStatus()
		e.Trailer = metadata(k.End.GetTrailer())
	case *parleyv1.Envelope_Window:
		e.Kind, e.ID, e.WindowBytes, e.FromCallee = KindWindow, k.Window.GetId(), k.Window.GetBytes(), k.Window.GetFromCallee()
	case *parleyv1.Envelope_Watch:
		e.Kind, e.ID = KindWatch, k.Watch.GetId()
		e.Target = Target{EnvID: k.Watch.GetEnvId(), Endpoint: k.Watch.GetEndpoint()}
	case *parleyv1.Envelope_Unwatch:
		e.Kind, e.ID = KindUnwatch, k.Unwatch.GetId()
	case *parleyv1.Envelope_Terminated:
		e.Kind, e.ID, e.Reason = KindTerminated, k.Terminated.GetId(), uint32(k.Terminated.GetReason())
	case *parleyv1.Envelope_Bye:
		e.Kind, e.Status = KindBye, k.Bye.GetStatus()
	}
	return e
}

// toProto returns the generated envelope that e stands for.
func toProto(e *Envelope) *parleyv1.Envelope {
	target := &parleyv1.Target{EnvId: e.Target.EnvID, Endpoint: e.Target.Endpoint, Method: e.Target.Method}
	transfer := &parleyv1.Transfer{Id: e.Transfer, Size: e.TransferSize}
	metadata := func(list []Metadata) []*parleyv1.Metadata {
		var full []*parleyv1.Metadata
		for _, m := range list {
			if strings.HasSuffix(m.Key, "-bin") {
				full = append(full, &parleyv1.Metadata{Key: m.Key, Binary: []byte(m.Value)})
			} else {
				full = append(full, &parleyv1.Metadata{Key: m.Key, Value: m.Value})
			}
		}
		return full
	}
	switch e.Kind {
	case KindAsk:
		m := &parleyv1.Ask{Id: e.ID, RemainingUs: e.RemainingMicros, Metadata: metadata(e.Metadata)}
		switch {
		case e.Text:
			m.Destination = &parleyv1.Ask_Target{Target: target}
		case e.Route != 0:
			m.Destination = &parleyv1.Ask_Route{Route: e.Route}
		}
		switch e.Encoding {
		case Proto:
			m.Payload = &parleyv1.Ask_Proto{Proto: e.Payload}
		case JSON:
			m.Payload = &parleyv1.Ask_Json{Json: string(e.Payload)}
		case Transfer:
			m.Payload = &parleyv1.Ask_Transfer{Transfer: transfer}
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Ask{Ask: m}}
	case KindSend:
		m := &parleyv1.Send{Id: e.ID, Metadata: metadata(e.Metadata)}
		switch {
		case e.Text:
			m.Destination = &parleyv1.Send_Target{Target: target}
		case e.Route != 0:
			m.Destination = &parleyv1.Send_Route{Route: e.Route}
		}
		switch e.Encoding {
		case Proto:
			m.Payload = &parleyv1.Send_Proto{Proto: e.Payload}
		case JSON:
			m.Payload = &parleyv1.Send_Json{Json: string(e.Payload)}
		case Transfer:
			m.Payload = &parleyv1.Send_Transfer{Transfer: transfer}
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Send{Send: m}}
	case KindReply:
		m := &parleyv1.Reply{Id: e.ID, Status: e.Status, Header: metadata(e.Metadata), Trailer: metadata(e.Trailer)}
		switch e.Encoding {
		case Proto:
			m.Payload = &parleyv1.Reply_Proto{Proto: e.Payload}
		case JSON:
			m.Payload = &parleyv1.Reply_Json{Json: string(e.Payload)}
		case Transfer:
			m.Payload = &parleyv1.Reply_Transfer{Transfer: transfer}
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Reply{Reply: m}}
	case KindCancel:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Cancel{Cancel: &parleyv1.Cancel{Id: e.ID}}}
	case KindRoute:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Route{
			Route: &parleyv1.Route{Number: e.Route, Target: target}}}
	case KindLookup:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Lookup{Lookup: &parleyv1.Lookup{
			Id: e.ID, EnvId: e.Target.EnvID, Endpoint: e.Target.Endpoint, Service: e.Service}}}
	case KindChunk:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Chunk{Chunk: &parleyv1.Chunk{Id: e.ID, Data: e.Payload}}}
	case KindAbort:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Abort{Abort: &parleyv1.Abort{Id: e.ID, Status: e.Status}}}
	case KindReceipt:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Receipt{
			Receipt: &parleyv1.Receipt{Id: e.ID, Status: e.Status}}}
	case KindHeaders:
		m := &parleyv1.Headers{Id: e.ID, RemainingUs: e.RemainingMicros, Metadata: metadata(e.Metadata),
			WindowBytes: e.WindowBytes, FromCallee: e.FromCallee}
		switch {
		case e.Text:
			m.Destination = &parleyv1.Headers_Target{Target: target}
		case e.Route != 0:
			m.Destination = &parleyv1.Headers_Route{Route: e.Route}
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Headers{Headers: m}}
	case KindMessage:
		m := &parleyv1.Message{Id: e.ID, FromCallee: e.FromCallee}
		switch e.Encoding {
		case Proto:
			m.Payload = &parleyv1.Message_Proto{Proto: e.Payload}
		case JSON:
			m.Payload = &parleyv1.Message_Json{Json: string(e.Payload)}
		case Transfer:
			m.Payload = &parleyv1.Message_Transfer{Transfer: transfer}
		}
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Message{Message: m}}
	case KindHalfClose:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_HalfClose{HalfClose: &parleyv1.HalfClose{Id: e.ID}}}
	case KindEnd:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_End{
			End: &parleyv1.End{Id: e.ID, Status: e.Status, Trailer: metadata(e.Trailer)}}}
	case KindWindow:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Window{
			Window: &parleyv1.Window{Id: e.ID, Bytes: e.WindowBytes, FromCallee: e.FromCallee}}}
	case KindWatch:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Watch{Watch: &parleyv1.Watch{
			Id: e.ID, EnvId: e.Target.EnvID, Endpoint: e.Target.Endpoint}}}
	case KindUnwatch:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Unwatch{Unwatch: &parleyv1.Unwatch{Id: e.ID}}}
	case KindTerminated:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Terminated{Terminated: &parleyv1.Terminated{
			Id: e.ID, Reason: parleyv1.Terminated_Reason(e.Reason)}}}
	case KindBye:
		return &parleyv1.Envelope{Kind: &parleyv1.Envelope_Bye{Bye: &parleyv1.Bye{Status: e.Status}}}
	}
	return &parleyv1.Envelope{}
}

// requireEqual fails the test unless both envelopes mean the same. An empty slice is equal to none.
func requireEqual(t *testing.T, what string, got, want *Envelope) {
	t.Helper()
	if !bytes.Equal(got.Payload, want.Payload) || !slices.Equal(got.Metadata, want.Metadata) ||
		!slices.Equal(got.Trailer, want.Trailer) || !proto.Equal(got.Status, want.Status) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
	// The rest can be compared as it is.
	g, w := *got, *want
	g.Payload, g.Metadata, g.Trailer, g.Status = nil, nil, nil, nil
	w.Payload, w.Metadata, w.Trailer, w.Status = nil, nil, nil, nil
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}
