package parley

import (
	"errors"
	"net"
	"testing"

	"github.com/parley-rpc/parley/endpoint"
)

// TestNextPort: the ports to try wrap inside the range that needs no privileges.
func TestNextPort(t *testing.T) {
	for port, want := range map[int]int{0: 0, 1024: 1025, 5678: 5679, 65534: 65535, 65535: 1024} {
		if got := nextPort(port); got != want {
			t.Errorf("nextPort(%d) = %d, want %d", port, got, want)
		}
	}
}

// TestAdvertised: a Ref never names "every address".
func TestAdvertised(t *testing.T) {
	for _, c := range []struct{ advertise, host, want string }{
		{"", "localhost", "localhost:5678"},
		{"", "", net.JoinHostPort(machineAddress(), "5678")},
		{"", "0.0.0.0", net.JoinHostPort(machineAddress(), "5678")},
		{"", "::", net.JoinHostPort(machineAddress(), "5678")},
		{"example.com", "", "example.com:5678"},
		{"example.com:443", "0.0.0.0", "example.com:443"},
	} {
		a, err := advertised(c.advertise, c.host, 5678)
		if err != nil || a.String() != c.want {
			t.Errorf("advertised(%q, %q) = %v, %v, want %s", c.advertise, c.host, a, err, c.want)
		}
	}
	for _, everywhere := range []string{"0.0.0.0", "::", "[::]:99", "0.0.0.0:99"} {
		if a, err := advertised(everywhere, "", 5678); !errors.Is(err, endpoint.ErrInvalid) {
			t.Errorf("advertised(%q) = %v, %v, want ErrInvalid", everywhere, a, err)
		}
	}
	if ip := net.ParseIP(machineAddress()); ip.IsUnspecified() {
		t.Errorf("this machine has the address %v", ip)
	}
}
