package server

import (
	"errors"
	"slices"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parley-rpc/parley/endpoint"
	parleyv1 "github.com/parley-rpc/parley/gen/parley/v1"
)

// handlerError returns what a handler answered, as the asker gets it. A handler may pass on the error of a call of its
// own: its code, text and details are kept, but not what it said of that other call, which the asker would take for its
// own.
func handlerError(err error) *endpoint.Error {
	e := endpoint.AsError(err)
	if err == endpoint.ErrNoReply { // the very one: that of somebody whom the handler has asked is the handler's answer
		return e
	}
	st := e.GRPCStatus().Proto()
	if st.GetCode() == int32(codes.OK) {
		return endpoint.HandlerError(status.New(codes.Unknown, "the handler returned an error whose status is OK: "+err.Error()))
	}
	var call *endpoint.Error
	if errors.As(err, &call) && (err != error(call) || call.Reason != endpoint.ReasonHandler) {
		st.Message = err.Error()
	}
	st.Details = slices.DeleteFunc(st.Details, func(d *anypb.Any) bool { return d.MessageIs((*parleyv1.Failure)(nil)) })
	return endpoint.HandlerError(status.FromProto(st))
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
