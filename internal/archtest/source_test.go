package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/parley-rpc/parley"
)

// source is one hand-written or generated Go file of the module that is not a test.
type source struct {
	name string // from the root of the module
	dir  string
	ast  *ast.File
}

// sources returns the files of all packages of this module. Those of other modules in the tree are left out.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() {
			_, statErr := fs.Stat(tree, path.Join(name, "go.mod"))
			if name != "." && (statErr == nil || base == "testdata" || strings.HasPrefix(base, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{name: name, dir: path.Dir(name), ast: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(s source) bool { return s.name == "env.go" }) {
		t.Fatalf("env.go is not among the %d files below %s", len(all), root)
	}
	return all
}

// imports returns the paths that s imports. Those of this module are given by their directory, with "./" before it.
func (s source) imports(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, i := range s.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if p == module {
			p = "./."
		} else if dir, inside := strings.CutPrefix(p, module+"/"); inside {
			p = "./" + dir
		}
		paths = append(paths, p)
	}
	return paths
}

// isStandard reports whether p is a package of the standard library.
func isStandard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}
