package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

// serviceOf returns a service with methods of these full names.
func serviceOf(name string, methods ...string) endpoint.Service {
	s := endpoint.Service{Name: name}
	for _, m := range methods {
		s.Methods = append(s.Methods, endpoint.Handle[sayhiv1.HiRequest, sayhiv1.HiReply](m, nil))
	}
	return s
}

func mustWith(t *testing.T, o *offers, s endpoint.Service) *offers {
	t.Helper()
	more, err := o.with(s)
	if err != nil {
		t.Fatal(err)
	}
	return &more
}

// TestOffersFindEveryMethod: whatever the number of methods and services and their order, each is found, and nothing else.
func TestOffersFindEveryMethod(t *testing.T) {
	var o *offers
	var all []string
	for n := range 20 {
		service := fmt.Sprintf("s%d", n)
		var methods []string
		for m := range n {
			methods = append(methods, fmt.Sprintf("%s/%d", service, m))
		}
		all = append(all, methods...)
		rand.Shuffle(n, func(i, j int) { methods[i], methods[j] = methods[j], methods[i] })
		o = mustWith(t, o, serviceOf(service, methods...))
	}
	for _, name := range all {
		if m := o.method(name); m == nil || m.Name() != name {
			t.Errorf("%s is not found", name)
		}
	}
	for _, name := range []string{"", "s3", "s3/", "s3/3", "s19/19", "s4/01", "t/0"} {
		if m := o.method(name); m != nil {
			t.Errorf("%q found %s", name, m.Name())
		}
	}
	slices.Sort(all)
	if got := names(o.all()); !slices.Equal(got, all) {
		t.Errorf("all are %v, want %v", got, all)
	}
	if o.has("s20") || !o.has("s0") || !o.has("s19") || len(o.services()) != 20 || o.services()[1] != "s1" {
		t.Errorf("the services are %v, want s0 to s19", o.services())
	}
}

// TestOffersOfTheSameMethod: the last one counts, within a service and among services.
func TestOffersOfTheSameMethod(t *testing.T) {
	o := mustWith(t, nil, serviceOf("a", "a/2", "a/1", "a/2"))
	if got, want := names(o.all()), []string{"a/1", "a/2"}; !slices.Equal(got, want) {
		t.Fatalf("all are %v, want %v", got, want)
	}
	before := o.method("a/1")
	o = mustWith(t, o, serviceOf("b", "b/1", "a/1"))
	if after := o.method("a/1"); after == before || after == nil {
		t.Error("a later service does not replace the method")
	}
	if got, want := names(o.all()), []string{"a/1", "a/2", "b/1"}; !slices.Equal(got, want) {
		t.Errorf("all are %v, want %v", got, want)
	}
	if _, err := o.with(serviceOf("a")); err == nil {
		t.Error("a service is taken twice")
	}
}

// TestLaterOffersKeepWhatWasCounted: a service more does not take the methods of the others away from who holds them.
func TestLaterOffersKeepWhatWasCounted(t *testing.T) {
	o := mustWith(t, nil, serviceOf("a", "a/1"))
	m := o.method("a/1")
	m.calls.Add(1)
	o = mustWith(t, o, serviceOf("b", "b/1"))
	m.calls.Add(1)
	if got := o.method("a/1").calls.Load(); got != 2 {
		t.Errorf("%d calls are counted, want 2", got)
	}
}

func TestOffersAreFoundWithoutMemory(t *testing.T) {
	o := mustWith(t, mustWith(t, nil, serviceOf("a", "a/1", "a/2")), serviceOf("b", "b/1"))
	if n := testing.AllocsPerRun(100, func() {
		if o.method("a/2") == nil {
			t.Error("the method is not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestHostedIsSmall: of what an idle endpoint takes, most is here.
func TestHostedIsSmall(t *testing.T) {
	if got := unsafe.Sizeof(hosted{}); got > 352 {
		t.Errorf("an endpoint has %d bytes, want 352, a size class, at most", got)
	}
	if got := unsafe.Sizeof(offered{}); got > 48 {
		t.Errorf("a method has %d bytes, want 48 at most", got)
	}
}

func names(methods []*offered) []string {
	var names []string
	for _, m := range methods {
		names = append(names, m.Name())
	}
	return names
}

// BenchmarkOffersMethod is what it costs to find a method of a service with so many.
func BenchmarkOffersMethod(b *testing.B) {
	for _, n := range []int{1, 2, 8, 64} {
		var methods []string
		for m := range n {
			methods = append(methods, fmt.Sprintf("sayhi.v1.SayHi/Method%d", m))
		}
		o, err := (*offers)(nil).with(serviceOf("sayhi.v1.SayHi", methods...))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if o.method(methods[i%n]) == nil {
					b.Fatal("the method is not found")
				}
			}
		})
	}
}
