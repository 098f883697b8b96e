package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

const want = `guest/bob:
  greeter Hi  allowed: hi, spiffe://example.org/guest/bob
  greeter Bye denied: PermissionDenied
  vault   Hi  denied: PermissionDenied
  vault   Bye denied: PermissionDenied
staff/alice:
  greeter Hi  allowed: hi, spiffe://example.org/staff/alice
  greeter Bye denied: PermissionDenied
  vault   Hi  denied: PermissionDenied
  vault   Bye denied: PermissionDenied
staff/alice, for stocktaking:
  greeter Hi  allowed: hi, spiffe://example.org/staff/alice
  greeter Bye allowed: bye, spiffe://example.org/staff/alice
  vault   Hi  allowed: hi, spiffe://example.org/staff/alice
  vault   Bye allowed: bye, spiffe://example.org/staff/alice
staff/alice, for burglary:
  greeter Hi  no session
  greeter Bye no session
  vault   Hi  no session
  vault   Bye no session
`

// TestSecure runs what make demo-secure runs.
func TestSecure(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != want {
		t.Errorf("printed was\n%s\nwant\n%s", got, want)
	}
}
