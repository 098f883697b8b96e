package parley_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/parley-rpc/parley/internal/leaktest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(killedRole); role != "" {
		fmt.Fprintln(os.Stderr, playKilled(role))
		os.Exit(1)
	}
	os.Exit(leaktest.Main(m))
}
