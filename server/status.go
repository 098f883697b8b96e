package server

import (
	"errors"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// handlerError returns what a handler answered, as the asker gets it. A handler may pass on the error of a call of its
// own: its code, text and details are kept, but not what it said of that other call, which the asker would take for its
// own.
func handlerError(err error) *endpoint.Error {
	var e *endpoint.Error
	if !errors.As(err, &e) || e.Reason == endpoint.ReasonHandler {
		e = endpoint.AsError(err)
		if e.Code() == codes.OK {
			return endpoint.HandlerError(status.New(codes.Unknown, "the handler returned an error whose status is OK: "+err.Error()))
		}
		return e
	}
	p := &spb.Status{Code: int32(e.Code()), Message: err.Error()}
	for _, d := range e.GRPCStatus().Proto().GetDetails() {
		if !d.MessageIs((*parleyv1.Failure)(nil)) {
			p.Details = append(p.Details, d)
		}
	}
	return endpoint.HandlerError(status.FromProto(p))
}

// statusOf returns e as it travels: text that is valid UTF-8, and details that can be encoded.
func statusOf(e *endpoint.Error) *spb.Status {
	st := e.GRPCStatus().Proto()
	st.Message = strings.ToValidUTF8(st.GetMessage(), "\uFFFD")
	if _, err := proto.Marshal(st); err != nil {
		return status.New(codes.Internal, "the details of the handler's error cannot be encoded: "+err.Error()).Proto()
	}
	return st
}
