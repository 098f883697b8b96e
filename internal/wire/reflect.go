package wire

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// frameMessage is a Frame as reflection sees it: a type of its own, so that reflection is not part of the API of Frame.
type frameMessage Frame

func (m *frameMessage) frame() *Frame { return (*Frame)(m) }

func (m *frameMessage) read() protoreflect.Message { return m.frame().decoded().ProtoReflect() }

func (m *frameMessage) ProtoMethods() *protoiface.Methods { return frameMethods }

func (m *frameMessage) Interface() protoreflect.ProtoMessage { return m.frame() }

func (m *frameMessage) IsValid() bool { return m != nil }

func (m *frameMessage) New() protoreflect.Message { return frameType{}.New() }

func (m *frameMessage) Type() protoreflect.MessageType { return frameType{} }

func (m *frameMessage) Descriptor() protoreflect.MessageDescriptor { return frameType{}.Descriptor() }

func (m *frameMessage) Range(f func(protoreflect.FieldDescriptor, protoreflect.Value) bool) {
	m.read().Range(f)
}

func (m *frameMessage) Has(field protoreflect.FieldDescriptor) bool { return m.read().Has(field) }

func (m *frameMessage) Get(field protoreflect.FieldDescriptor) protoreflect.Value {
	return m.read().Get(field)
}

func (m *frameMessage) WhichOneof(oneof protoreflect.OneofDescriptor) protoreflect.FieldDescriptor {
	return m.read().WhichOneof(oneof)
}

func (m *frameMessage) GetUnknown() protoreflect.RawFields { return m.read().GetUnknown() }

func (m *frameMessage) NewField(field protoreflect.FieldDescriptor) protoreflect.Value {
	return m.read().NewField(field)
}

func (m *frameMessage) Clear(field protoreflect.FieldDescriptor) { m.frame().edit().Clear(field) }

func (m *frameMessage) Set(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	m.frame().edit().Set(field, value)
}

func (m *frameMessage) Mutable(field protoreflect.FieldDescriptor) protoreflect.Value {
	return m.frame().edit().Mutable(field)
}

func (m *frameMessage) SetUnknown(unknown protoreflect.RawFields) {
	m.frame().edit().SetUnknown(unknown)
}

// frameType is the protobuf type of Frame.
type frameType struct{}

func (frameType) New() protoreflect.Message { return new(frameMessage) }

func (frameType) Zero() protoreflect.Message { return (*frameMessage)(nil) }

func (frameType) Descriptor() protoreflect.MessageDescriptor {
	return (*parleyv1.Frame)(nil).ProtoReflect().Descriptor()
}
