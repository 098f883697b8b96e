package semantics

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/parley-rpc/parley/endpoint"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
	"github.com/parley-rpc/parley/gen/parleytest/v1/parleytestv1parley"
)

func TestFailures(t *testing.T) {
	handlerFails := func(t *testing.T, w *world) {
		detail := &errdetails.ErrorInfo{Reason: "OOPS", Domain: "parleytest"}
		p := newProbe(t)
		p.fail = func(_ context.Context, text string) error {
			st, err := status.New(codes.DataLoss, text).WithDetails(detail)
			if err != nil {
				return err
			}
			return st.Err()
		}
		ref := w.register(t, "sendWithReply-error", p)
		f := ref.Fail.Ask(within(t), &parleytestv1.FailRequest{Text: "Oops"})
		_, err := f.Wait(within(t))
		st, ok := status.FromError(err)
		if !ok || st.Code() != codes.DataLoss || st.Message() != "Oops" {
			t.Fatalf("got %v, want a status DataLoss with Oops", err)
		}
		var e *endpoint.Error
		if !errors.As(err, &e) || e.Reason != endpoint.ReasonHandler || e.GRPCStatus().Message() != "Oops" || e.Execution == endpoint.NotExecuted {
			t.Errorf("got %+v, want a handler's error with the text Oops, which may have executed", e)
		}
		details := e.GRPCStatus().Details()
		if len(details) != 1 || !proto.Equal(details[0].(proto.Message), detail) {
			t.Errorf("the details are %v, want %v", details, detail)
		}
	}
	locally(t, "T19 sendWithReply error", handlerFails)
	remotely(t, "T20 sendWithReply remotely error", handlerFails)

	bothWays(t, "T24 sendWithReply unserializable error", func(t *testing.T, w *world) {
		p := newProbe(t)
		p.fail = func(context.Context, string) error {
			return status.FromProto(&spb.Status{
				Code: int32(codes.DataLoss), Message: "Oops", Details: []*anypb.Any{{TypeUrl: "not UTF-8: \xff"}},
			}).Err()
		}
		p.echo = func(context.Context, string) (string, error) { return "not UTF-8: \xff", nil }
		ref := w.register(t, "sendWithUnserializableError", p)
		_, err := ref.Fail.AskSync(within(t), &parleytestv1.FailRequest{Text: "hello"})
		if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "cannot be encoded") {
			t.Errorf("got %v, want a status Internal that says that the error cannot be encoded", err)
		}
		_, err = ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "hello"})
		wantError(t, err, endpoint.ErrUnencodable)
		_, err = ref.Echo.AskSync(within(t), &parleytestv1.EchoRequest{Text: "not UTF-8: \xff"})
		if e := wantError(t, err, endpoint.ErrUnencodable); e.Execution != endpoint.NotExecuted {
			t.Errorf("a request that cannot be encoded: %s, want not executed", e.Execution)
		}
		if _, err := ref.Count.AskSync(within(t), nil); err != nil {
			t.Errorf("the next ask: %v", err)
		}
	})

	bothWays(t, "U1 non-existent endpoint", func(t *testing.T, w *world) {
		uri := "parley://nonexist-endpoint@" + w.host.Address()
		_, err := parleytestv1parley.LookupProbe(within(t), w.caller, uri)
		wantError(t, err, endpoint.ErrEndpointNotFound)
		wantOnce(t, err, uri)
		if status.Code(err) != codes.NotFound {
			t.Errorf("the code is %s, want NotFound", status.Code(err))
		}
	})

	bothWays(t, "U4 panic should be sent back and the endpoint should survive", func(t *testing.T, w *world) {
		p := newProbe(t)
		ref := w.register(t, "panics", p)
		for range 2 {
			_, err := ref.Panic.AskSync(within(t), &parleytestv1.PanicRequest{Text: "overflow"})
			e := wantError(t, err, endpoint.ErrPanic)
			if e.Code() != codes.Internal || e.Execution != endpoint.MayHaveExecuted {
				t.Errorf("got %s, %s; want Internal, may have executed", e.Code(), e.Execution)
			}
			wantOnce(t, err, "overflow")
			var caught *endpoint.PanicError
			if got := await(t, p.errs, "OnError"); !errors.As(got, &caught) || caught.Value != "overflow" || !strings.Contains(string(caught.Stack), ").Panic(") {
				t.Errorf("OnError got %v, want the panic with its stack", got)
			}
		}
		echo(t, ref, "100")
	})
}
