package wire

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// Frame is one gRPC message of Parley.Connect, already encoded. It is a proto.Message of the type parley.v1.Frame whose
// marshalling copies bytes, so it goes through gRPC's own codec at both ends without a second encoding.
//
// Anything else that can be done with a message, such as protojson, proto.Equal or an interceptor's log, decodes the bytes
// anew at each access. Bytes that are not a frame look like an empty message to it; only [ParseHead] and
// [Envelope.Decode] tell. Concurrent reading is safe, changing is not. The zero value is an empty frame.
type Frame struct {
	encoded []byte
	buffer  *Buffer // what encoded is in; nil if it was not received
	// edited holds the frame instead of encoded once it has been changed by reflection, which hands out parts of it.
	edited *parleyv1.Frame
}

// NewFrame returns a frame of these bytes, which it takes over without a copy.
func NewFrame(b []byte) *Frame {
	return &Frame{encoded: b}
}

// Bytes returns the encoded frame. After Unmarshal it is a copy that was made for it, and that nobody reuses unless it is
// taken and released, so the payloads of its envelopes may alias it.
func (f *Frame) Bytes() []byte {
	if f == nil {
		return nil
	}
	if f.edited != nil {
		return marshal(f.edited)
	}
	return f.encoded
}

// Take returns what Bytes does, with one user, and leaves the frame empty.
func (f *Frame) Take() *Buffer {
	b := f.buffer
	if b == nil {
		b = &Buffer{Bytes: f.Bytes(), class: -1}
		b.users.Store(1)
	}
	f.Reset()
	return b
}

// SetBytes makes b the encoded frame. It is not copied.
func (f *Frame) SetBytes(b []byte) {
	*f = Frame{encoded: b}
}

// Reset makes the frame empty.
func (f *Frame) Reset() {
	f.SetBytes(nil)
}

// String returns the length of the frame only: a hello or welcome has a token, which must not get into a log by accident.
func (f *Frame) String() string {
	return fmt.Sprintf("parley.v1.Frame of %d bytes", len(f.Bytes()))
}

// ProtoReflect implements proto.Message.
func (f *Frame) ProtoReflect() protoreflect.Message {
	return (*frameMessage)(f)
}

// decoded returns the frame for reading.
func (f *Frame) decoded() *parleyv1.Frame {
	if f == nil {
		return nil
	}
	if f.edited != nil {
		return f.edited
	}
	decoded := new(parleyv1.Frame)
	if err := proto.Unmarshal(f.encoded, decoded); err != nil {
		return new(parleyv1.Frame)
	}
	return decoded
}

// edit returns the frame for changing.
func (f *Frame) edit() protoreflect.Message {
	if f.edited == nil {
		*f = Frame{edited: f.decoded()}
	}
	return f.edited.ProtoReflect()
}

// frameMethods are what the proto package calls instead of going through the fields.
var frameMethods = &protoiface.Methods{
	Flags:            protoiface.SupportMarshalDeterministic,
	Size:             sizeFrame,
	Marshal:          marshalFrame,
	Unmarshal:        unmarshalFrame,
	Merge:            mergeFrame,
	CheckInitialized: checkFrame,
}

func sizeFrame(in protoiface.SizeInput) protoiface.SizeOutput {
	return protoiface.SizeOutput{Size: len(in.Message.(*frameMessage).frame().Bytes())}
}

func marshalFrame(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
	return protoiface.MarshalOutput{Buf: append(in.Buf, in.Message.(*frameMessage).frame().Bytes()...)}, nil
}

// unmarshalFrame copies, because gRPC reuses the buffer.
func unmarshalFrame(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
	in.Message.(*frameMessage).frame().extend(in.Buf)
	return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
}

// mergeFrame lets a frame be cloned without being decoded.
func mergeFrame(in protoiface.MergeInput) protoiface.MergeOutput {
	if !in.Destination.IsValid() {
		return protoiface.MergeOutput{} // The proto package panics with a message of its own.
	}
	source, err := proto.Marshal(in.Source.Interface())
	if err != nil {
		return protoiface.MergeOutput{}
	}
	in.Destination.(*frameMessage).frame().extend(source)
	return protoiface.MergeOutput{Flags: protoiface.MergeComplete}
}

// checkFrame has nothing to check, but without it every Marshal would walk through the fields to find that out.
func checkFrame(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
	return protoiface.CheckInitializedOutput{}, nil
}

// extend merges f with the frame that is encoded in b, which is to put one behind the other.
func (f *Frame) extend(b []byte) {
	old := f.Bytes()
	merged := NewBuffer(len(old) + len(b))
	merged.Bytes = append(append(merged.Bytes, old...), b...)
	*f = Frame{encoded: merged.Bytes, buffer: merged}
}
