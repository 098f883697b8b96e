package link

import "testing"

// TestReplicas: who alone answers at an address of the peer, again and again, is its successor; one of several is not.
func TestReplicas(t *testing.T) {
	own := []string{"own:1"}
	var r replicas
	for n := 1; n < mostWrong; n++ {
		if r.gone("own:1", own, "successor") || r.gone("balancer:1", own, "another") {
			t.Fatalf("the peer is gone after %d answers", n)
		}
	}
	if !r.gone("own:1", own, "successor") {
		t.Errorf("the peer is not gone after %d answers", mostWrong)
	}

	r = replicas{}
	for range 2 * mostWrong {
		if r.gone("own:1", own, "one") || r.gone("own:1", own, "another") {
			t.Fatal("the peer is gone, though there are others at its address")
		}
	}

	r = replicas{}
	r.gone("own:1", own, "one")
	r.found()
	for range 2 * mostWrong {
		if r.gone("own:1", own, "one") {
			t.Fatal("the peer is gone, though it was found behind another Env before")
		}
	}
}

// TestOtherAddress: all addresses of a peer are tried in turn.
func TestOtherAddress(t *testing.T) {
	l := &Link{attachAt: []string{"a:1", "b:1"}}
	tried := "dialled:1"
	for _, want := range []string{"a:1", "b:1", ""} {
		if tried = l.otherAddress(tried); tried != want {
			t.Errorf("next comes %q, want %q", tried, want)
		}
	}
}
