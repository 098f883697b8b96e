package parley

import "testing"

// TestNextPort: the ports to try wrap inside the range that needs no privileges.
func TestNextPort(t *testing.T) {
	for port, want := range map[int]int{0: 0, 1024: 1025, 5678: 5679, 65534: 65535, 65535: 1024} {
		if got := nextPort(port); got != want {
			t.Errorf("nextPort(%d) = %d, want %d", port, got, want)
		}
	}
}
