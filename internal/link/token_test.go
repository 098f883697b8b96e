package link

import (
	"testing"
	"testing/synctest"

	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/session"
)

// TestMayBeShown goes through who may see which token.
func TestMayBeShown(t *testing.T) {
	plain := credential{token: []byte("t"), dialled: true, address: "a:1", claimed: "b:1", remote: "10.0.0.1:1"}
	tls := plain
	tls.principal = "a"
	accepted := credential{token: []byte("t"), claimed: "b:1", remote: "10.0.0.1:50000"} // that the peer has dialled
	mutual := accepted
	mutual.principal = "a"
	for _, test := range []struct {
		name string
		c    credential
		at   listener
		want bool
	}{
		{"no token", credential{dialled: true, address: "a:1"}, listener{address: "a:1"}, false},
		{"nothing known of either", credential{token: []byte("t"), dialled: true}, listener{}, false},

		{"plain, where it was dialled", plain, listener{address: "a:1"}, true},
		{"plain, where the Env says it is", plain, listener{address: "b:1"}, true},
		{"plain, another name of the host", plain, listener{address: "c:1", remote: "10.0.0.1:1"}, true},
		{"plain, elsewhere", plain, listener{address: "c:1", remote: "10.0.0.2:1"}, false},
		{"plain, another port", plain, listener{address: "c:2", remote: "10.0.0.1:2"}, false},
		{"plain, elsewhere, whoever it is", plain, listener{address: "c:1", remote: "10.0.0.2:1", principal: "c"}, false},

		{"TLS, the same principal", tls, listener{address: "c:1", remote: "10.0.0.2:1", principal: "a"}, true},
		{"TLS, another principal", tls, listener{address: "c:1", remote: "10.0.0.2:1", principal: "c"}, false},
		{"TLS, another principal there", tls, listener{address: "a:1", remote: "10.0.0.1:1", principal: "c"}, false},
		{"TLS, in the clear there", tls, listener{address: "a:1", remote: "10.0.0.1:1"}, false},

		{"accepted, where the Env says it is", accepted, listener{address: "b:1", remote: "10.0.0.9:1"}, true},
		{"accepted, elsewhere", accepted, listener{address: "c:1", remote: "10.0.0.1:1"}, false},
		{"accepted, from the port it came from", accepted, listener{address: "c:1", remote: "10.0.0.1:50000"}, false},
		{"accepted with TLS, the same principal", mutual, listener{address: "c:1", principal: "a"}, true},
		{"accepted with TLS, the certificate of the listener", mutual, listener{address: "b:1", principal: "b"}, true},
		{"accepted with TLS, in the clear", mutual, listener{address: "b:1"}, false},
		{"accepted with TLS, elsewhere", mutual, listener{address: "c:1", principal: "c"}, false},
	} {
		if got := test.c.mayBeShownTo(test.at); got != test.want {
			t.Errorf("%s: %t, want %t", test.name, got, test.want)
		}
	}
}

// TestImpostor: a listener elsewhere that refuses in the name of an Env does not get the token of the session with it, alive or past.
func TestImpostor(t *testing.T) {
	for _, live := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			config := newConfig(&recorder{})
			l := &Link{peer: endpoint.Peer{EnvID: otherEnv, Remote: "10.0.0.1:1"}, dialled: true, dialledAt: "there:1", token: []byte("secret"), session: session.New(*config.Limits, *config.Limits)}
			if _, err := config.Table.add(l, nil); err != nil {
				t.Fatal(err)
			}
			if !live {
				config.Table.Remove(l)
			}
			r := newRefuser(otherEnv, "")
			_, err := Dial(t.Context(), Conn{ClientConnInterface: r, Address: "elsewhere:1"}, config)
			if err == nil || err.Reason != endpoint.ReasonUnreachable {
				t.Errorf("Dial = %v", err)
			}
			for _, token := range r.tokens {
				if token != "" {
					t.Errorf("live %t: it got the token %q", live, token)
				}
			}
			r.wg.Wait()
		})
	}
}

// TestMutual: two Envs that dial each other, over plaintext: the second session takes the token of the first, since it goes where the other
// Env has said that it listens. Elsewhere it does not.
func TestMutual(t *testing.T) {
	for _, address := range []string{"a:1", "c:1"} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newNetwork(), newNetwork()
			a.listening.Address = func() string { return "a:1" }
			first, err := Dial(t.Context(), Conn{ClientConnInterface: b, Address: "b:1"}, a.listening)
			if err != nil {
				t.Fatal(err)
			}
			second, err := Dial(t.Context(), Conn{ClientConnInterface: a, Address: address}, b.listening)
			if taken := err == nil; taken != (address == "a:1") {
				t.Errorf("at %s: %v", address, err)
			}
			if second != nil {
				second.Kill(errClosed)
			}
			first.Kill(errClosed)
			a.wg.Wait()
			b.wg.Wait()
		})
	}
}
