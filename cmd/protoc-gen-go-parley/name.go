package main

import "google.golang.org/protobuf/compiler/protogen"

func nameConst(s *protogen.Service) string         { return s.GoName + "Name" }
func refType(s *protogen.Service) string           { return s.GoName + "Ref" }
func newFunc(s *protogen.Service) string           { return "New" + s.GoName }
func lookupFunc(s *protogen.Service) string        { return "Lookup" + s.GoName }
func registerFunc(s *protogen.Service) string      { return "Register" + s.GoName }
func serviceFunc(s *protogen.Service) string       { return s.GoName + "Service" }
func endpointType(s *protogen.Service) string      { return s.GoName + "Endpoint" }
func unimplementedType(s *protogen.Service) string { return "Unimplemented" + s.GoName }
func methodConst(m *protogen.Method) string        { return m.Parent.GoName + m.GoName + "Method" }

// serviceIdentifiers returns the package-level identifiers that are made for s itself.
func serviceIdentifiers(s *protogen.Service) []string {
	return []string{
		nameConst(s), refType(s), newFunc(s), lookupFunc(s), registerFunc(s), serviceFunc(s), endpointType(s), unimplementedType(s),
	}
}

// fieldName returns the name of the field of the Ref.
func fieldName(m *protogen.Method) string {
	if m.GoName == "Ref" {
		return "Ref_" // the Ref has a method of the name
	}
	return m.GoName
}

// kind is how many messages a method has in each direction.
type kind struct {
	field  string // the type of the field of the Ref, in package endpoint
	make   string // the function that makes the field
	handle string // the function that makes a ServiceMethod of a handler
}

// kindOf returns the kind of a method.
func kindOf(m *protogen.Method) kind {
	switch client, server := m.Desc.IsStreamingClient(), m.Desc.IsStreamingServer(); {
	case client && server:
		return kind{"BidiStreaming", "NewBidiStreaming", "HandleBidiStreaming"}
	case client:
		return kind{"ClientStreaming", "NewClientStreaming", "HandleClientStreaming"}
	case server:
		return kind{"ServerStreaming", "NewServerStreaming", "HandleServerStreaming"}
	default:
		return kind{"Method", "NewMethod", "Handle"}
	}
}
