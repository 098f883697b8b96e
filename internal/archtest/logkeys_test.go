package archtest

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logCalls are the functions and methods by which the library logs, with the number of arguments before the first key.
var logCalls = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "warn": 1, "With": 0}

// documentedKey is a row of the table of keys.
var documentedKey = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")

// TestLogKeys: the keys of log lines are those that docs/operations.md promises, and no others.
func TestLogKeys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Log lines\n")
	if !found {
		t.Fatal("docs/operations.md has no section on log lines")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := make(map[string]bool)
	for _, row := range documentedKey.FindAllStringSubmatch(section, -1) {
		documented[row[1]] = true
	}
	used := make(map[string]bool)
	for _, s := range sources(t) {
		if _, library := allowed[s.dir]; !library {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || call.Ellipsis.IsValid() {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			before, logs := logCalls[called.Sel.Name]
			if x, isIdent := called.X.(*ast.Ident); !logs || isIdent && x.Name == "status" || len(call.Args) < before+2 {
				return true
			}
			for i := before; i < len(call.Args); i += 2 {
				key, ok := call.Args[i].(*ast.BasicLit)
				if !ok || key.Kind != token.STRING {
					t.Errorf("%s: %s has a key that is no literal, so that nobody can look it up", s.name, called.Sel.Name)
					continue
				}
				name, err := strconv.Unquote(key.Value)
				if err != nil {
					t.Fatal(err)
				}
				used[name] = true
				if !documented[name] {
					t.Errorf("%s logs with the key %q, which docs/operations.md does not have", s.name, name)
				}
			}
			return true
		})
	}
	for _, key := range slices.Sorted(maps.Keys(documented)) {
		if !used[key] {
			t.Errorf("docs/operations.md has the key %q, with which nothing is logged", key)
		}
	}
}
