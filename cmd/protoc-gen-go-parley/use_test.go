package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	opaquev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/opaque"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/opaque/opaquev1parley"
	namesv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/names"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/names/namesv1parley"
	nestedv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nested"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nested/nestedv1parley"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nopackage"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nopackage/nopackageparley"
	contextpb "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/context"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/envparley"
	leftv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/left"
	rightv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/right"
	samepackagev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/samepackage"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/samepackage/samepackagev1parley"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/streaming/streamingv1parley"
	"github.com/parley-rpc/parley/endpoint"
)

// greeter is an endpoint as a user writes it.
type greeter struct {
	nopackageparley.UnimplementedGreeter
	greeted []string
}

func (g *greeter) Greet(_ context.Context, req *nopackage.Greeting) (*nopackage.Greeting, error) {
	if req.GetText() == "" {
		return nil, status.Error(codes.InvalidArgument, "greet whom?")
	}
	g.greeted = append(g.greeted, req.GetText())
	return &nopackage.Greeting{Text: "hello, " + req.GetText()}, nil
}

func TestUseRegister(t *testing.T) {
	env := newFakeEnv()
	impl := &greeter{}
	ref, err := nopackageparley.RegisterGreeter(t.Context(), env, "greeter", impl, endpoint.Concurrent(3))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ref.Ref().String(), "parley://greeter@"+fakeAddress; got != want {
		t.Errorf("got Ref %q, want %q", got, want)
	}
	hosted := env.hosted["greeter"]
	if hosted.impl != any(impl) {
		t.Errorf("Register got impl %v, want the endpoint itself", hosted.impl)
	}
	if hosted.options.Concurrency != 3 {
		t.Errorf("Register got concurrency %d, want that of the options, 3", hosted.options.Concurrency)
	}
	testGreeter(t, ref, impl, hosted)
}

func TestUseLookup(t *testing.T) {
	env := newFakeEnv()
	impl := &greeter{}
	if _, err := nopackageparley.RegisterGreeter(t.Context(), env, "greeter", impl); err != nil {
		t.Fatal(err)
	}
	if _, err := nestedv1parley.RegisterNested(t.Context(), env, "other", nested{}); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]error{
		"parley://nobody@localhost:5678": endpoint.ErrEndpointNotFound,
		"parley://other@localhost:5678":  endpoint.ErrMethodNotFound,
		"greeter":                        endpoint.ErrInvalid,
	} {
		ref, err := nopackageparley.LookupGreeter(t.Context(), env, uri)
		if !errors.Is(err, want) {
			t.Errorf("lookup of %q: got error %v, want %v", uri, err, want)
		}
		if !ref.Ref().IsZero() {
			t.Errorf("lookup of %q: got Ref %q beside the error", uri, ref.Ref())
		}
	}
	ref, err := nopackageparley.LookupGreeter(t.Context(), env, "parley://greeter@localhost:5678")
	if err != nil {
		t.Fatal(err)
	}
	testGreeter(t, ref, impl, env.hosted["greeter"])
}

func TestUseNew(t *testing.T) {
	env := newFakeEnv()
	impl := &greeter{}
	registered, err := nopackageparley.RegisterGreeter(t.Context(), env, "greeter", impl)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := env.Bind(registered.Ref())
	if err != nil {
		t.Fatal(err)
	}
	testGreeter(t, nopackageparley.NewGreeter(bound), impl, env.hosted["greeter"])
}

// testGreeter tries every verb.
func testGreeter(t *testing.T, ref nopackageparley.GreeterRef, impl *greeter, hosted *fakeEndpoint) {
	t.Helper()
	if err := ref.Greet.Send(t.Context(), &nopackage.Greeting{Text: "send"}); err != nil {
		t.Errorf("Send: %v", err)
	}
	res, err := ref.Greet.Ask(t.Context(), &nopackage.Greeting{Text: "ask"}).Wait(t.Context())
	if err != nil || res.GetText() != "hello, ask" {
		t.Errorf("Ask: got reply %v and error %v", res, err)
	}
	res, err = ref.Greet.AskSync(t.Context(), &nopackage.Greeting{Text: "ask-sync"})
	if err != nil || res.GetText() != "hello, ask-sync" {
		t.Errorf("AskSync: got reply %v and error %v", res, err)
	}
	if _, err := ref.Greet.AskSync(t.Context(), &nopackage.Greeting{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("AskSync of what the handler refuses: got error %v, want its status", err)
	}
	if want := []string{"send", "ask", "ask-sync"}; !slices.Equal(impl.greeted, want) {
		t.Errorf("the endpoint greeted %q, want %q", impl.greeted, want)
	}
	if want := []string{"Greeter/Greet"}; !slices.Equal(hosted.sent, want) {
		t.Errorf("the Caller sent %q, want %q", hosted.sent, want)
	}
	if want := []string{"Greeter/Greet", "Greeter/Greet", "Greeter/Greet"}; !slices.Equal(hosted.asked, want) {
		t.Errorf("the Caller asked %q, want %q", hosted.asked, want)
	}
}

func TestUseZeroRef(t *testing.T) {
	var ref nopackageparley.GreeterRef
	if !ref.Ref().IsZero() {
		t.Errorf("got Ref %q, want none", ref.Ref())
	}
	if err := ref.Greet.Send(t.Context(), &nopackage.Greeting{}); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("Send: got error %v, want ErrInvalid", err)
	}
	if _, err := ref.Greet.AskSync(t.Context(), &nopackage.Greeting{}); !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("AskSync: got error %v, want ErrInvalid", err)
	}
}

// TestUseFakeField replaces one field of a Ref, as a test of code that uses it does.
func TestUseFakeField(t *testing.T) {
	ref := nopackageparley.GreeterRef{
		Greet: endpoint.MethodFunc(func(_ context.Context, req *nopackage.Greeting) (*nopackage.Greeting, error) {
			return &nopackage.Greeting{Text: "fake " + req.GetText()}, nil
		}),
	}
	res, err := ref.Greet.AskSync(t.Context(), &nopackage.Greeting{Text: "gopher"})
	if err != nil || res.GetText() != "fake gopher" {
		t.Errorf("got reply %v and error %v", res, err)
	}
}

func TestUseNilEndpoint(t *testing.T) {
	ref, err := nopackageparley.RegisterGreeter(t.Context(), newFakeEnv(), "greeter", nil)
	if !errors.Is(err, endpoint.ErrInvalid) {
		t.Errorf("got Ref %v and error %v, want the error of Register", ref, err)
	}
}

// several is an endpoint that implements several services.
type several struct{}

func (several) Count(_ context.Context, req *samepackagev1.Number) (*samepackagev1.Number, error) {
	return &samepackagev1.Number{Value: req.GetValue() + 1}, nil
}

func TestUseSeveralServices(t *testing.T) {
	env := newFakeEnv()
	impl := several{}
	bound, err := env.Register(t.Context(), "several", impl, []endpoint.Service{
		samepackagev1parley.FirstService(impl), samepackagev1parley.SecondService(impl), samepackagev1parley.ThirdService(impl),
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := samepackagev1parley.NewFirst(bound), samepackagev1parley.NewSecond(bound), samepackagev1parley.NewThird(bound)
	if first.Ref() != second.Ref() || second.Ref() != third.Ref() {
		t.Errorf("got Refs %q, %q and %q of one endpoint", first.Ref(), second.Ref(), third.Ref())
	}
	for _, method := range []endpoint.Method[samepackagev1.Number, samepackagev1.Number]{first.Count, second.Count, third.Count} {
		if res, err := method.AskSync(t.Context(), &samepackagev1.Number{Value: 41}); err != nil || res.GetValue() != 42 {
			t.Errorf("got reply %v and error %v", res, err)
		}
	}
	want := []string{"samepackage.v1.First/Count", "samepackage.v1.Second/Count", "samepackage.v1.Third/Count"}
	if got := env.hosted["several"].asked; !slices.Equal(got, want) {
		t.Errorf("the Caller asked %q, want %q", got, want)
	}
}

// TestUseUnimplemented checks that the Unimplemented types are endpoints, and answer with the name of the method.
func TestUseUnimplemented(t *testing.T) {
	for _, service := range []endpoint.Service{
		nopackageparley.GreeterService(nopackageparley.UnimplementedGreeter{}),
		namesv1parley.NamesService(namesv1parley.UnimplementedNames{}),
		streamingv1parley.MixedService(streamingv1parley.UnimplementedMixed{}),
	} {
		if len(service.Methods) == 0 {
			t.Errorf("%s has no methods", service.Name)
		}
		for _, method := range service.Methods {
			var err error
			switch {
			case !method.IsStreaming():
				_, err = method.Call(t.Context(), method.NewRequest())
			case method.TakesOne():
				err = method.ServeStream(nil, oneRequest{}, nil)
			default:
				err = method.ServeStream(nil, noStream{}, nil)
			}
			if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), method.Name()) {
				t.Errorf("%s: got error %v, want codes.Unimplemented with the name", method.Name(), err)
			}
		}
	}
}

// noStream is the stream of a handler that does not look at it.
type noStream struct{ grpc.ServerStream }

func (noStream) Context() context.Context { return context.Background() }

// oneRequest is a stream with a request that is empty.
type oneRequest struct{ noStream }

func (oneRequest) RecvMsg(any) error { return nil }

// names is an endpoint with odd names, of which only some are implemented.
type names struct {
	namesv1parley.UnimplementedNames
}

func (names) Type(context.Context, *namesv1.Word) (*namesv1.Word, error) {
	return &namesv1.Word{Text: "type"}, nil
}

func (names) Ref(context.Context, *namesv1.Word) (*namesv1.Word, error) {
	return &namesv1.Word{Text: "Ref"}, nil
}

func (names) XUnderscore(context.Context, *namesv1.Word) (*namesv1.Word, error) {
	return &namesv1.Word{Text: "_underscore"}, nil
}

func TestUseOddNames(t *testing.T) {
	env := newFakeEnv()
	ref, err := namesv1parley.RegisterNames(t.Context(), env, "names", names{})
	if err != nil {
		t.Fatal(err)
	}
	for name, method := range map[string]endpoint.Method[namesv1.Word, namesv1.Word]{
		"type": ref.Type, "Ref": ref.Ref_, "_underscore": ref.XUnderscore,
	} {
		if res, err := method.AskSync(t.Context(), &namesv1.Word{}); err != nil || res.GetText() != name {
			t.Errorf("%s: got reply %v and error %v", name, res, err)
		}
		if asked := "names.v1.Names/" + name; !slices.Contains(env.hosted["names"].asked, asked) {
			t.Errorf("the Caller was not asked %q, but %q", asked, env.hosted["names"].asked)
		}
	}
	if _, err := ref.String.AskSync(t.Context(), &namesv1.Word{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("String: got error %v, want codes.Unimplemented", err)
	}
}

// carrier is an endpoint without a message of its own package.
type carrier struct{}

func (carrier) Carry(_ context.Context, req *leftv1.Side) (*rightv1.Side, error) {
	return &rightv1.Side{Text: req.GetText()}, nil
}

func (carrier) Nothing(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (carrier) Text(_ context.Context, req *wrapperspb.StringValue) (*contextpb.Context, error) {
	return &contextpb.Context{Text: req.GetValue()}, nil
}

func TestUseOtherPackages(t *testing.T) {
	ref, err := envparley.RegisterCarrier(t.Context(), newFakeEnv(), "carrier", carrier{})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := ref.Carry.AskSync(t.Context(), &leftv1.Side{Text: "a"}); err != nil || res.GetText() != "a" {
		t.Errorf("Carry: got reply %v and error %v", res, err)
	}
	if _, err := ref.Nothing.AskSync(t.Context(), &emptypb.Empty{}); err != nil {
		t.Errorf("Nothing: %v", err)
	}
	if res, err := ref.Text.AskSync(t.Context(), wrapperspb.String("b")); err != nil || res.GetText() != "b" {
		t.Errorf("Text: got reply %v and error %v", res, err)
	}
}

type nested struct{}

func (nested) Open(_ context.Context, req *nestedv1.Outer_Inner) (*nestedv1.Outer_Inner_Innermost, error) {
	return &nestedv1.Outer_Inner_Innermost{Text: req.GetText()}, nil
}

func TestUseNestedMessages(t *testing.T) {
	ref, err := nestedv1parley.RegisterNested(t.Context(), newFakeEnv(), "nested", nested{})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := ref.Open.AskSync(t.Context(), &nestedv1.Outer_Inner{Text: "a"}); err != nil || res.GetText() != "a" {
		t.Errorf("got reply %v and error %v", res, err)
	}
}

type opaque struct{}

func (opaque) Echo(_ context.Context, req *opaquev1.OpaqueMessage) (*opaquev1.OpaqueMessage, error) {
	return req, nil
}

func TestUseOpaqueMessages(t *testing.T) {
	ref, err := opaquev1parley.RegisterOpaque(t.Context(), newFakeEnv(), "opaque", opaque{})
	if err != nil {
		t.Fatal(err)
	}
	req := opaquev1.OpaqueMessage_builder{Text: proto.String("a")}.Build()
	if res, err := ref.Echo.AskSync(t.Context(), req); err != nil || res.GetText() != "a" {
		t.Errorf("got reply %v and error %v", res, err)
	}
}
