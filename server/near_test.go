//go:build amd64 || arm64

package server

import (
	"reflect"
	"testing"
	"unsafe"
)

// TestNear: what locate looks at of an endpoint brings all the cache lines with what it takes to post a message.
func TestNear(t *testing.T) {
	const line = 64
	var h hosted
	offset := func(name string) uintptr {
		f, ok := reflect.TypeOf(&h.box).Elem().FieldByName(name)
		if !ok {
			t.Fatalf("a Box has no %s", name)
		}
		return unsafe.Offsetof(h.box) + f.Offset
	}
	methods := unsafe.Offsetof(h.first) + unsafe.Offsetof(h.first.methods)
	for _, base := range []uintptr{0, 32} { // where in a line the memory of an endpoint may begin
		looked := map[uintptr]bool{}
		for _, at := range []uintptr{unsafe.Offsetof(h.states), offset("concurrency"), methods} {
			looked[(base+at)/line] = true
		}
		for name, at := range map[string]uintptr{
			"offers": unsafe.Offsetof(h.offers), "workers": offset("workers"), "mu": offset("mu"), "active": offset("active"),
			"queue": offset("queue"), "the end of queue": offset("queue") + unsafe.Sizeof([5]uintptr{}) - 1, "methods": methods,
		} {
			if !looked[(base+at)/line] {
				t.Errorf("%s, at %d of an endpoint at %d, is in a cache line that locate does not look at", name, at, base)
			}
		}
	}
}
