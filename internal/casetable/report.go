package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	// ImportPath is that of a package that does not build.
	ImportPath string
}

// test names a test of a package; the name is empty for the package itself.
type test struct{ pkg, name string }

// String returns the package and the test.
func (t test) String() string {
	if t.name == "" {
		return path.Base(t.pkg)
	}
	return path.Base(t.pkg) + "." + t.name
}

// report is what the tests have said.
type report struct {
	results map[test]string // pass, fail or skip
	output  map[test][]string
	cases   map[string][]test // by id: the subtests that name the case, in order
	covered map[test]string   // the result of such a subtest with all below it
}

// caseID matches the beginning of the name of a subtest that names a case.
var caseID = regexp.MustCompile(`^([A-Z][0-9]+|V)_`)

// read reads the events until the end of in.
func read(in io.Reader) (*report, error) {
	r := &report{results: map[test]string{}, output: map[test][]string{}, cases: map[string][]test{}, covered: map[test]string{}}
	d := json.NewDecoder(in)
	for {
		var e event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("the input is not that of go test -json: %w", err)
		}
		r.add(&e)
	}
}

func (r *report) add(e *event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	t := test{e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		r.output[t] = append(r.output[t], e.Output)
	case "pass", "fail", "skip":
		r.results[t] = worse(r.results[t], e.Action) // of a package that is tested twice
		r.cover(t, e.Action)
	case "build-fail":
		r.results[t] = "fail"
	}
}

// cover adds the result of a test to that of the case that it covers, if it does.
func (r *report) cover(t test, result string) {
	parts := strings.Split(t.name, "/")
	for i, part := range parts[1:] {
		id := caseID.FindStringSubmatch(part)
		if id == nil {
			continue
		}
		t.name = strings.Join(parts[:i+2], "/") // what is below it is a part of the case
		if !slices.Contains(r.cases[id[1]], t) {
			r.cases[id[1]] = append(r.cases[id[1]], t)
		}
		r.covered[t] = worse(r.covered[t], result)
		return
	}
}

// worse returns the worse of two results, of which the first may be none.
func worse(a, b string) string {
	for _, result := range []string{"fail", "skip"} {
		if a == result || b == result {
			return result
		}
	}
	return b
}

// state returns the result of a case, or that it is missing.
func (r *report) state(id string) string {
	state := ""
	for _, t := range r.cases[id] {
		state = worse(state, r.covered[t])
	}
	if state == "" {
		return "missing"
	}
	return state
}

// write prints the table, and the output of what has failed.
func (r *report) write(out io.Writer) error {
	failed := r.failed()
	for _, t := range failed {
		if _, err := fmt.Fprintf(out, "%s\n", strings.Join(r.output[t], "")); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "id\ttest\tresult\n") // Flush tells
	for _, id := range expected() {
		for _, t := range r.cases[id] {
			fmt.Fprintf(w, "%s\t%s\t%s\n", id, t, r.covered[t]) // Flush tells
		}
		if len(r.cases[id]) == 0 {
			result := "MISSING"
			if why, ok := allowed[id]; ok {
				result = "none: " + why
			}
			fmt.Fprintf(w, "%s\t\t%s\n", id, result) // Flush tells
		}
	}
	return w.Flush()
}

// failed returns the tests and packages that have failed, in order.
func (r *report) failed() []test {
	var failed []test
	for t, result := range r.results {
		if result == "fail" {
			failed = append(failed, t)
		}
	}
	slices.SortFunc(failed, func(a, b test) int { return strings.Compare(a.pkg+" "+a.name, b.pkg+" "+b.name) })
	return failed
}

// verdict returns an error if a case is missing or has not passed, or if any test has failed.
func (r *report) verdict() error {
	var wrong []string
	for _, id := range expected() {
		_, may := allowed[id]
		if s := r.state(id); s != "pass" && (s != "missing" || !may) {
			wrong = append(wrong, id+" "+s)
		}
	}
	for _, t := range r.failed() {
		wrong = append(wrong, t.String()+" fail")
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, ", "))
	}
	return nil
}
