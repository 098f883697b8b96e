// Package flame makes a flame graph of a CPU profile, as one SVG that stands alone: whose code the time is spent in is shown by colour, and
// what the goroutines are for, as stages, at the bottom.
package flame

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/pprof/profile"
)

// Graph is a CPU profile as a tree of calls. It is not changed after Read, and its methods may be called concurrently.
type Graph struct {
	root   *node
	shares []Share
}

// node is a function where it was called from by the same functions.
type node struct {
	name     string // empty for the root and for stages
	stage    Stage  // of the whole branch
	owner    Owner
	nanos    int64 // with all that it calls
	children []*node
	byName   map[string]*node
}

// Share is how much of the time a stage spends in the code of an owner.
type Share struct {
	Stage   Stage
	Owner   Owner
	Percent float64 // of all processor time in the profile
}

// Read reads a CPU profile, as runtime/pprof writes it. It fails if it is none, or has no samples.
func Read(r io.Reader) (*Graph, error) {
	p, err := profile.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("reading a CPU profile: %w", err)
	}
	value := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" && t.Unit == "nanoseconds" })
	if value < 0 {
		return nil, errors.New("reading a CPU profile: it has no processor time")
	}
	g := &Graph{root: &node{}}
	spent := map[Share]int64{}
	for _, s := range p.Sample {
		stack := functions(s)
		nanos := s.Value[value]
		if len(stack) == 0 || nanos <= 0 {
			continue
		}
		stage := stageOf(stack)
		spent[Share{Stage: stage, Owner: g.add(stage, stack, nanos)}] += nanos
	}
	if g.root.nanos == 0 {
		return nil, errors.New("reading a CPU profile: it has no samples")
	}
	g.root.sort()
	for s, nanos := range spent {
		s.Percent = 100 * float64(nanos) / float64(g.root.nanos)
		g.shares = append(g.shares, s)
	}
	slices.SortFunc(g.shares, func(a, b Share) int { return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Owner, b.Owner)) })
	return g, nil
}

// Shares returns how the time is divided, without what is zero, by stage and then by owner in the order of the constants. Together they are 100 %.
func (g *Graph) Shares() []Share { return slices.Clone(g.shares) }

// add adds a stack, and returns whose code its innermost function is.
func (g *Graph) add(stage Stage, stack []string, nanos int64) Owner {
	g.root.nanos += nanos
	at := g.root.child(stage.String())
	at.name, at.stage, at.owner = "", stage, stage.owner()
	at.nanos += nanos
	owner := stage.owner()
	for _, f := range stack {
		owner = ownerOf(f, owner)
		at = at.child(f)
		at.stage, at.owner = stage, owner
		at.nanos += nanos
	}
	return owner
}

// child returns the child of that name, which it makes if there is none.
func (n *node) child(name string) *node {
	if c := n.byName[name]; c != nil {
		return c
	}
	c := &node{name: name}
	if n.byName == nil {
		n.byName = map[string]*node{}
	}
	n.byName[name] = c
	n.children = append(n.children, c)
	return c
}

// sort puts stages in the order of the constants, and functions with the one that takes most first.
func (n *node) sort() {
	slices.SortFunc(n.children, func(a, b *node) int {
		if a.name == "" && b.name == "" {
			return cmp.Compare(a.stage, b.stage)
		}
		return cmp.Or(cmp.Compare(b.nanos, a.nanos), cmp.Compare(a.name, b.name))
	})
	for _, c := range n.children {
		c.sort()
	}
}

// functions returns the stack of a sample with inlined functions, the outermost first.
func functions(s *profile.Sample) []string {
	var names []string
	for _, l := range slices.Backward(s.Location) {
		for _, line := range slices.Backward(l.Line) {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}
