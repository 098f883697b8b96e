// Package floors has the bounds that what is measured must not cross: floors of ratios, and ceilings of what an operation allocates.
// They are kept in a file, a line each:
//
//	# Comments begin with a number sign.
//	ratio ask64/grpc-unary 3.5
//	allocs ask64 1
//	bytes ask64 560
package floors

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is what is bounded.
type Kind string

// The kinds.
const (
	Ratio  Kind = "ratio"  // of throughput: the bound is a floor
	Allocs Kind = "allocs" // of an operation, beyond the user's own: the bound is a ceiling
	Bytes  Kind = "bytes"  // that an operation allocates: the bound is a ceiling
)

// Format shows a figure of that kind.
func (k Kind) Format(v float64) string {
	if k == Bytes {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// Key says which figure is bounded.
type Key struct {
	Kind Kind
	Name string
}

// String returns k as lines of the file begin.
func (k Key) String() string { return string(k.Kind) + " " + k.Name }

// Bounds are those of a file.
type Bounds map[Key]float64

// Parse reads bounds. It fails on lines that are none, and on a second bound of the same figure.
func Parse(r io.Reader) (Bounds, error) {
	bounds := Bounds{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if err := bounds.add(fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading bounds: %w", err)
	}
	return bounds, nil
}

func (b Bounds) add(fields []string) error {
	if len(fields) != 3 {
		return fmt.Errorf("want KIND NAME BOUND, got %q", strings.Join(fields, " "))
	}
	k := Key{Kind(fields[0]), fields[1]}
	if k.Kind != Ratio && k.Kind != Allocs && k.Kind != Bytes {
		return fmt.Errorf("there is no kind %q", fields[0])
	}
	if _, ok := b[k]; ok {
		return fmt.Errorf("%s has a bound already", k)
	}
	v, err := strconv.ParseFloat(fields[2], 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("the bound of %s is %q, want a number above 0", k, fields[2])
	}
	b[k] = v
	return nil
}

// Match reports bounds of what is not among keys, and keys that have no bound.
func (b Bounds) Match(keys []Key) error {
	var wrong []error
	for _, k := range keys {
		if _, ok := b[k]; !ok {
			wrong = append(wrong, fmt.Errorf("%s has no bound", k))
		}
	}
	var unknown []Key
	for k := range b {
		if !slices.Contains(keys, k) {
			unknown = append(unknown, k)
		}
	}
	slices.SortFunc(unknown, func(a, b Key) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	for _, k := range unknown {
		wrong = append(wrong, fmt.Errorf("%s has a bound, but is not measured", k))
	}
	return errors.Join(wrong...)
}

// Check reports a value that is across its bound, and by how much. What has no bound is never across it.
func (b Bounds) Check(k Key, v float64) error {
	bound, ok := b[k]
	switch {
	case !ok:
		return nil
	case math.IsNaN(v):
		return fmt.Errorf("%s was not measured", k)
	case k.Kind == Ratio && v < bound:
		return fmt.Errorf("%s is %s, %.0f %% below its floor of %s", k, k.Kind.Format(v), 100*(1-v/bound), k.Kind.Format(bound))
	case k.Kind != Ratio && v > bound:
		return fmt.Errorf("%s is %s, %.0f %% above its ceiling of %s", k, k.Kind.Format(v), 100*(v/bound-1), k.Kind.Format(bound))
	}
	return nil
}
