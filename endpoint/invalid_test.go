package endpoint

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
)

// TestInvalidFromHandler has a handler that returns the error of a malformed Ref: its asker gets INVALID_ARGUMENT.
func TestInvalidFromHandler(t *testing.T) {
	_, err := ParseRef("spark://name@host:1")
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, err := range []error{err, fmt.Errorf("worker: %w", err)} {
		if got := AsError(err).Code(); got != codes.InvalidArgument {
			t.Errorf("%v has the code %s, want %s", err, got, codes.InvalidArgument)
		}
	}
}
