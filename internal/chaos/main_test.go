package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/parley-rpc/parley/internal/leaktest"
)

// TestMain is main, too, for the processes that a driver under test starts: they are this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") { // no flag of go test
		if err := runMember(context.Background(), os.Args[1], os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(leaktest.Main(m))
}
