package archtest

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed says, of each package that is part of the library, which others of this module it may import. A new arrow is a
// decision: docs/design.md has the reasons.
var allowed = map[string][]string{
	".":                   {"client", "endpoint", "internal/introspect", "internal/link", "internal/piecewise", "internal/rpcstats", "internal/session", "internal/wire", "server"},
	"client":              {"endpoint", "internal/bulk", "internal/credit", "internal/inbox", "internal/latch", "internal/link", "internal/payload", "internal/rpcstats", "internal/session", "internal/smallmap", "internal/wire"},
	"endpoint":            {"gen/parley/v1", "internal/asproto", "internal/bulk", "internal/callctx", "internal/identity", "internal/latch", "internal/piecewise", "internal/rpcstats"},
	"internal/asproto":    {},
	"internal/bulk":       {},
	"internal/callctx":    {},
	"internal/credit":     {},
	"internal/identity":   {},
	"internal/idtable":    {},
	"internal/inbox":      {"endpoint", "internal/wire"},
	"internal/introspect": {"endpoint", "gen/parley/v1", "server"},
	"internal/latch":      {},
	"internal/link":       {"endpoint", "gen/parley/v1", "internal/credit", "internal/identity", "internal/idtable", "internal/inbox", "internal/latch", "internal/session", "internal/smallmap", "internal/wire", "internal/yield"},
	"internal/mailbox":    {"internal/yield"},
	"internal/payload":    {"endpoint", "internal/bulk", "internal/piecewise", "internal/session", "internal/wire"},
	"internal/piecewise":  {},
	"internal/rpcstats":   {},
	"internal/session":    {"endpoint", "gen/parley/v1", "internal/credit", "internal/idtable", "internal/smallmap", "internal/wire"},
	"internal/smallmap":   {},
	"internal/wire":       {"gen/parley/v1"},
	"internal/yield":      {},
	"policy":              {"endpoint", "internal/identity"},
	"server":              {"endpoint", "gen/parley/v1", "internal/asproto", "internal/bulk", "internal/callctx", "internal/credit", "internal/identity", "internal/inbox", "internal/link", "internal/mailbox", "internal/payload", "internal/piecewise", "internal/rpcstats", "internal/session", "internal/wire"},
	"internal/leaktest":   {},
	"internal/faultproxy": {},
	"internal/tlstest":    {},
}

// standingTree is a tree of packages that stand on the library: they may import it, and nothing in the library imports them.
type standingTree struct {
	prefix  string
	useRoot bool
}

// standing are these trees. Only programs and tests may import the root.
var standing = []standingTree{
	{"examples/", true},
	{"internal/chaos/", true},
	{"internal/semantics/", true},
	{"internal/casetable/", false},
	{"internal/archtest/", false},
	{"cmd/", false},
	{"gen/", false},
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		may, listed := allowed[s.dir]
		at := slices.IndexFunc(standing, func(p standingTree) bool { return strings.HasPrefix(s.dir+"/", p.prefix) })
		if !listed && at < 0 {
			t.Errorf("%s: the package %s is not known here: add it to allowed, and to docs/design.md", s.name, s.dir)
			continue
		}
		for _, p := range s.imports(t) {
			dir, inside := strings.CutPrefix(p, "./")
			switch {
			case !inside:
			case listed && !slices.Contains(may, dir):
				t.Errorf("%s imports %s, which %s may not", s.name, dir, s.dir)
			case !listed && dir == "." && !standing[at].useRoot:
				t.Errorf("%s imports the root, which only programs may", s.name)
			}
		}
	}
}

// outside says, of packages that are to be kept free of something, what they may not import from outside of the module. A
// path stands for itself and not for those below it.
var outside = map[string][]string{
	"internal/session": {"context", "io", "net", "os", "sync", "google.golang.org/grpc"}, // pure
	"internal/wire":    {"context", "net", "os", "google.golang.org/grpc"},               // pure but for pools
	"endpoint":         {"net", "os"},                                                    // vocabulary
}

// standardOnly are the packages that import nothing but the standard library.
var standardOnly = []string{"internal/bulk", "internal/credit", "internal/idtable", "internal/latch", "internal/leaktest", "internal/faultproxy", "internal/smallmap", "internal/yield"}

func TestOutsideImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, p := range s.imports(t) {
			if slices.Contains(outside[s.dir], p) {
				t.Errorf("%s imports %s, which %s may not", s.name, p, s.dir)
			}
			if slices.Contains(standardOnly, s.dir) && !isStandard(p) {
				t.Errorf("%s imports %s, but %s has only the standard library", s.name, p, s.dir)
			}
		}
	}
}

// dependencies are the modules that go.mod requires itself.
var dependencies = []string{
	"github.com/google/uuid",
	"github.com/grpc-ecosystem/go-grpc-middleware/v2",
	"google.golang.org/genproto/googleapis/rpc", // has the Go type of google.rpc.Status
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

func TestDependencies(t *testing.T) {
	f, err := os.Open(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(strings.TrimPrefix(lines.Text(), "require "))
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(fields[0], ".") {
			got = append(got, fields[0])
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, dependencies) {
		t.Errorf("go.mod requires directly\n%q\nwant\n%q", got, dependencies)
	}
}
