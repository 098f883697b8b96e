package introspect

import (
	"os"
	"testing"

	"github.com/parley-rpc/parley/internal/leaktest"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Main(m)) }
