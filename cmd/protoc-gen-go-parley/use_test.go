package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	commentsv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/comments"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/comments/commentsv1parley"
	filev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/deprecated/file"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/deprecated/file/filev1parley"
	servicev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/deprecated/service"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/deprecated/service/servicev1parley"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/directives/directivesv1parley"
	opaquev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/opaque"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/opaque/opaquev1parley"
	openv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/open"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/editions/open/openv1parley"
	namesv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/names"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/names/namesv1parley"
	nestedv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nested"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nested/nestedv1parley"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nomethods/nomethodsv1parley"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nopackage"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/nopackage/nopackageparley"
	contextpb "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/context"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/envparley"
	leftv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/left"
	rightv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/otherpackage/right"
	samepackagev1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/samepackage"
	"github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/samepackage/samepackagev1parley"
	streamingv1 "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata/streaming"
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
	if _, err := filev1parley.RegisterInFile(t.Context(), env, "other", inFile{}); err != nil {
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
type several struct {
	samepackagev1parley.UnimplementedFirst // its Count is hidden by that of several
}

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

// inFile is an endpoint without Unimplemented.
type inFile struct{}

func (inFile) Call(context.Context, *filev1.Thing) (*filev1.Thing, error) { return &filev1.Thing{}, nil }

// TestUseUnimplemented checks, for every service, the names, that each method is bound to its own handler, and that
// Unimplemented implements them.
func TestUseUnimplemented(t *testing.T) {
	for _, test := range []struct {
		service endpoint.Service
		ref     func(endpoint.Bound) any
		name    string
		methods []string // Go names are those of the fields of the Ref
		fields  []string // where they differ from methods
	}{
		{nopackageparley.GreeterService(nopackageparley.UnimplementedGreeter{}), refs(nopackageparley.NewGreeter),
			"Greeter", []string{"Greet"}, nil},
		{samepackagev1parley.FirstService(samepackagev1parley.UnimplementedFirst{}), refs(samepackagev1parley.NewFirst),
			"samepackage.v1.First", []string{"Count"}, nil},
		{samepackagev1parley.SecondService(samepackagev1parley.UnimplementedSecond{}), refs(samepackagev1parley.NewSecond),
			"samepackage.v1.Second", []string{"Count"}, nil},
		{samepackagev1parley.ThirdService(samepackagev1parley.UnimplementedThird{}), refs(samepackagev1parley.NewThird),
			"samepackage.v1.Third", []string{"Count"}, nil},
		{envparley.CarrierService(envparley.UnimplementedCarrier{}), refs(envparley.NewCarrier),
			"otherpackage.v1.Carrier", []string{"Carry", "Nothing", "Text"}, nil},
		{envparley.OwnService(envparley.UnimplementedOwn{}), refs(envparley.NewOwn),
			"otherpackage.v1.Own", []string{"Keep"}, nil},
		{namesv1parley.NamesService(namesv1parley.UnimplementedNames{}), refs(namesv1parley.NewNames), "names.v1.Names",
			[]string{"type", "range", "func", "nil", "error", "String", "bound", "impl", "Ref", "Send", "Ask", "Register", "snake_case", "_underscore", "Name"},
			[]string{"Type", "Range", "Func", "Nil", "Error", "String", "Bound", "Impl", "Ref_", "Send", "Ask", "Register", "SnakeCase", "XUnderscore", "Name"}},
		{namesv1parley.ServiceService(namesv1parley.UnimplementedService{}), refs(namesv1parley.NewService),
			"names.v1.Service", []string{"Service"}, nil},
		{namesv1parley.ContextService(namesv1parley.UnimplementedContext{}), refs(namesv1parley.NewContext),
			"names.v1.Context", []string{"Context"}, nil},
		{namesv1parley.EndpointService(namesv1parley.UnimplementedEndpoint{}), refs(namesv1parley.NewEndpoint),
			"names.v1.Endpoint", []string{"Endpoint"}, nil},
		{namesv1parley.MethodService(namesv1parley.UnimplementedMethod{}), refs(namesv1parley.NewMethod),
			"names.v1.Method", []string{"Method"}, nil},
		{namesv1parley.LowerCaseService(namesv1parley.UnimplementedLowerCase{}), refs(namesv1parley.NewLowerCase),
			"names.v1.lower_case", []string{"Call"}, nil},
		{nestedv1parley.NestedService(nestedv1parley.UnimplementedNested{}), refs(nestedv1parley.NewNested),
			"nested.v1.Nested", []string{"Open"}, nil},
		{openv1parley.OpenService(openv1parley.UnimplementedOpen{}), refs(openv1parley.NewOpen),
			"editions.open.v1.Open", []string{"Echo"}, nil},
		{opaquev1parley.OpaqueService(opaquev1parley.UnimplementedOpaque{}), refs(opaquev1parley.NewOpaque),
			"editions.opaque.v1.Opaque", []string{"Echo"}, nil},
		{commentsv1parley.CommentedService(commentsv1parley.UnimplementedCommented{}), refs(commentsv1parley.NewCommented),
			"comments.v1.Commented", []string{"Plain", "Block", "Weird", "Empty", "None", "Trailing"}, nil},
		{directivesv1parley.DirectivesService(directivesv1parley.UnimplementedDirectives{}), refs(directivesv1parley.NewDirectives),
			"directives.v1.Directives", []string{"Call", "Controls"}, nil},
		{servicev1parley.OldService(servicev1parley.UnimplementedOld{}), refs(servicev1parley.NewOld),
			"deprecated.service.v1.Old", []string{"Call"}, nil},
		{servicev1parley.CurrentService(servicev1parley.UnimplementedCurrent{}), refs(servicev1parley.NewCurrent),
			"deprecated.service.v1.Current", []string{"Call", "Past", "Silent", "Told"}, nil},
		{filev1parley.InFileService(filev1parley.UnimplementedInFile{}), refs(filev1parley.NewInFile),
			"deprecated.file.v1.InFile", []string{"Call"}, nil},
		{nomethodsv1parley.NothingService(nomethodsv1parley.UnimplementedNothing{}), refs(nomethodsv1parley.NewNothing),
			"nomethods.v1.Nothing", nil, nil},
		{streamingv1parley.MixedService(streamingv1parley.UnimplementedMixed{}), refs(streamingv1parley.NewMixed),
			"streaming.v1.Mixed", []string{"Call", "Last"}, nil},
		{streamingv1parley.StreamsService(streamingv1parley.UnimplementedStreams{}), refs(streamingv1parley.NewStreams),
			"streaming.v1.Streams", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.service.Name != test.name {
				t.Errorf("the service's name is %q, want %q", test.service.Name, test.name)
			}
			var want []string
			for _, name := range test.methods {
				want = append(want, test.name+"/"+name)
			}
			var got []string
			for _, method := range test.service.Methods {
				got = append(got, method.Name())
				_, err := method.Call(t.Context(), method.NewRequest())
				if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), method.Name()) {
					t.Errorf("%s: got error %v, want codes.Unimplemented with the name", method.Name(), err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got methods %q, want %q", got, want)
			}

			fields := test.fields
			if fields == nil {
				fields = test.methods
			}
			testFields(t, test.service, test.ref, fields)
		})
	}
}
