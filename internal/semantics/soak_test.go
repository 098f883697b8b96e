//go:build soak

package semantics

import (
	"testing"
	"time"
)

// TestSoakStorm is G16 at the size of Spark's largest clusters: 1,000 endpoints, and 1,000 Envs that connect at once. It needs some 2,100
// file descriptors.
func TestSoakStorm(t *testing.T) {
	run(t, "G16 connect storm", func(t *testing.T) { storm(t, 1000, 1000, 10*time.Minute) })
}
