// Command casetable reads the output of `go test -json` and prints a table of the cases of Spark's behaviour that the tests
// name: the case, the test, and its result. It fails if a case is missing, or if any test has failed.
//
//	{ go test -json ./internal/semantics ./endpoint ./internal/mailbox; go test -json ./internal/semantics -tls; } | go run ./internal/casetable
//
// A test names its case at the beginning of a subtest's name: t.Run("T1 send a message locally", …). What the ids
// mean is in the documentation of package internal/semantics.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "casetable: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	r, err := read(in)
	if err != nil {
		return err
	}
	if err := r.write(out); err != nil {
		return err
	}
	return r.verdict()
}
