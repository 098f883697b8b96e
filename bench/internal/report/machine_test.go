package report

import (
	"encoding/json"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestMachineHasNoNamesOfHostsNorPaths(t *testing.T) {
	m, err := DescribeMachine("gonum.org/v1/plot", "github.com/parley-rpc/parley")
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.GOMAXPROCS < 1 || m.OS == "" || m.Go == "" {
		t.Errorf("got %+v", m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), dir) {
		t.Errorf("there is a path in %s", b)
	}
	// A short name may be part of an innocent word.
	if host, err := os.Hostname(); err == nil && len(host) > 4 && strings.Contains(string(b), host) {
		t.Errorf("there is the name of the host in %s", b)
	}
}

func TestProcessor(t *testing.T) {
	model, virtual := processor("processor\t: 0\nmodel name\t: Model  7 @ 3 GHz\nflags\t\t: fpu hypervisor vme\n")
	if model != "Model 7 @ 3 GHz" || !virtual {
		t.Errorf("got %q, %t", model, virtual)
	}
	if model, virtual := processor(""); model != "" || virtual {
		t.Errorf("got %q, %t of nothing", model, virtual)
	}
}

func TestVersions(t *testing.T) {
	build := &debug.BuildInfo{
		Main: debug.Module{Path: "example.org/main", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0"},
			{Path: "example.org/local", Version: "v0.0.0", Replace: &debug.Module{Path: "../secret"}},
			{Path: "example.org/tree", Version: "v0.0.0", Replace: &debug.Module{Path: "../secret", Version: "(devel)"}},
			{Path: "example.org/fork", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/b", Version: "v2.0.0"}},
			{Path: "example.org/unasked", Version: "v1.0.0"},
		},
	}
	got := versions(build, []string{"example.org/a", "example.org/main", "example.org/local", "example.org/tree", "example.org/fork", "example.org/absent"})
	want := []Module{
		{"example.org/a", "v1.0.0"},
		{"example.org/main", "this tree"},
		{"example.org/local", "this tree"},
		{"example.org/tree", "this tree"},
		{"example.org/fork", "example.org/b v2.0.0"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
