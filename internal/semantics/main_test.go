package semantics

import (
	"flag"
	"os"
	"testing"

	"github.com/parley-rpc/parley/internal/leaktest"
)

// withTLS makes all cases the case V: the same again, with mutual TLS.
var withTLS = flag.Bool("tls", false, "run the cases with mutual TLS, as parts of the case V")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(leaktest.Main(m))
}
