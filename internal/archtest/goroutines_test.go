package archtest

import (
	"go/ast"
	"maps"
	"slices"
	"testing"
)

// goStatements are the go statements of the library, by file: every goroutine has an owner that waits for its end, and the
// comment at the statement says who that is.
var goStatements = map[string]int{
	"internal/callctx/callctx.go": 2, // functions of context.AfterFunc, which nobody waits for, as in package context
	"internal/link/end.go":        1, // the reader and the writer of a stream, and the keeper of a session
	"internal/mailbox/workers.go": 1, // the workers of mailboxes
	"listen.go":                   1, // the gRPC server
	"server/crew.go":              1, // what an Env waits for at its end
	"shutdown.go":                 1, // a shutdown from inside a handler
}

func TestGoStatements(t *testing.T) {
	got := map[string]int{}
	for _, s := range sources(t) {
		if _, library := allowed[s.dir]; !library {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				got[s.name]++
			}
			return true
		})
	}
	if !maps.Equal(got, goStatements) {
		t.Errorf("go statements by file:\n got %v\nwant %v", got, goStatements)
	}
}

// clockless are the packages that are told the time, or have no use for it.
var clockless = []string{"internal/session", "internal/wire", "internal/credit", "internal/mailbox"}

// clock are the functions of package time that read the clock or wait for it.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestNoClock(t *testing.T) {
	for _, s := range sources(t) {
		if !slices.Contains(clockless, s.dir) {
			continue
		}
		for _, i := range s.ast.Imports {
			if i.Path.Value == `"time"` && i.Name != nil {
				t.Errorf("%s imports time under the name %s, so that this test cannot see its use", s.name, i.Name.Name)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, selector.Sel.Name) {
				t.Errorf("%s uses time.%s, but %s has no clock", s.name, selector.Sel.Name, s.dir)
			}
			return true
		})
	}
}

// TestNoSleep: every wait has a way out, and time.Sleep has none.
func TestNoSleep(t *testing.T) {
	for _, s := range sources(t) {
		if _, library := allowed[s.dir]; !library {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok && selector.Sel.Name == "Sleep" {
				if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s sleeps, which has no way out", s.name)
				}
			}
			return true
		})
	}
}
